"""Failure processes that were recorded: how long until a master fails, and until it is well again.

Taken from a log, or from a file of observations of another monitor. Each time is one that happened;
a schedule draws among them, so their distribution is the recorded one, whatever it is.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from engine.core import events as ev
from engine.core.errors import ObservationsError
from engine.core.events import Recorded
from engine.observations import Record

_WELL: Final = (ev.MasterHealthy, ev.MasterDegraded)


class History(msgspec.Struct, frozen=True, kw_only=True):
    """Times that were recorded, each at least 1 [us]."""

    to_failure_us: tuple[int, ...]
    to_repair_us: tuple[int, ...]

    def scaled(self, numerator: int, denominator: int) -> "History":
        """Return the same in another time: weeks of probes each minute become minutes."""
        return History(
            to_failure_us=tuple(max(1, us * numerator // denominator) for us in self.to_failure_us),
            to_repair_us=tuple(max(1, us * numerator // denominator) for us in self.to_repair_us),
        )


class _Spans:
    """Collects the times in both states, for each master."""

    def __init__(self) -> None:
        self._since: dict[str, tuple[bool, int]] = {}  # is it well, and from when on [us]
        self.up: list[int] = []
        self.down: list[int] = []

    def note(self, name: str, at_us: int, *, is_well: bool) -> None:
        was_well, since_us = self._since.get(name, (is_well, -1))
        if was_well == is_well and since_us >= 0:
            return
        if since_us > 0 and at_us > since_us:
            (self.up if was_well else self.down).append(at_us - since_us)
        self._since[name] = is_well, at_us

    def forget(self, name: str) -> None:
        self._since.pop(name, None)

    def history(self, source: str) -> History:
        if not self.up or not self.down:
            found = f"{len(self.up)} failures and {len(self.down)} repairs"
            raise ObservationsError([f"{source}: expected a failure and a repair, found {found}"])
        return History(to_failure_us=tuple(self.up), to_repair_us=tuple(self.down))


def of_log(log: Iterable[Recorded], *, source: str) -> History:
    """Return what a log tells of its masters; a time of which nothing is known ends a span.

    Raises:
        ObservationsError: No master failed and was repaired.
    """
    spans = _Spans()
    for recorded in log:
        event = recorded.event
        if isinstance(event, _WELL):
            spans.note(recorded.subject, recorded.at_us, is_well=True)
        elif isinstance(event, ev.MasterFailed):
            spans.note(recorded.subject, recorded.at_us, is_well=False)
        elif isinstance(event, ev.MasterUnknown | ev.MasterRemoved):
            spans.forget(recorded.subject)
    return spans.history(source)


def of_observations(records: Iterable[Record], *, source: str) -> History:
    """Return what observations tell: a master has failed from its first failed one on.

    Raises:
        ObservationsError: No master failed and was repaired.
    """
    spans = _Spans()
    for record in records:
        spans.note(record.master, record.at_us, is_well=record.outcome != "failed")
    return spans.history(source)
