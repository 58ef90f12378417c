"""Retention: what was only observed is dropped from old sealed blocks, and what was decided stays.

First an event says so (`ObservationsDropped`), with the fold of the log up to where it goes. From
then on the log is folded from there, and a state before it cannot be had any more. Then one block
after the other is thinned, in a transaction each, and gone on with after a crash. What stays:

- every event of a kind that seldom comes: decisions, commands, starts, whatever configures;
- what a decision rests on: its cause, and the evidence that it lists or may list later;
- the first event of the log, and the first observation of each master, from which its time counts.

So `why` shows the same chain for each decision (what only the state of then would tell, it does not
say any more), and uptime, audit and every view whose projection acts on decisions come out the
same. The chain of a thinned block stays what it was. Nobody can compute it
from what is left, so that has a digest of its own: S_k = SHA-256(S_{k-1} + H_k + time and crc of
the block's last event, an i64 each + the canonical bytes of each row that stayed, as a block of
one), S_{-1} being 32 zero bytes; the event holds that of its last block.
"""

import hashlib
import itertools
import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import Final, TypeAlias

import msgspec

from engine.core import events as ev
from engine.core import state as st
from engine.core.detection import pending
from engine.core.errors import LogCorrupted, StateDropped
from engine.core.events import KINDS, OBSERVATIONS, READ_AS, Recorded, decode
from engine.core.state import State
from engine.log.blocks import Block, thin
from engine.log.chain import ZERO, canonical
from engine.log.protocol import EventRow, Log
from engine.log.schema import PASSING

_END: Final = struct.Struct("<qq").pack
_DROPPED: Final = next(code for code, kind in KINDS.items() if kind is ev.ObservationsDropped)
_ADDED: Final = next(code for code, kind in KINDS.items() if kind is ev.MasterAdded)
_SEEN: Final = frozenset(
    code
    for code, kind in READ_AS.items()
    if kind in (ev.ProbeOk, ev.ProbeDegraded, ev.ProbeFailed, ev.ConnectionClosed)
)
# What was only observed: all that passes, and what masters say of themselves, which came later than
# the index of kinds that seldom come, and so is in it.
_GOING: Final = frozenset(
    (*PASSING, next(code for code, kind in KINDS.items() if kind is ev.LoadReported))
)
# What a decision calls evidence is the seqs that it rests on; an observation's is what was seen.
WITH_EVIDENCE: Final = frozenset(
    code
    for code, kind in READ_AS.items()
    if kind not in OBSERVATIONS and "evidence" in kind.__struct_fields__
)

Stay: TypeAlias = tuple[Block, list[int], bytes]  # a block, the seqs that stay, and S of it


def last_dropped(log: Log) -> Recorded | None:
    """Return the newest event that says what was dropped; None: everything is there."""
    if not log.may_seal:
        return None
    seq = next(log.seqs_of((_DROPPED,), newest_first=True), None)
    return None if seq is None else next(log.read(seq - 1, seq))


def dropped_in(recorded: Recorded) -> ev.ObservationsDropped:
    """Return what `recorded`, an answer of `last_dropped`, says."""
    assert isinstance(recorded.event, ev.ObservationsDropped)
    return recorded.event


def base_of(dropped: ev.ObservationsDropped) -> Recorded:
    """Return the beginning of a fold in the place of all events up to `dropped.until`.

    Raises:
        LogCorrupted: The state in it cannot be read.
    """
    try:
        data = zlib.decompress(dropped.state)
        at_us = st.restore(data).at_us
    except (zlib.error, ValueError) as err:
        raise LogCorrupted(dropped.until, f"the state that was kept there: {err}") from err
    based = ev.LogBased(state=data, seq=dropped.until, chain=dropped.chain)
    return Recorded(seq=dropped.until, at_us=at_us, subject=ev.FLEET, cause=0, event=based)


def to_fold(log: Log, until: int) -> Iterator[Recorded]:
    """Return the events up to `until` for a fold that begins with nothing.

    If observations were dropped, the state after them stands for what was before.

    Raises:
        StateDropped: `until` lies before that.
    """
    base = begins_with(log, until)
    if base is None:
        return log.read(until=until)
    return itertools.chain((base,), log.read(base.seq, until))


def begins_with(log: Log, until: int) -> Recorded | None:
    """Return the state that stands for what was dropped; None: nothing was.

    Raises:
        StateDropped: `until` lies before that.
    """
    last = last_dropped(log)
    if last is None:
        return None
    dropped = dropped_in(last)
    if until < dropped.until:
        raise StateDropped(
            f"the state at event {until} cannot be had any more: what was observed up to event "
            f"{dropped.until} was dropped (event {last.seq}); decisions up to there are still in "
            "the log"
        )
    return base_of(dropped)


def dropping(
    log: Log, until: int, state: State, *, why: str, author: str = ""
) -> ev.ObservationsDropped:
    """Return the event after which everything up to `until` can be thinned.

    Args:
        log: Where it will be appended; what was dropped before is thinned to its end.
        until: Seq that a sealed block ends with, beyond what was dropped before.
        state: The fold of the log up to there.
        why: Which rule asks for it.
        author: Who asked for it; "": the engine, by its configuration.
    """
    assert state.seq == until
    last = last_dropped(log)
    after, gone, unseen = _beginning(log)
    if last is not None:
        before = dropped_in(last)
        after, gone = before.until, before.dropped
        unseen = _unseen(base_of(before))
    event = ev.ObservationsDropped(
        after=after,
        until=until,
        unseen=unseen,
        dropped=0,
        chain=ZERO,
        stayed=ZERO,
        state=zlib.compress(st.dump(state), 6),
        why=why,
        author=author,
    )
    chain = stayed = ZERO
    for block, stays, digest in staying(log, event):
        gone += len(block.seqs) - len(stays)
        chain, stayed = block.chain, digest
    return msgspec.structs.replace(event, dropped=gone, chain=chain, stayed=stayed)


def _beginning(log: Log) -> tuple[int, int, tuple[str, ...]]:
    """Return where the log begins, that nothing was dropped, and who was not yet observed."""
    first = next(log.read(chunk=1), None)
    if first is not None and isinstance(first.event, ev.LogBased):
        return first.seq, 0, _unseen(first)
    return 0, 0, ()


def _state_in(base: Recorded) -> State:
    assert isinstance(base.event, ev.LogBased)
    return st.restore(base.event.state)


def _unseen(base: Recorded) -> tuple[str, ...]:
    places = _state_in(base).cache.places
    return tuple(sorted(name for name in places if not places[name].master.heard_us))


def staying(log: Log, dropped: ev.ObservationsDropped) -> Iterator[Stay]:
    """Return for each block that is to be thinned, and is not yet, what stays in it.

    It is the same whenever it is asked, whatever was thinned or appended meanwhile.

    Raises:
        LogCorrupted: A block is damaged.
    """
    unseen, digest = set(dropped.unseen), ZERO
    if dropped.after:
        before = next(log.blocks(dropped.after - 1, dropped.after), None)
        digest = ZERO if before is None else before.digest
    cited = _cited(log, dropped)
    for block in log.blocks(dropped.after, dropped.until):
        rows: list[EventRow] = []
        for row in block.rows():
            seq, _, kind, subject, *_ = row
            if kind == _ADDED:
                unseen.add(subject)
            is_first = seq == 1
            if kind in _SEEN and subject in unseen:
                unseen.remove(subject)
                is_first = True
            if is_first or seq in cited or (kind not in _GOING and kind != _DROPPED):
                rows.append(row)
        if block.is_thinned:
            digest = block.digest
        else:
            digest = stayed_digest(digest, block, rows)
            yield block, [row[0] for row in rows], digest


def _cited(log: Log, dropped: ev.ObservationsDropped) -> set[int]:
    """Return the seqs that decisions name as their cause or as evidence, or still may name."""
    cited = pending(_state_in(base_of(dropped)))
    for stored in log.rows(dropped.until):
        if not stored[4]:
            break  # something from outside: what was decided in the step before is all there
        _cite(stored[:6], cited)
    for block in log.blocks(dropped.after, dropped.until):
        if any(code not in _GOING for code in block.codes):
            for row in block.rows():
                _cite(row, cited)
    return cited


def _cite(row: EventRow, cited: set[int]) -> None:
    seq, _, kind, _, cause, payload = row
    if kind not in _GOING:
        cited.add(cause)
    if kind in WITH_EVIDENCE:
        evidence = getattr(decode(kind, payload, seq=seq), "evidence", ())
        assert isinstance(evidence, tuple)
        cited.update(evidence)


def stayed_digest(before: bytes, block: Block, rows: Sequence[EventRow]) -> bytes:
    """Return S of `block`, of which `rows` stay, after one with S = `before` (32 bytes)."""
    hashed = hashlib.sha256(before + block.chain)
    hashed.update(_END(block.last_at_us, block.last_crc))
    for row in rows:
        hashed.update(canonical(((*row, 0),)))
    return hashed.digest()


def thinned(log: Log) -> Iterator[int]:
    """Thin what may be thinned, a block each time that this is asked on; return its last seq.

    Raises:
        LogError: A block is damaged, or nothing can be written; it is gone on with next time.
    """
    last = last_dropped(log)
    if last is None:
        return
    dropped = dropped_in(last)
    end = next(log.blocks(dropped.until - 1, dropped.until), None)
    if end is None or end.is_thinned:
        return  # it is the last one to be so
    log.snapshots.drop(seq for seq in log.snapshots.seqs() if seq < dropped.until)
    for block, stays, digest in staying(log, dropped):
        log.thin(thin(block, stays, digest=digest))
        yield block.last
