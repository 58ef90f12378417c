"""Recorded observations through the engine, at their own times.

The file is read and checked as a whole, then the policy that holds is offered at the time of the
first observation, then every observation goes through the same driver that a running engine has.
Effects are off: what a failover would have sent is assumed. After the last observation nothing is
appended, so the log ends where the file ends.
"""

import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from engine.answers.times import iso
from engine.cli.output import Report
from engine.config import load, override
from engine.config.durations import spell
from engine.core import events as ev
from engine.core import state as st
from engine.core.driver import Driver, refusal
from engine.core.errors import CommandRefused, ConfigurationError, ObservationsError
from engine.core.events import FLEET, Observation, Recorded
from engine.core.fleet import Master, Mode
from engine.core.policy import GroupPolicy, Policy, content_digest, preset
from engine.core.state import State
from engine.log import open_log
from engine.log.place import log_path
from engine.log.sqlite import SqliteLog
from engine.log.states import state_at
from engine.observations import Observations, Record, default_unknown_after_us, read

BATCH_EVENTS: Final = 2_000  # in one transaction
PRESET: Final = "zone"
UNKNOWN_AFTER: Final = "probe.unknown_after"
FLAP_HIGH: Final = "probe.flap_high"


class Import:
    """One import: checked as a whole when it is made, appended when it is run."""

    def __init__(
        self,
        source: str,
        into: str,
        *,
        columns: Mapping[str, str],
        group: str | None,
        policy: Path | None,
        changes: Sequence[str],
        report: Callable[[int], None],
    ) -> None:
        """Read and check everything; nothing is written, and `report` hears of the lines read.

        Raises:
            ObservationsError: The file is bad, or does not go with the log.
            ConfigurationError: The policy is bad.
            LogError: The log cannot be used.
        """
        self.notes: Final[list[str]] = []  # what was chosen for the user
        self._into = into
        self._state = _state_of(into)
        self._observations = _read(source, columns, report)
        records = self._observations.records
        if not records:
            raise ObservationsError([f"{source}: there is no observation in it"])
        if records[0].at_us < self._state.at_us:
            raise ObservationsError(
                [
                    f"{source}: begins at {iso(records[0].at_us)}, but {into} ends later, at "
                    f"{iso(self._state.at_us)}: import it into a log of its own"
                ]
            )
        policies, masters = _declared(self._state, policy)
        strangers = _strangers(records, masters)
        if strangers and group is None:
            raise ObservationsError([_unknown(source, strangers)])
        if strangers and group is not None:
            new = _joined(policies, masters, policy, group)
            policies = new
            masters = [
                *masters,
                *(
                    Master(id=name, group=group, address=f"observed://{name}", priority=number)
                    for number, name in enumerate(strangers, start=1)
                ),
            ]
        _check_names(source, policies, masters)
        changed = Policy(groups=policies)
        for change in changes:
            changed = override(changed, change)
        self._masters = tuple(masters)
        self._policy = Policy(
            groups={
                name: msgspec.structs.replace(
                    self._watched(name, found, policy, changes), effects="none"
                )
                for name, found in changed.groups.items()
            }
        )

    def _watched(
        self, name: str, found: GroupPolicy, policy: Path | None, changes: Sequence[str]
    ) -> GroupPolicy:
        """Return the policy of a group with the silence that makes unknown, where nobody said."""
        named = {change.partition("=")[0].strip() for change in changes}
        is_asked = FLAP_HIGH in named or (policy is not None and _says(policy, name, FLAP_HIGH))
        if name not in self._state.groups and not is_asked:
            # What was recorded is accounted for as it is; how steady it was is asked for.
            probe = msgspec.structs.replace(found.probe, flap_high_ppm=0, flap_low_ppm=0)
            found = msgspec.structs.replace(found, probe=probe)
        is_said = (
            name in self._state.groups
            or UNKNOWN_AFTER in named
            or (policy is not None and _says(policy, name, UNKNOWN_AFTER))
        )
        members = {master.id for master in self._masters if master.group == name}
        own = [record for record in self._observations.records if record.master in members]
        if is_said or not own:
            return found
        silence_us = default_unknown_after_us(own)
        told = f"after {spell(silence_us)}, three usual gaps" if silence_us else "never"
        self.notes.append(
            f"{name}: silence makes unknown {told}; --set {UNKNOWN_AFTER}=… says otherwise"
        )
        probe = msgspec.structs.replace(found.probe, unknown_after_us=silence_us)
        return msgspec.structs.replace(found, probe=probe)

    def run(self, report: Report) -> dict[str, object]:
        """Append everything; return what `import --json` prints.

        Raises:
            CommandRefused: The log does not take the policy; the reasons say why.
            LogError: The log cannot be used.
        """
        records = self._observations.records
        with open_log(self._into, mode="write", create=True) as log:
            state = self._state
            if log.head.seq != state.seq:
                raise ObservationsError([f"{self._into} was written to meanwhile: import again"])
            began = log.head.seq
            feed = _Feed(log, Driver(state))
            feed.offer(self._policy, self._masters, at_us=records[0].at_us)
            total = len(records)
            for number, record in enumerate(records, start=1):
                if feed.take(record):
                    report(number, total)
            feed.flush()
            report(total, total)
            state = feed.state
        return {
            "seq": state.seq,
            "at": iso(state.at_us),
            "events": state.seq - began,
            "observations": total,
            "duplicates": self._observations.duplicates,
            "reordered": self._observations.reordered,
            "masters": len({record.master for record in records}),
            "unknown_after_us": {
                name: found.probe.unknown_after_us for name, found in self._policy.groups.items()
            },
            "digest": st.digest(state),
            "log": self._into,
        }


class _Feed:
    """Puts records into a driver, and what it decides into the log, a batch at a time."""

    def __init__(self, log: SqliteLog, driver: Driver) -> None:
        self._log = log
        self._driver = driver
        self._appended = driver.durable_state.seq
        self._counts = {
            (observer, name): n
            for group in driver.durable_state.groups.values()
            for name, master in group.masters.items()
            for observer, n in master.observers.items()
        }

    @property
    def state(self) -> State:
        """Return the state of what is in the log."""
        return self._driver.durable_state

    def offer(self, policy: Policy, masters: tuple[Master, ...], *, at_us: int) -> None:
        """Offer what holds, unless it holds already."""
        state = self._driver.durable_state
        known = {
            name: master.declared
            for group in state.groups.values()
            for name, master in group.masters.items()
        }
        if (state.fleet.policy, known) == (policy, {master.id: master for master in masters}):
            return
        digest = content_digest(policy, masters)
        event = ev.ConfigurationLoaded(digest=digest, policy=policy, masters=masters)
        seq = self._driver.observe(event, subject=FLEET, at_us=at_us)
        reasons = refusal(self.flush(), seq)
        if reasons:
            raise CommandRefused(reasons)

    def take(self, record: Record) -> bool:
        """Take one record; return whether a batch became durable with it."""
        key = (record.observer, record.master)
        n = self._counts[key] = self._counts.get(key, 0) + 1
        seq = self._driver.observe(_event(record, n), subject=record.master, at_us=record.at_us)
        if seq - self._appended < BATCH_EVENTS:
            return False
        self.flush()
        return True

    def flush(self) -> tuple[Recorded, ...]:
        """Append what was decided; return it, durable."""
        batch = self._driver.take_batch(self._driver.working.at_us)
        if batch is None:
            return ()
        self._log.append(batch.events, bodies=batch.bodies)
        events = self._driver.durable()
        self._appended = events[-1].seq
        return events


def _event(record: Record, n: int) -> Observation:
    latency_us = record.latency_us or 0
    if record.outcome == "ok":
        return ev.ProbeOk(n=n, latency_us=latency_us, observer=record.observer)
    if record.outcome == "degraded":
        reason = record.detail or "reported"
        return ev.ProbeDegraded(n=n, latency_us=latency_us, reason=reason, observer=record.observer)
    evidence = record.failure or ev.Evidence.REPORTED
    return ev.ProbeFailed(
        n=n,
        evidence=evidence,
        waited_us=latency_us,
        detail=record.detail,
        observer=record.observer,
    )


def _state_of(into: str) -> State:
    """Return the fold of the log at `into`; that of nothing if there is none yet."""
    path = log_path(into)
    if not path.exists() or path.stat().st_size == 0:
        return State()
    with open_log(into) as log:
        return state_at(log)


def _read(source: str, columns: Mapping[str, str], report: Callable[[int], None]) -> Observations:
    try:
        return read(source, columns=columns, progress=report)
    except ObservationsError as err:
        named = [
            f"{source}: {mistake}" if mistake.startswith(("line ", "and ")) else mistake
            for mistake in err.mistakes
        ]
        raise ObservationsError(named) from err


def _declared(state: State, file: Path | None) -> tuple[dict[str, GroupPolicy], list[Master]]:
    """Return the policies and masters of the log, with those of the policy file over them."""
    policies = dict(state.fleet.policy.groups)
    masters = {
        name: master.declared
        for group in state.groups.values()
        for name, master in group.masters.items()
    }
    if file is not None:
        given = load(file, masters_needed=False)
        policies.update(given.policy.groups)
        masters.update({master.id: master for master in given.masters})
    return policies, list(masters.values())


def _strangers(records: Iterable[Record], masters: Iterable[Master]) -> dict[str, int]:
    """Return the masters that nobody declared, in the order of appearance, each with its line."""
    known = {master.id for master in masters}
    found: dict[str, int] = {}
    for record in records:
        if record.master not in known:
            found.setdefault(record.master, record.line)
    return found


def _unknown(source: str, strangers: Mapping[str, int]) -> str:
    name, line = min(strangers.items(), key=lambda item: item[1])
    others = f" (nor {len(strangers) - 1} others)" if len(strangers) > 1 else ""
    return f"{source}: line {line}: no master {name!r}{others}; --group NAME would let it join"


def _joined(
    policies: Mapping[str, GroupPolicy],
    masters: Sequence[Master],
    file: Path | None,
    group: str,
) -> dict[str, GroupPolicy]:
    """Return the policies with one for `group`: its own, that of the policy file, or the preset."""
    if group in policies:
        return dict(policies)
    served = {master.group for master in masters}
    spare = [name for name in policies if name not in served] if file is not None else []
    if len(spare) == 1:  # a policy file speaks of one group; what it is called does not matter
        own = policies[spare[0]]
        return {**{n: p for n, p in policies.items() if n != spare[0]}, group: own}
    if spare:
        raise ConfigurationError(
            [f"{file}: expected a policy for {group!r}, found those of {', '.join(spare)}"]
        )
    return {**policies, group: preset(PRESET, mode=Mode.ACTIVE_ACTIVE)}


def _check_names(
    source: str, policies: Mapping[str, GroupPolicy], masters: Iterable[Master]
) -> None:
    """Hold that a subject of the log is a group, a master or the fleet, and never two of them."""
    taken = {FLEET, *policies}
    clashes = [master.id for master in masters if master.id in taken]
    if FLEET in policies:
        clashes.append(FLEET)
    if clashes:
        raise ObservationsError(
            [f"{source}: {clashes[0]!r} is the name of a master and of a group: choose another"]
        )


def _says(file: Path, group: str, key: str) -> bool:
    """Return whether a policy file itself says anything about `key`, one of the probe's."""
    groups: dict[str, dict[str, dict[str, object]]] = tomllib.loads(
        file.read_text(encoding="utf-8-sig")
    ).get("groups", {})
    own = groups.get(group) or next(iter(groups.values()), {})  # it may go by another name
    return key.removeprefix("probe.") in own.get("probe", {})
