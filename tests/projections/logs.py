"""Logs for the tests of the projections: built by hand, or drawn."""

from hypothesis import strategies as st

from engine.core import events as ev
from engine.core.events import FLEET, AnyEvent, Recorded
from engine.core.fleet import Master, Mode
from engine.core.policy import Policy, preset

HEALTHY = ev.MasterHealthy(evidence=(1,), rule="rise")
DEGRADED = ev.MasterDegraded(evidence=(1,), rule="reported")
FAILED = ev.MasterFailed(evidence=(1,), hard=False, rule="fall")
RECOVERING = ev.MasterRecovering(evidence=(1,), rule="answered")
UNKNOWN = ev.MasterUnknown(rule="silence")
ACTIVATED = ev.Activated(epoch=1, rule="healthy")
SWITCHED = ev.Switched(epoch=2)
LOST = ev.ActivationLost(epoch=1, found=0, evidence=(1,))
FENCED = ev.MasterFenced(
    revokes=1, confirm_at=2, requeued=0, first=0, last=0, digest="", reason="failed"
)
DRAIN_STARTED = ev.DrainStarted(reason="switchover")
DRAIN_CANCELLED = ev.DrainCancelled()
DRAIN_ENDED = ev.DrainEnded()
PROBE_OK = ev.ProbeOk(n=1, latency_us=1)
PROBE_FAILED = ev.ProbeFailed(n=1, evidence=ev.Evidence.REFUSED)
STANDBY, ACTIVE = Mode.ACTIVE_STANDBY, Mode.ACTIVE_ACTIVE


def adopted(**modes: Mode) -> ev.PolicyAdopted:
    groups = {name: preset("zone", mode=mode) for name, mode in modes.items()}
    return ev.PolicyAdopted(policy=Policy(groups=groups), digest="d")


def added(name: str, group: str, *, weight: int = 1, priority: int = 1) -> ev.MasterAdded:
    master = Master(id=name, group=group, address="", weight=weight, priority=priority)
    return ev.MasterAdded(master=master)


def maintenance(from_us: int, to_us: int) -> ev.MaintenanceDeclared:
    return ev.MaintenanceDeclared(from_us=from_us, to_us=to_us, reason="patch", author="ann")


def control(group: str, strategy: str, **weights: int) -> ev.GroupControl:
    return ev.GroupControl(
        group=group, assigned="", strategy=strategy, weights=tuple(weights.items())
    )


def rolled_back(group: str, strategy: str, **weights: int) -> ev.RollbackAccepted:
    goal = control(group, strategy, **weights)
    return ev.RollbackAccepted(before=goal, after=goal, digest="d", position=1)


def started(why: str = "failed", *, number: int = 1) -> ev.FailoverStarted:
    return ev.FailoverStarted(
        id=number, why=why, source="a", to="", planned=False, waits="", counts=True
    )


def attempt(heir: str, *, n: int = 1, epoch: int = 6) -> ev.AttemptStarted:
    return ev.AttemptStarted(n=n, heir=heir, epoch=epoch, table=())


def ended(result: str, reason: str = "", *, number: int = 1) -> ev.FailoverEnded:
    return ev.FailoverEnded(
        id=number, result=result, reason=reason, phases=(), hold_until_us=0, retry_at_us=0
    )


def log(*lines: tuple[int, str, AnyEvent] | tuple[int, str, AnyEvent, int]) -> list[Recorded]:
    """Return a log of (at_us, subject, event) or (at_us, subject, event, cause)."""
    return [
        Recorded(
            seq=seq, at_us=line[0], subject=line[1], cause=line[3] if line[3:] else 0, event=line[2]
        )
        for seq, line in enumerate(lines, 1)
    ]


# Masters a and b are of group g, c is of h; x and its group are never declared.
OPENING: list[tuple[int, str, AnyEvent]] = [
    (0, FLEET, adopted(g=ACTIVE, h=STANDBY)),
    (0, "a", added("a", "g", weight=2)),
    (0, "b", added("b", "g")),
    (0, "c", added("c", "h")),
]
ABOUT_MASTERS: list[AnyEvent] = [
    *(HEALTHY, DEGRADED, FAILED, RECOVERING, UNKNOWN, PROBE_OK, PROBE_FAILED),
    *(ACTIVATED, SWITCHED, LOST, FENCED, DRAIN_STARTED, DRAIN_CANCELLED, DRAIN_ENDED),
    ev.MasterRemoved(group="g"),
    ev.AttemptFailed(reason="promote refused", maybe_active=False),
    ev.MasterRejoined(epoch=3),
]
ABOUT_GROUPS: list[AnyEvent] = [
    *(started(), started("rollback"), attempt("a"), attempt("b"), ended("completed")),
    ended("abandoned", "recovered"),
    rolled_back("g", "priority", a=3, b=0),
    ev.RollbackEnded(result="complete", digest="d"),
    ev.StrategyChanged(strategy="priority"),
    ev.StrategyAsked(strategy="priority", author="ann"),
    ev.SwitchoverAsked(to="b", author="ann"),
]
EVENTS = st.one_of(
    st.tuples(st.sampled_from("abcx"), st.sampled_from(ABOUT_MASTERS)),
    st.tuples(st.sampled_from("ghy"), st.sampled_from(ABOUT_GROUPS)),
    st.tuples(
        st.sampled_from(["a", "g", FLEET]),
        st.builds(maintenance, st.integers(-5, 60), st.integers(-5, 60)),
    ),
    st.just((FLEET, ev.Refused(what="command", reasons=("no",)))),
    st.just((FLEET, adopted(g=STANDBY, h=ACTIVE))),
    st.sampled_from([("a", added("a", "g")), ("c", added("c", "h", weight=0))]),
)


@st.composite
def drawn_logs(draw: st.DrawFn) -> list[Recorded]:
    """Return a log of any events in any order; a projection has to take them all."""
    lines: list[tuple[int, str, AnyEvent, int]] = [(*line, 0) for line in OPENING]
    at_us = 0
    for gap_us, (subject, event) in draw(st.lists(st.tuples(st.integers(0, 9), EVENTS))):
        at_us += gap_us
        lines.append((at_us, subject, event, draw(st.integers(0, len(lines)))))
    return log(*lines)
