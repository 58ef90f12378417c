"""Why something is as it is: the causal chain of a decision, down to single observations.

Every node is one event. What it rests on (`because`) is its evidence, what it continues, and its
direct cause, in this order, each followed to the end before the next; an event appears once. What
was not chosen (`rejected`) comes from the table that the decision itself carries, so the answer is
what was known then and not what would be decided today.

A failure that nothing followed says why (`says`): the group was paused, held down, nobody was fit.
"""

import re
from collections.abc import Iterator
from typing import Final, TypeAlias

from engine.answers.held import CALLING, Held
from engine.answers.search import Finder
from engine.answers.times import iso
from engine.core import events as ev
from engine.core.deadlines import SILENCE
from engine.core.errors import ConfigurationError
from engine.core.events import AnyEvent, Recorded, Verdict
from engine.log.protocol import Log

DEPTH_MAX: Final = 30  # a chain of two failovers in a row has about fifteen
WIDTH_MAX: Final = 50  # children of one event; `fall` is hardly ever above ten
NODES_MAX: Final = 1_000

Node: TypeAlias = dict[str, object]
Lost: TypeAlias = tuple[str, str]  # the master that another takes over from, and why; "" for none

_VERDICTS: Final = (
    ev.MasterHealthy,
    ev.MasterDegraded,
    ev.MasterFailed,
    ev.MasterRecovering,
    ev.MasterUnknown,
)
_PROBES: Final = (ev.ProbeOk, ev.ProbeDegraded, ev.ProbeFailed)
_OF_GROUP: Final = (
    ev.FailoverStarted,
    ev.FailoverProposed,
    ev.Refused,
    ev.RollbackAccepted,
    ev.StrategyChanged,
)
_OF_SAGA: Final = (
    ev.AttemptStarted,
    ev.MasterFenced,
    ev.TransferStarted,
    ev.PromotionStarted,
    ev.VerificationStarted,
    ev.Switched,
    ev.AttemptFailed,
    ev.FailoverEnded,
)
_LARGE: Final = ("policy", "masters", "table", "control", "before", "after", "state", "chain")
_LEFT: Final = {
    "failed": "the one that failed",
    "suspected": "the one that is said to have failed",
    "activation-lost": "the one that lost its activation",
}
_NAMED: Final = re.compile(r"failover (\d+): ")  # how a fence says what it belongs to


def why(log: Log, what: str | None = None) -> Node:
    """Return the causal chain of `what`, in the shape of interfaces.md.

    Args:
        log: It is looked up event by event; only the search for a name reads rows in order.
        what: A seq or the id of a failover (its start); a master (its last verdict) or a group
            (its last failover, proposal or refusal); None: the last failover, else the last
            proposal, else the last failed master. A newer failure that a group still waits upon
            comes before a failover.

    Returns:
        The node of the event, with `says`: sentences about what it changed or waits for. A
        failover also has `heir`, and `led_to`: what followed in it. Where a bound cut something
        off, `omitted` says how many events.

    Raises:
        ConfigurationError: There is no such thing in the log, or nothing was decided about it.
    """
    finder = Finder(log)
    held = Held(log, finder)
    is_seq = what is not None and what.isascii() and what.isdigit()
    root = _at(finder, int(what or 0)) if is_seq else _named(finder, held, what)
    node = _Chain(finder).node(root, depth=0)
    node["says"] = held.says(root, is_named=not is_seq)
    return node


def _at(finder: Finder, seq: int) -> Recorded:
    found = finder.at(seq) if seq <= finder.head else None
    if found is None:
        raise ConfigurationError([f"no event {seq} in the log: it ends at {finder.head}"])
    return found


def _named(finder: Finder, held: Held, name: str | None) -> Recorded:
    """Return the event that answers for a name, or for the whole log."""
    found = _last(finder) if name is None else _last_about(finder, name)
    is_group = name is None or held.has_group(name)
    waited = held.unanswered(name) if is_group else None
    if waited is not None and (found is None or found.seq < waited.seq):
        return waited
    if found is not None:
        return found
    raise ConfigurationError([_mute(finder, held, name)])


def _last_about(finder: Finder, name: str) -> Recorded | None:
    return next(finder.before(finder.head + 1, (*_VERDICTS, *_OF_GROUP), name), None)


def _mute(finder: Finder, held: Held, name: str | None) -> str:
    """Return why there is nothing to explain."""
    waits = held.waits(name)
    if name is None:
        return (
            waits[0] if waits else "no master failed in this log: name a seq, a master or a group"
        )
    added = next(finder.before(finder.head + 1, (ev.MasterAdded,), name), None)
    is_known = added is not None or name == ev.FLEET or held.knows(name)
    if not is_known:
        return f"expected a seq, a failover, a master or a group of the log, found {name!r}"
    return "; ".join([f"nothing was decided about {name} yet", *waits])


def _last(finder: Finder) -> Recorded | None:
    """Return the last failover; where there is none, the last proposal or failed master."""
    second: dict[type[AnyEvent], Recorded] = {}
    kinds = (ev.FailoverStarted, ev.FailoverProposed, *CALLING)
    for recorded in finder.before(finder.head + 1, kinds):
        if isinstance(recorded.event, ev.FailoverStarted):
            return recorded
        second.setdefault(type(recorded.event), recorded)
    return next((second[kind] for kind in kinds[1:] if kind in second), None)


class _Chain:
    """One answer; knows which events are in it already."""

    def __init__(self, finder: Finder) -> None:
        self._finder = finder
        self._shown: set[int] = set()

    def node(self, recorded: Recorded, *, depth: int) -> Node:
        self._shown.add(recorded.seq)
        because: list[Node] = []
        omitted: set[int] = set()
        for seq in self._grounds(recorded):
            if seq in self._shown or seq >= recorded.seq:
                continue
            if depth >= DEPTH_MAX or len(because) >= WIDTH_MAX or len(self._shown) >= NODES_MAX:
                omitted.add(seq)
                continue
            ground = self._finder.at(seq)
            if ground is not None:  # a log whose beginning was cut off may not have it any more
                because.append(self.node(ground, depth=depth + 1))
        event = recorded.event
        table, heir, lost = self._choice(recorded)
        node: Node = {
            "seq": recorded.seq,
            "at": iso(recorded.at_us),
            "kind": type(event).__name__,
            "subject": recorded.subject,
            "rule": _rule(event, table, heir),
            "figures": _figures(event, table, heir),
            "data": _said(event),
            "rejected": [_rejected(verdict, lost) for verdict in table if verdict.master != heir],
            "because": because,
        }
        if heir:
            node["heir"] = heir
        if depth == 0 and isinstance(event, ev.FailoverStarted):
            node["led_to"] = [_brief(follower) for follower in self._followers(recorded)]
        if omitted - self._shown:
            node["omitted"] = len(omitted - self._shown)
        return node

    def _grounds(self, recorded: Recorded) -> Iterator[int]:
        """Return the seqs that an event rests on: evidence, what it continues, its cause."""
        event = recorded.event
        yield from getattr(event, "evidence", ()) if not _is_seen(event) else ()
        match event:
            case ev.Outcome(failover=failover) if failover:
                yield failover  # its id is the seq of its start
            case ev.FailoverEnded(id=failover):
                yield failover
            case ev.MasterFenced(reason=reason) if (named := _NAMED.match(reason)) is not None:
                yield int(named[1])
            case ev.AttemptStarted() | ev.ApprovalGiven():
                yield from self._last_before(recorded, ev.FailoverStarted)
            case ev.RollbackEnded():
                yield from self._last_before(recorded, ev.RollbackAccepted)
            case ev.DeadlinePassed(what="silent_after"):
                yield from self._last_before(recorded, ev.LoadReported)
            case ev.DeadlinePassed(what=what) if what == SILENCE:
                heard = self._finder.before(recorded.seq, _PROBES, recorded.subject)
                yield from (found.seq for found in (next(heard, None),) if found is not None)
            case _:
                pass
        if recorded.cause:
            yield recorded.cause

    def _last_before(self, recorded: Recorded, kind: type[AnyEvent]) -> Iterator[int]:
        """Return the seq of the last event of `kind` about the same subject, if there is one."""
        before = self._finder.before(recorded.seq, (kind,), recorded.subject)
        yield from (found.seq for found in (next(before, None),) if found is not None)

    def _followers(self, started: Recorded) -> Iterator[Recorded]:
        """Return what was decided in the failover that `started`, up to its end."""
        assert isinstance(started.event, ev.FailoverStarted)
        subjects = {started.subject, started.event.source}
        for attempt in self._attempts(started):
            assert isinstance(attempt.event, ev.AttemptStarted)
            subjects.update(verdict.master for verdict in attempt.event.table)
        for recorded in self._finder.after(started.seq, _OF_SAGA, *subjects):
            yield recorded
            if isinstance(recorded.event, ev.FailoverEnded):
                return

    def _attempts(self, started: Recorded) -> Iterator[Recorded]:
        kinds = (ev.AttemptStarted, ev.FailoverEnded)
        for recorded in self._finder.after(started.seq, kinds, started.subject):
            if isinstance(recorded.event, ev.FailoverEnded):
                return
            yield recorded

    def _choice(self, recorded: Recorded) -> tuple[tuple[Verdict, ...], str, Lost]:
        """Return the candidate table that goes with an event, who was chosen, and who is left."""
        event = recorded.event
        if isinstance(event, ev.FailoverProposed):
            return event.table, event.heir, (event.source, event.why)
        if isinstance(event, ev.AttemptStarted):
            for seq in self._last_before(recorded, ev.FailoverStarted):
                started = self._finder.at(seq)
                if started is not None and isinstance(started.event, ev.FailoverStarted):
                    return event.table, event.heir, (started.event.source, started.event.why)
            return event.table, event.heir, ("", "")
        if isinstance(event, ev.FailoverStarted):
            last = None
            for attempt in self._attempts(recorded):
                last = attempt.event
            if isinstance(last, ev.AttemptStarted):
                return last.table, last.heir, (event.source, event.why)
        return (), "", ("", "")


def _is_seen(event: AnyEvent) -> bool:
    """Return whether `evidence` says what was seen, rather than which events were."""
    return isinstance(event, ev.ProbeFailed | ev.ConnectionClosed)


def _rule(event: AnyEvent, table: tuple[Verdict, ...], heir: str) -> str:
    match event:
        case ev.ProbeFailed() | ev.ConnectionClosed():
            return event.evidence.value
        case ev.AttemptStarted():
            return next((verdict.rule for verdict in table if verdict.master == heir), "")
        case ev.FailoverStarted() | ev.FailoverProposed():
            return event.why
        case ev.FailoverEnded() | ev.RollbackEnded():
            return event.result
        case ev.Outcome():
            return event.result.value
        case ev.DeadlinePassed() | ev.Refused():
            return event.what
        case _:
            return str(getattr(event, "rule", "") or getattr(event, "reason", ""))


def _figures(event: AnyEvent, table: tuple[Verdict, ...], heir: str) -> dict[str, int]:
    """Return the numbers that the decision rested on, or those of the observation itself."""
    if isinstance(event, ev.AttemptStarted):
        chosen = next((verdict.figures for verdict in table if verdict.master == heir), ())
        return {"n": event.n, "epoch": event.epoch, **dict(chosen)}
    if isinstance(event, ev.FailoverEnded):
        return dict(event.phases)
    figures = getattr(event, "figures", ())
    if figures:
        return dict(figures)
    plain = {name: getattr(event, name) for name in event.__struct_fields__}
    return {name: value for name, value in plain.items() if type(value) is int}


def _said(event: AnyEvent) -> dict[str, object]:
    """Return the words of the event: its plain fields that say something."""
    plain = {name: getattr(event, name) for name in event.__struct_fields__ if name not in _LARGE}
    said: dict[str, object] = {
        name: value for name, value in plain.items() if isinstance(value, str | bool) and value
    }
    if isinstance(event, ev.Refused):
        return {**said, "reasons": list(event.reasons)}
    return said


def _rejected(verdict: Verdict, lost: Lost) -> dict[str, object]:
    """Return why a master was not chosen; `says` has the rule as of then, in words."""
    figures = dict(verdict.figures)
    if verdict.fit:
        figures = {"rank": verdict.rank, **figures}
    source, why = lost
    says = "was serving" if verdict.rule == "serving" else verdict.rule
    if verdict.master == source and not verdict.fit:
        says = _LEFT.get(why, "the one that is left")
    return {"master": verdict.master, "rule": verdict.rule, "says": says, "figures": figures}


def _brief(recorded: Recorded) -> dict[str, object]:
    event = recorded.event
    return {
        "seq": recorded.seq,
        "at": iso(recorded.at_us),
        "kind": type(event).__name__,
        "subject": recorded.subject,
        "rule": _rule(event, getattr(event, "table", ()), getattr(event, "heir", "")),
    }
