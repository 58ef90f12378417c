"""The smallest change of one setting that would have avoided, or caused, a failover.

Both ends of a range are tried first; where an end decides otherwise than what was recorded, the
nearest value to the recorded one that does so is found by halves. That is right if the outcome
changes but once between the two, as it does for a threshold or a time; every value that was tried
is in the answer.
"""

import re
from collections.abc import Callable
from typing import Final

import msgspec

from engine.answers.hypotheses import Stretch, ask, question
from engine.config.durations import microseconds, spell
from engine.core.errors import ConfigurationError
from engine.core.policy import MS
from engine.log.protocol import Log
from engine.whatif.again import WhatIf
from engine.whatif.keys import settings, spelled

_RANGE: Final = re.compile(r"(?P<low>[\w.]+?)\.\.(?P<high>[\w.]+)", re.ASCII)
TRIES_MAX: Final = 64

Part = Callable[[], tuple[Stretch, Callable[[WhatIf], bool] | None]]  # anew for each try


class Try(msgspec.Struct, frozen=True, kw_only=True):
    """One value, and what it would have come to."""

    value: str
    failovers: int
    detections: int
    down_us: int


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """The answer; `value` is None if no value of the range decides otherwise."""

    key: str
    recorded: str
    had: int  # failovers that were recorded [count]
    value: str | None
    has: int | None  # failovers that there would have been with it
    tries: list[Try]
    says: str


class _Scale:
    """The values of a range as whole numbers: counts, or durations in milliseconds."""

    def __init__(self, key: str, low: str, high: str) -> None:
        ends = [self._read(end) for end in (low, high)]
        self.is_time = all(is_time for _, is_time in ends)
        if self.is_time != any(is_time for _, is_time in ends) or ends[0][0] >= ends[1][0]:
            raise ConfigurationError(
                [f"--bisect {key}: expected a range as 1..20 or 100ms..2s, found {low}..{high}"]
            )
        self.low, self.high = (number for number, _ in ends)

    def _read(self, end: str) -> tuple[int, bool]:
        if end.isdigit():
            return int(end), False
        found = microseconds(end)
        if found is None:
            raise ConfigurationError([f"--bisect: expected a count or a duration, found {end!r}"])
        return found // MS, True

    def written(self, number: int) -> str:
        """Return a number as a setting has it."""
        return spell(number * MS) if self.is_time else str(number)


def bisect(log: Log, asked: str, part: Part) -> Turn:
    """Return the smallest change of a setting, as `KEY=LOW..HIGH`, that turns the outcome.

    Args:
        log: Its last policy has the recorded value.
        asked: The setting and the range that is searched.
        part: Gives the part of the log that is decided again, and what says where it may end.

    Raises:
        ConfigurationError: It is no such range, or the log cannot answer for the setting.
    """
    key, _, written = asked.partition("=")
    key = key.strip()
    found = _RANGE.fullmatch(written.strip())
    if found is None:
        raise ConfigurationError(
            [f"--bisect {asked}: expected KEY=LOW..HIGH, as in probe.fall=1..20"]
        )
    scale = _Scale(key, found["low"], found["high"])
    now = _recorded(log, key, scale)
    tries: dict[int, Try] = {}

    def has(number: int) -> bool:
        if number not in tries:
            tries[number] = _tried(log, f"{key}={scale.written(number)}", part)
        return tries[number].failovers > 0

    had = _tried(log, "", part)
    turned = [
        _nearest(now, end, lambda number: has(number) != (had.failovers > 0))
        for end in (scale.low, scale.high)
    ]
    there = [number for number in turned if number is not None]
    value = min(there, key=lambda number: abs(number - now), default=None)
    chosen = None if value is None else tries[value]
    return Turn(
        key=key,
        recorded=scale.written(now),
        had=had.failovers,
        value=None if chosen is None else chosen.value,
        has=None if chosen is None else chosen.failovers,
        tries=[tries[number] for number in sorted(tries)],
        says=_says(key, scale, now, had, chosen),
    )


def _nearest(now: int, end: int, turns: Callable[[int], bool]) -> int | None:
    """Return the number nearest to `now`, towards `end`, that turns; None: the end does not."""
    if end == now or not turns(end):
        return None
    stays, other = now, end
    for _ in range(TRIES_MAX):
        if abs(other - stays) <= 1:
            break
        middle = (stays + other) // 2
        if turns(middle):
            other = middle
        else:
            stays = middle
    return other


def _recorded(log: Log, key: str, scale: _Scale) -> int:
    """Return the recorded value; that of the first group, if they differ."""
    policy = question(log).policy
    for group in policy.groups.values():
        for path, value in settings(group).items():
            if spelled(path) == key and isinstance(value, int) and not isinstance(value, bool):
                return value // MS if scale.is_time else value
    raise ConfigurationError([f"--bisect {key}: expected a setting with a number or a duration"])


def _tried(log: Log, assignment: str, part: Part) -> Try:
    one = question(log, sets=[assignment] if assignment else [])
    stretch, stop = part()
    side = ask(log, one, stretch, stop=stop).whatif
    return Try(
        value=assignment.partition("=")[2],
        failovers=side.failovers,
        detections=side.detections,
        down_us=sum(side.down_us.values()),
    )


def _says(key: str, scale: _Scale, now: int, had: Try, chosen: Try | None) -> str:
    written = scale.written(now)
    if chosen is None:
        what = "avoids the failover" if had.failovers else "causes a failover"
        ends = f"{scale.written(scale.low)}..{scale.written(scale.high)}"
        return f"no value of {key} in {ends} {what} (recorded {written})"
    what = "would have avoided the failover" if had.failovers else "would have caused a failover"
    return f"{key}={chosen.value} is the smallest change that {what} (recorded {written})"
