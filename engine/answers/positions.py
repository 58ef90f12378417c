"""Where in a log: a seq, a time or a checkpoint becomes a seq.

A seq is digits, a checkpoint's name starts with a letter, anything else is a time. A time means
the last event that is not later. Times never go back in a log, so it is found by bisection.
"""

from engine.answers.search import events_of
from engine.answers.times import iso, microseconds
from engine.config.durations import microseconds as duration
from engine.core import state as st
from engine.core.errors import ConfigurationError
from engine.core.events import CheckpointMarked, LogBased, Refused
from engine.log.protocol import Log


def resolve(log: Log, text: str) -> int:
    """Return the position that `text` names [seq]; 0 is the one before everything.

    Raises:
        ConfigurationError: It is none of the three, or the log does not reach there.
    """
    if text.isascii() and text.isdigit():
        seq, head = int(text), log.head.seq
        if seq > head:
            raise ConfigurationError([f"position {seq}: the log ends at {head}"])
        return seq
    if text[:1].isalpha():
        found = _checkpoints(log)
        if text not in found:
            names = ", ".join(found) or "none"
            raise ConfigurationError([f"no checkpoint {text!r} in the log (there: {names})"])
        return found[text]
    try:
        at_us = microseconds(text)
    except ConfigurationError as err:
        raise ConfigurationError(
            [
                "expected a position: a seq, a time with its zone as 2026-01-31T12:00:00Z or the "
                f"name of a checkpoint, found {text!r}"
            ]
        ) from err
    return last_until(log, at_us)


def bounds(log: Log, text: str) -> tuple[int, int]:
    """Return the first event from the position `text` on, and the last one up to it [seq].

    Here it may also say how long before the end of the log it is, as in "10m". The first one may be
    one that is still to come.

    Raises:
        ConfigurationError: It is no position, or the log does not reach there.
    """
    back_us = duration(text)
    if back_us is not None:
        at_us = log.head.at_us - back_us
    elif text[:1].isalpha() or (text.isascii() and text.isdigit()):
        seq = resolve(log, text)
        return max(1, seq), seq
    else:
        try:
            at_us = microseconds(text)
        except ConfigurationError as err:
            raise ConfigurationError(
                [
                    "expected a position: a seq, a time with its zone as 2026-01-31T12:00:00Z, "
                    "the name of a checkpoint or how long before the end, as 10m, "
                    f"found {text!r}"
                ]
            ) from err
    return last_until(log, at_us - 1) + 1, last_until(log, at_us)


def last_until(log: Log, at_us: int) -> int:
    """Return the seq of the last event at or before `at_us` [us]; before the first one: 0."""
    low, high = 0, log.head.seq
    first = next(log.rows(chunk=1), None)
    if first is None or first[1] > at_us:
        return 0
    low = first[0]
    while low < high:
        middle = (low + high + 1) // 2
        # Where retention has been, there need not be one at every seq.
        row = next(log.rows(middle - 1, high, chunk=1), None)
        if row is not None and row[1] <= at_us:
            low = row[0]
        else:
            high = middle - 1
    return low


def describe(log: Log, seq: int) -> str:
    """Return the time of the event at `seq`, or of the next one that is there, in ISO 8601.

    That of 0 is the beginning of time.
    """
    row = next(log.rows(seq - 1, chunk=1), None) if seq else None
    return iso(0 if row is None else row[1])


def _checkpoints(log: Log) -> dict[str, int]:
    """Return the seq of every checkpoint by name, as in the fold: one that was refused is none."""
    found: dict[str, int] = {}
    asked: dict[int, str] = {}  # the names that no refusal has followed, by seq
    for recorded in events_of(log, (LogBased, CheckpointMarked, Refused)):
        match recorded.event:
            case LogBased(state=state):
                found.update(st.restore(state).fleet.checkpoints)
            case CheckpointMarked(name=name):
                asked[recorded.seq] = name
            case _:
                asked.pop(recorded.cause, None)
    for seq, name in asked.items():
        found.setdefault(name, seq)
    return found
