"""How far the stored views of projections are behind their log, and which of them stand still.

A view is a cache: one that lags costs time where it is asked, and no answer is another for it. One
that is parked stands before an event that its projection cannot apply, until somebody mends that.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from engine.core.errors import LogCorrupted
from engine.core.events import Figures
from engine.core.policy import SECOND
from engine.log.protocol import Log, ViewStatus

BEHIND_S: Final = 5  # a view that is further behind is worth a word (the policies of alerts) [s]

Document = Mapping[str, Any]


def lags(log: Log) -> list[dict[str, object]]:
    """Return how far the view of each attached projection has come, by name, ready for JSON.

    `lag_s` is the log's own time from the first event that is not in the view to the last of the
    log [s]; null if that event cannot be read. `parked_seq` is the event that the view is parked
    before, for this `reason`; 0: it is not. `rebuild_position` is how far a rebuild has come.

    Raises:
        LogError: The log cannot be read.
    """
    return [_lag(log, found) for found in log.views_status()]


def _lag(log: Log, found: ViewStatus) -> dict[str, object]:
    return {
        "name": found.name,
        "position": found.position,
        "lag_events": found.lag_events,
        "lag_s": _lag_s(log, found),
        "parked_seq": found.parked_seq,
        "reason": found.reason,
        "rebuild_position": found.rebuild_position,
    }


def _lag_s(log: Log, found: ViewStatus) -> float | None:
    if not found.lag_events:
        return 0.0
    try:
        first = next(log.rows(found.position, chunk=1), None)
    except LogCorrupted:
        return None
    return 0.0 if first is None else max(0, log.head.at_us - first[1]) / SECOND


def figures_of_lags(views: Iterable[Document]) -> Figures:
    """Return the figures that an alert of views rests on: how far the last of them is behind."""
    behind_s = max((view["lag_s"] or 0.0 for view in views), default=0.0)
    return (("behind_us", int(behind_s * SECOND)),)


def worth_a_word(views: Iterable[Document]) -> list[Document]:
    """Return those that are parked or further behind than BEHIND_S."""
    return [view for view in views if view["parked_seq"] or _is_behind(view)]


def _is_behind(view: Document) -> bool:
    return bool(view["lag_s"] is None or view["lag_s"] > BEHIND_S)


def _by(view: Document) -> str:
    events = f"{view['lag_events']:,} events"
    return events if view["lag_s"] is None else f"{view['lag_s']:,.0f} s ({events})"


def said(views: Sequence[Document], *, runs: bool) -> list[str]:
    """Return what there is to say of views to people, and what to do: nothing if all is well.

    `runs`: an engine writes the log and keeps the views up, so that one which lags is news.
    """
    lines = [
        f"the view {view['name']} is parked before event {view['parked_seq']}, which it cannot "
        f"apply ({view['reason']}): once that is mended, tanist rebuild {view['name']}"
        for view in views
        if view["parked_seq"]
    ]
    behind = [view for view in views if _is_behind(view) and not view["parked_seq"]]
    if not behind:
        return lines
    if runs:
        lines += [
            f"the view {view['name']} is {_by(view)} behind the log; it catches up by itself, and "
            "nothing that is decided waits for it"
            for view in behind
        ]
        return lines
    names = ", ".join(view["name"] for view in behind)
    most = max(view["lag_events"] for view in behind)
    lines.append(
        f"views to be folded on at the next start ({names}): up to {most:,} events; until then a "
        "question folds those itself"
    )
    return lines
