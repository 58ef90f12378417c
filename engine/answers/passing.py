"""Why a master was not chosen, or would not be chosen now.

Now: every rule that it fails, with the figures; if it fails none, its rank, who is ahead of it, and
by which key. Then: what the table of the newest choice of its group says of it, as it was decided.
"""

from collections.abc import Mapping
from typing import Any, Final

from engine.answers.search import Finder
from engine.answers.times import iso
from engine.answers.words import figures
from engine.core import candidates
from engine.core import events as ev
from engine.core.errors import ConfigurationError
from engine.core.events import Figures, Recorded, Verdict
from engine.core.fleet import Role
from engine.core.state import GroupState, State, active_of, is_active_standby
from engine.log.protocol import Log

CHOICES: Final = (ev.AttemptStarted, ev.FailoverProposed)
_NO_KEYS: Final = ("good_age_us",)  # figures that a rank does not go by
_SAYS: Final[Mapping[str, str]] = {
    "serving": "it serves already",
    "fenced": "it is fenced, until it confirms that epoch",
    "promoting": "it is being promoted",
    "excluded": "somebody excluded it",
    "maintenance": "it is under maintenance",
    "failed-attempt": "it could not take over in the failover that is open",
    "health-failed": "it has failed",
    "health-recovering": "it answers again, and is not trusted yet",
    "health-unknown": "nothing is heard of it",
    "stale": "its last good probe is too old",
    "lagging": "it is too far behind, as it says",
    "behind": "its data is older than the newest that is known",
}
_KEYS: Final[Mapping[str, str]] = {
    "acts": "whether somebody promoted it by hand",
    "health_rank": "health",
    "just_left": "who was not just left",
    "priority": "priority",
    "away": "the region of the one that served",
    "id": "the order of names, all else being equal",
}


def why_not(log: Log, state: State, master: str) -> dict[str, Any]:
    """Return why `master` was not chosen, as of the position of `state`.

    Raises:
        ConfigurationError: There is no such master at that position.
    """
    group = state.group_of(master)
    if group is None or master not in group.masters:
        known = ", ".join(sorted(state.cache.places)) or "none"
        raise ConfigurationError(
            [f"no master {master!r} at that position: expected one of {known}"]
        )
    verdicts = candidates.table(state, group, state.at_us)
    own = next(verdict for verdict in verdicts if verdict.master == master)
    rules = list(candidates.every_rule(state, group, master, state.at_us))
    ahead = [verdict for verdict in verdicts if verdict.fit and 0 < verdict.rank < own.rank]
    serves = group.masters[master].role in (Role.ACTIVE, Role.DRAINING)
    found: dict[str, Any] = {
        "master": master,
        "group": group.id,
        "seq": state.seq,
        "at": iso(state.at_us),
        "serves": serves,
        "active": active_of(group) if is_active_standby(state, group) else "",
        "fit": own.fit,
        "rank": own.rank or None,
        "figures": dict(own.figures) if own.fit else {},
        "fails": [_failed(rule, numbers) for rule, numbers in rules],
        "ahead": [_ahead(other, own) for other in ahead],
        "then": _then(log, state, group, master),
    }
    return {**found, "says": _sentence(state, group, found)}


def _failed(rule: str, numbers: Figures) -> dict[str, Any]:
    return {"rule": rule, "figures": dict(numbers), "says": _SAYS.get(rule, rule)}


def _ahead(other: Verdict, own: Verdict) -> dict[str, Any]:
    """Return who is ahead, and the first key that says so."""
    key = decisive(other.figures, own.figures)
    return {
        "master": other.master,
        "rank": other.rank,
        "key": key,
        "theirs": dict(other.figures).get(key),
        "own": dict(own.figures).get(key),
        "says": _KEYS.get(key, key.removesuffix("_us").replace("_", " ")),
    }


def decisive(theirs: Figures, own: Figures) -> str:
    """Return the first key in which two that are ranked differ; "id" if it is none."""
    mine = dict(own)
    keys = (name for name, value in theirs if name not in _NO_KEYS and mine.get(name) != value)
    return next(keys, "id")


def _then(log: Log, state: State, group: GroupState, master: str) -> dict[str, Any] | None:
    """Return what the newest choice up to the position says of `master`; None: there was none."""
    for found in Finder(log).before(state.seq + 1, CHOICES, group.id):
        event = found.event
        assert isinstance(event, ev.AttemptStarted | ev.FailoverProposed)
        own = next((verdict for verdict in event.table if verdict.master == master), None)
        if own is not None:
            return _chosen(found, event.heir, own, event.table)
    return None


def _chosen(found: Recorded, heir: str, own: Verdict, table: tuple[Verdict, ...]) -> dict[str, Any]:
    chosen = next((verdict for verdict in table if verdict.master == heir), None)
    by = None
    if own.fit and chosen is not None and heir != own.master:
        by = _ahead(chosen, own)
    says = _SAYS.get(own.rule, own.rule)
    if heir == own.master:
        says = "it was chosen"
    elif own.rule == "serving":
        says = "it served until then"
    return {
        "seq": found.seq,
        "at": iso(found.at_us),
        "kind": type(found.event).__name__,
        "heir": heir,
        "rule": own.rule,
        "rank": own.rank or None,
        "figures": dict(own.figures),
        "ahead": by,
        "says": says,
    }


def _sentence(state: State, group: GroupState, found: dict[str, Any]) -> str:
    master = found["master"]
    if not is_active_standby(state, group):
        says = "every healthy master of the group serves"
        return (
            f"{master}: {says}" if found["serves"] else f"{master} does not serve: {_fails(found)}"
        )
    if found["serves"]:
        return f"{master} serves {group.id}"
    if found["fails"]:
        return f"{master} could not take over now: {_fails(found)}"
    if found["rank"] == 1:
        return f"{master} would be chosen now"
    first = found["ahead"][0]
    return f"{first['master']} would be chosen before {master}: {first['says']}"


def _fails(found: dict[str, Any]) -> str:
    said = [
        one["says"] + (f" ({figures(one['figures'])})" if one["figures"] else "")
        for one in found["fails"]
    ]
    return "; ".join(said) or "it waits to be activated"
