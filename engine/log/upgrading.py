"""From the format that a log has to the newest one, with a way back; and a rehearsal of it.

A new format adds tables and changes no row, so the switch is one transaction. Before it, a copy is
put beside the log; after it, the chain and the state have to be what they were.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import msgspec
from sqlalchemy import text

from engine.core import state as st
from engine.core.errors import LogConflict, LogError
from engine.core.events import OBSERVATIONS, DeadlinePassed, LogBased, Recorded
from engine.core.evolve import evolve
from engine.core.replay import decide_again
from engine.core.state import State
from engine.log.checking import SnapshotCheck
from engine.log.connection import Connect, Connection, driver_connect
from engine.log.copying import Progress, back_up
from engine.log.header import FORMAT
from engine.log.protocol import Log
from engine.log.schema import add_format_2
from engine.log.sqlite import SqliteLog

DIFFERENCES_MAX: Final = 20  # those after it are consequences more often than news
PROGRESS_EVENTS: Final = 10_000


class Digests(msgspec.Struct, frozen=True, kw_only=True):
    """What a log is, whatever its format."""

    seq: int
    head: str  # of the chain, as hex
    digest: str  # of the state


class Upgraded(msgspec.Struct, frozen=True, kw_only=True):
    """What an upgrade did."""

    before: int  # the format
    after: int
    backup: Path
    digests: Digests


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """Where this release would decide otherwise."""

    seq: int  # of the observation that was decided upon
    at_us: int
    recorded: tuple[str, ...]  # kind and subject of each decision that only the log has
    again: tuple[str, ...]  # of each that only this release would make


class Rehearsal(msgspec.Struct, frozen=True, kw_only=True):
    """What an upgrade would meet."""

    format: int
    digests: Digests
    differences: int  # observations that would be decided upon otherwise [count]
    first: tuple[Difference, ...]  # the first DIFFERENCES_MAX of them
    snapshots: tuple[str, ...]  # what is wrong with those that are stored

    @property
    def ok(self) -> bool:
        """Return whether nothing differs."""
        return not self.differences and not self.snapshots


def backup_path(path: Path, version: int) -> Path:
    """Return where the copy of a log of that format lies after its upgrade."""
    return path.with_name(f"{path.name}.format-{version}")


def upgrade(
    path: Path, *, progress: Progress, connect: Connect = driver_connect
) -> Upgraded | None:
    """Bring the log at `path` to the newest format; None: it has it already, nothing was done.

    Raises:
        LogLocked: Another process writes it.
        LogCorrupted: It is damaged, and stays as it is.
        LogUncertain: Whether it was switched is unknown; either way it is whole: ask once more.
        LogError: It stays as it is; or it is another one after the switch, and the backup counts.
    """
    with SqliteLog(path, mode="read", connect=connect) as log:
        if log.format == FORMAT:
            return None
    with SqliteLog(path, mode="write", connect=connect) as log:
        version, backup = log.format, backup_path(path, log.format)
        before = _digests(log, progress)
        _keep(log, backup, before, progress, connect)
        _switch(path, version, connect)
    with SqliteLog(path, mode="read", connect=connect) as log:
        after = _digests(log, progress)
        if after != before or log.format != FORMAT:
            raise LogError(
                f"{path}: expected {before} after the upgrade, found {after}: put {backup} in its "
                "place"
            )
    return Upgraded(before=version, after=FORMAT, backup=backup, digests=before)


def _keep(
    log: SqliteLog, backup: Path, digests: Digests, progress: Progress, connect: Connect
) -> None:
    """Put a copy at `backup`, unless one is there since an upgrade that was cut short."""
    if backup.exists():
        with SqliteLog(backup, mode="read", connect=connect) as kept:
            if kept.format != log.format or _digests(kept, progress) != digests:
                raise LogError(f"{backup} is there, and is no copy of {log.path}: move it away")
        return
    back_up(log, backup, progress=progress, connect=connect)


def _switch(path: Path, version: int, connect: Connect) -> None:
    """Add what is new in one transaction; the caller has the writer's lock."""
    connection = Connection(path, mode="rw", connect=connect)
    try:
        core = connection.core
        with connection.transaction():
            found = core.execute(text("PRAGMA user_version")).scalar()
            if found != version:
                raise LogConflict(f"{path}: expected format {version}, found {found}")
            add_format_2(core)
            core.execute(text(f"PRAGMA user_version = {FORMAT}"))
    finally:
        connection.close()


def _digests(log: Log, progress: Progress) -> Digests:
    head = log.head.seq
    state = State()
    for recorded in _told(log.read(until=head), head, progress):
        evolve(state, recorded)
    return Digests(seq=head, head=log.chain_head().hex(), digest=st.digest(state))


def _told(events: Iterable[Recorded], head: int, progress: Progress) -> Iterator[Recorded]:
    for recorded in events:
        yield recorded
        if recorded.seq % PROGRESS_EVENTS == 0 or recorded.seq == head:
            progress(recorded.seq, head)


def rehearse(log: SqliteLog, *, progress: Progress) -> Rehearsal:
    """Return what an upgrade of `log` would meet, and where this release would decide otherwise.

    Nothing is changed. The log is read twice more beside each other, as it was written and decided
    again, one observation at a time: memory grows with the fleet and not with the log.

    Raises:
        LogCorrupted: At the first event that this release cannot fold.
    """
    head = log.head.seq
    state, check = State(), SnapshotCheck(log)
    for recorded in _told(log.read(until=head), head, progress):
        evolve(state, recorded)
        check.passed(state)
    check.end()
    digests = Digests(seq=head, head=log.chain_head().hex(), digest=st.digest(state))
    again = decide_again(_told(log.read(until=head), head, progress))
    found, first = 0, []
    for difference in differences(log.read(until=head), again):
        found += 1
        if found <= DIFFERENCES_MAX:
            first.append(difference)
    return Rehearsal(
        format=log.format,
        digests=digests,
        differences=found,
        first=tuple(first),
        snapshots=tuple(check.problems),
    )


def differences(recorded: Iterable[Recorded], again: Iterable[Recorded]) -> Iterator[Difference]:
    """Return each observation whose decisions are not the same in both.

    Both have the same observations. As soon as one log has an event more than the other, all seqs
    after it differ; so from there on only kind, subject and time are compared. A release may say
    more of what a decision rests on than the one before: figures are not compared.
    """
    shift = False
    for ours, theirs in zip(_turns(recorded), _turns(again), strict=True):
        if ours == theirs or list(map(_bare, ours)) == list(map(_bare, theirs)):
            continue
        if shift and list(map(_outline, ours)) == list(map(_outline, theirs)):
            continue
        shift = shift or len(ours) != len(theirs)
        yield _difference(ours, theirs, is_shifted=shift)


def _difference(ours: list[Recorded], theirs: list[Recorded], *, is_shifted: bool) -> Difference:
    def named(events: list[Recorded], others: list[Recorded]) -> tuple[str, ...]:
        known = list(map(_outline, others)) if is_shifted else others
        return tuple(
            f"{type(recorded.event).__name__} {recorded.subject}"
            for recorded in events
            if (_outline(recorded) if is_shifted else recorded) not in known
        )

    return Difference(
        seq=ours[0].seq,
        at_us=ours[0].at_us,
        recorded=named(ours, theirs),
        again=named(theirs, ours),
    )


def _bare(recorded: Recorded) -> Recorded:
    """Return an event without the figures that it rests on."""
    event = recorded.event
    if getattr(event, "figures", ()):
        return msgspec.structs.replace(recorded, event=msgspec.structs.replace(event, figures=()))
    return recorded


def _outline(recorded: Recorded) -> tuple[str, str, int]:
    return type(recorded.event).__name__, recorded.subject, recorded.at_us


def _turns(events: Iterable[Recorded]) -> Iterator[list[Recorded]]:
    """Return each observation from outside, with all that followed before the next one."""
    turn: list[Recorded] = []
    for recorded in events:
        if turn and _is_given(recorded):
            yield turn
            turn = []
        turn.append(recorded)
    if turn:
        yield turn


def _is_given(recorded: Recorded) -> bool:
    kind = type(recorded.event)
    is_observed = kind in OBSERVATIONS and kind is not DeadlinePassed and not recorded.cause
    return is_observed or kind is LogBased
