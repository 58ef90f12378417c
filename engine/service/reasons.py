"""Why something happened, with where the time of a failover went: both from the log."""

from collections.abc import Iterator, Mapping
from typing import Any

from engine.answers.search import Finder
from engine.answers.why import why
from engine.core.events import SwitchDone, Switched
from engine.log.protocol import Log
from projections.base import fold
from projections.incidents import INCIDENTS, failover_at, phases


def ask_why(log: Log, params: Mapping[str, str]) -> dict[str, Any]:
    """Return the causal chain of `what`, as `why` has it; of a failover with its `phases`.

    Raises:
        ConfigurationError: There is nothing of that name.
    """
    found = why(log, params.get("what"))
    if found["kind"] == "FailoverStarted":
        found["phases"] = phases_of(log, found)
    return found


def phases_of(log: Log, found: Mapping[str, Any]) -> dict[str, int]:
    """Return where the time of a failover went [us], of its chain as `why` gives it.

    Only the events that belong to it are read.
    """
    seqs = {int(found["seq"]), *(int(one["seq"]) for one in found.get("led_to", ()))}
    seqs |= set(_grounds(found))
    finder = Finder(log)
    last = max(seqs)
    done = (one.seq for one in finder.after(last, (SwitchDone,), str(found.get("heir", ""))))
    seqs |= {seq for seq in (next(done, 0),) if seq and _is_next(finder, last, seq, found)}
    events = [event for seq in sorted(seqs) if (event := finder.at(seq)) is not None]
    failover = failover_at(fold(INCIDENTS, events), int(found["seq"]))
    return {} if failover is None else phases(failover)


def _grounds(node: Mapping[str, Any]) -> Iterator[int]:
    for ground in node["because"]:
        yield int(ground["seq"])
        yield from _grounds(ground)


def _is_next(finder: Finder, last: int, done: int, found: Mapping[str, Any]) -> bool:
    """Return whether nobody was switched to between the end of a failover and `done`."""
    between = finder.after(last, (Switched,), str(found.get("heir", "")))
    first = next(between, None)
    return first is None or first.seq > done
