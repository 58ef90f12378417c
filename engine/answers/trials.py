"""What an engine that only observed would have done: every proposal, and what it was worth.

A proposal is *false* if the master that it would have left answered again soon. What it would have
saved is the time from the moment when another master would have served (the proposal and the time
that the recorded or assumed steps take) until somebody did; if somebody did sooner, it would have
cost that difference.
"""

from collections.abc import Iterator
from typing import Final

import msgspec

from engine.answers.hypotheses import times_of
from engine.answers.search import Finder
from engine.answers.times import iso
from engine.core import events as ev
from engine.core.events import Recorded
from engine.log.protocol import Log
from engine.whatif.model import Times
from engine.whatif.tally import FALSE_WITHIN_US

STEPS: Final = ("transfer", "promote", "verify")


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One proposal; times in microseconds, None: nobody served again."""

    seq: int
    at: str
    group: str
    why: str
    source: str
    heir: str
    began_at: str  # the first sign
    served_again_at: str | None
    by: str  # who served then
    answered_again_us: int | None  # from the proposal until its source answered
    down_us: int  # from the first sign until somebody served, or the log ends
    would_us: int  # from the first sign until the heir would have served
    saved_us: int
    cost_us: int
    is_false: bool


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """All proposals of a log."""

    rows: tuple[Row, ...]
    proposals: int
    false: int
    saved_us: int
    cost_us: int


def trial(log: Log, *, false_within_us: int = FALSE_WITHIN_US) -> Trial:
    """Return what was proposed in a log, and what became of it."""
    finder, times = Finder(log), times_of(log)
    end_us = log.head.at_us
    rows = tuple(
        _row(finder, times, found, end_us=end_us, within_us=false_within_us)
        for found in finder.after(0, (ev.FailoverProposed,))
        if isinstance(found.event, ev.FailoverProposed) and found.event.why != "first"
    )
    return Trial(
        rows=rows,
        proposals=len(rows),
        false=sum(row.is_false for row in rows),
        saved_us=sum(row.saved_us for row in rows),
        cost_us=sum(row.cost_us for row in rows),
    )


def _row(finder: Finder, times: Times, found: Recorded, *, end_us: int, within_us: int) -> Row:
    event = found.event
    assert isinstance(event, ev.FailoverProposed)
    began_us = min(_grounds(finder, found), default=found.at_us)
    answered = _first_answer(finder, found, event.source)
    served = _served(finder, found, answered)
    served_us = end_us if served is None else served.at_us
    takes_us = sum(times.median_us(found.subject, step) for step in STEPS)
    heir_us = found.at_us + takes_us
    answered_us = None if answered is None else answered.at_us - found.at_us
    return Row(
        seq=found.seq,
        at=iso(found.at_us),
        group=found.subject,
        why=event.why,
        source=event.source,
        heir=event.heir,
        began_at=iso(began_us),
        served_again_at=None if served is None else iso(served.at_us),
        by="" if served is None else served.subject,
        answered_again_us=answered_us,
        down_us=served_us - began_us,
        would_us=heir_us - began_us,
        saved_us=max(0, served_us - heir_us),
        cost_us=max(0, heir_us - served_us),
        is_false=answered_us is not None and answered_us <= within_us,
    )


def _grounds(finder: Finder, found: Recorded) -> Iterator[int]:
    """Return the times of what a proposal rests on, down to the first sign [us]."""
    evidence = getattr(found.event, "evidence", ())
    for seq in evidence if isinstance(evidence, tuple) else ():
        ground = finder.at(seq)
        if ground is not None:
            yield ground.at_us
            yield from _grounds(finder, ground)


def _first_answer(finder: Finder, found: Recorded, source: str) -> Recorded | None:
    if not source:
        return None
    return next(finder.after(found.seq, (ev.ProbeOk, ev.ProbeDegraded), source), None)


def _served(finder: Finder, found: Recorded, answered: Recorded | None) -> Recorded | None:
    """Return the event with which somebody served the group again."""
    event = found.event
    assert isinstance(event, ev.FailoverProposed)
    others = [verdict.master for verdict in event.table]
    activated = next(finder.after(found.seq, (ev.Activated, ev.Switched), *others), None)
    both = [one for one in (answered, activated) if one is not None]
    return min(both, key=lambda one: one.seq, default=None)
