"""What an observing engine would have done: the newest proposal of each group.

The state only keeps where to look for it, so it is found in the log or asked of the engine.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from engine.answers.search import Finder
from engine.answers.times import iso
from engine.core.events import FailoverProposed, jsonable
from engine.log.protocol import Log

Row = Mapping[str, Any]  # an event as `events --json` prints it
Read = Callable[[str, int], Iterable[Row]]  # events of a group, or of all, from a seq on


def in_log(log: Log) -> Read:
    """Return how the proposals of a group are read from a log."""

    def read(group: str, seq: int) -> Iterable[Row]:
        for found in Finder(log).after(seq - 1, (FailoverProposed,), group):
            yield {**jsonable(found), "at": iso(found.at_us)}

    return read


def with_proposals(status: dict[str, Any], read: Read) -> dict[str, Any]:
    """Return a status in which every group has its `proposal`; null: none since its activation."""
    groups = {
        name: {**group, "proposal": _newest(name, group["proposed_seq"], read)}
        for name, group in status["groups"].items()
    }
    return {**status, "groups": groups}


def _newest(group: str, seq: int, read: Read) -> dict[str, Any] | None:
    if not seq:
        return None
    # `seq` is the evidence that it rests on, or its own: it is the first one from there on.
    for row in read(group, seq):
        if row["kind"] == FailoverProposed.__name__ and row["subject"] == group:
            data = row["data"]
            return {
                "seq": row["seq"],
                "at": row["at"],
                **{name: data[name] for name in ("why", "source", "heir")},
            }
    return None
