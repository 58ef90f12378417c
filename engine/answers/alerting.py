"""Alerts in words: what stands, what each says, and what can be typed.

The conditions are the core's own; here each becomes a sentence and, where there is one, a command.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from engine.answers.search import Finder
from engine.answers.times import iso
from engine.answers.words import lasting, moment, parts
from engine.core import events as ev
from engine.core.events import AnyEvent, Recorded
from engine.core.state import Alert, State
from engine.log.protocol import Log

Said = dict[str, object]

_RANKS: Final = {"critical": 0, "warning": 1, "": 2}
_TYPED: Final = {
    "approval": "tanist approve {subject}",
    "limit": "tanist approve {subject}, or tanist release",
    "held-down": "tanist approve {subject}",
    "paused": "tanist resume",
    "failover": "tanist why",
    "failover-failed": "tanist why {id}",
    "data-lost": "tanist why {id}",
    "fence": "tanist release MASTER, if it cannot act any more",
    "several-active": "end all of them but one",
    "no-heir": "tanist status",
    "disk-full": "make space on the disk of the log",
    "disk-filling": "make space on the disk of the log, or set log.max_size",
    "queue": "tanist messages",
    "share": "tanist weights",
    "view-behind": "tanist status",
    "burn": "tanist incidents",
    "objective": "tanist uptime --by group",
}


def says(kind: str, subject: str, figures: Mapping[str, int]) -> str:
    """Return what an alert says, for people."""
    match kind:
        case "master-failed":
            return f"{subject} has failed and is not trusted again"
        case "all-down":
            return f"no master left: all {figures['masters']} of {subject} are down"
        case "no-active":
            return f"nobody of {subject} serves"
        case "no-heir":
            return f"nobody of {subject} could take over if who serves failed now"
        case "failover":
            return f"{subject} fails over"
        case "failover-failed":
            return f"failover {figures['id']} of {subject} failed, and nobody took over since"
        case "data-lost":
            size = figures["bytes"]
            return f"failover {figures['id']} of {subject} loses at least {size} bytes of data"
        case "approval":
            return f"failover {figures['id']} of {subject} waits for an approval"
        case "limit":
            until = moment(figures["until_us"])
            return f"failover {figures['id']} of {subject}: the limit is spent until {until}"
        case "held-down":
            until = moment(figures["until_us"])
            return f"failover {figures['id']} of {subject} is held down until {until}"
        case "fence":
            return f"failover {figures['id']} of {subject} waits for a fence to be confirmed"
        case "failovers":
            window = lasting(figures["window_us"])
            return f"{figures['failovers']} failovers of {subject} within {window}"
        case "recovery":
            return f"failover {figures['id']} of {subject} takes long"
        case "several-active":
            return f"{figures['claims']} masters of {subject} report themselves active"
        case "paused":
            return f"{subject} is paused"
        case "observing":
            return f"{subject} only observes, although its masters could be told"
        case "flapping":
            return f"{subject} answers and fails by turns"
        case "contradict":
            return f"the observers of {subject} contradict one another: there is no verdict"
        case "doubt":
            return "every master fails at once: this engine may be the one that is cut off"
        case "clock":
            return f"the wall clock was set by {lasting(figures['step_us'])}"
        case "engine-late":
            return f"the engine itself stood still for {lasting(figures['stall_us'])}"
        case "disk-full":
            left = parts(figures["left"], figures["reserve"])
            return f"the disk of the log is full: {left} of the reserve left"
        case _:
            return _of_figures(kind, subject, figures)


def _of_figures(kind: str, subject: str, figures: Mapping[str, int]) -> str:
    """Return what an alert says that rests on figures."""
    match kind:
        case "queue":
            return f"{figures['queue']} wait at {subject}"
        case "cpu":
            return f"{subject} uses {_percent(figures['cpu_ppm'])} of its processors"
        case "memory":
            return f"{subject} uses {_percent(figures['memory_ppm'])} of its memory"
        case "errors":
            return (
                f"{figures['errors']} of {figures['calls']} requests to {subject} fail in a minute"
            )
        case "share":
            calls, of_group = figures["calls"], figures["group_calls"]
            return f"{subject} gets {calls} of the {of_group} requests of its group in a minute"
        case "latency":
            p99, usual = lasting(figures["p99_us"]), lasting(figures["usual_us"])
            return f"one answer in a hundred of {subject} takes {p99}, where {usual} is usual"
        case "disk-filling":
            left_us = figures["left_us"]
            full = f", and full in {lasting(left_us)} as it grows" if left_us >= 0 else ""
            return f"the disk of the log is used to {_percent(figures['used_ppm'])}{full}"
        case "burn":
            fast = max(figures[name] for name in ("burn_1h", "burn_6h", "burn_1d", "burn_3d"))
            return f"{subject} spends its budget {fast / 1_000:.3g} times as fast as it lasts"
        case "objective":
            return f"{subject} misses its objective: {figures['uptime_ppm'] / 10_000:.5g} % up"
        case "view-behind":
            return f"a stored view is {lasting(figures['behind_us'])} behind the log"
        case other:
            return f"{other} of {subject}"


def _percent(ppm: int) -> str:
    return f"{ppm / 10_000:.3g} %"


def standing(state: State) -> list[Said]:
    """Return the alerts that stand, the worst first, ready for JSON; pending ones are left out."""
    found = [
        (part, alert)
        for part, alerts in (
            (ev.FLEET, state.fleet.alerts),
            *((group.id, group.alerts) for group in state.groups.values()),
        )
        for alert in alerts.values()
        if alert.id
    ]
    found.sort(key=lambda pair: (_RANKS[pair[1].severity], pair[1].id))
    return [_said(state, part, alert) for part, alert in found]


def _said(state: State, part: str, alert: Alert) -> Said:
    figures = dict(alert.figures)
    typed = _TYPED.get(alert.kind, "").format(subject=alert.subject, **{"id": 0, **figures})
    return {
        "id": alert.id,
        "kind": alert.kind,
        "severity": alert.severity,
        "subject": alert.subject,
        "part": part,
        "since": iso(alert.since_us),
        "lasts_us": state.at_us - alert.since_us,
        "acked": alert.acked or None,
        "figures": figures,
        "says": says(alert.kind, alert.subject, figures),
        "type": typed,
    }


def history(log: Log) -> Iterator[Said]:
    """Return every alert that was ever raised, the oldest first, and when it was over."""
    finder = Finder(log)
    kinds: tuple[type[AnyEvent], ...] = (ev.AlertRaised, ev.AlertCleared, ev.AlertAcked)
    known: dict[int, Said] = {}
    open_: dict[tuple[str, str], int] = {}
    for recorded in finder.after(0, kinds):
        _note(recorded, known, open_)
    yield from known.values()


def _note(recorded: Recorded, known: dict[int, Said], open_: dict[tuple[str, str], int]) -> None:
    event, subject = recorded.event, recorded.subject
    match event:
        case ev.AlertRaised():
            id_ = open_.setdefault((event.kind, subject), recorded.seq)
            figures = dict(event.figures)
            before = known.get(id_, {})
            known[id_] = {
                "id": id_,
                "kind": event.kind,
                "severity": event.severity,
                "subject": subject,
                "since": iso(event.since_us),
                "raised": before.get("raised", iso(recorded.at_us)),
                "cleared": None,
                "lasted_us": None,
                "acked": None,
                "figures": figures,
                "says": says(event.kind, subject, figures),
            }
        case ev.AlertCleared(alert=alert) if alert in known:
            known[alert].update(cleared=iso(recorded.at_us), lasted_us=event.lasted_us)
            open_.pop((event.kind, subject), None)
        case ev.AlertAcked(alert=alert) if alert in known:
            known[alert]["acked"] = known[alert]["acked"] or event.author
        case _:
            pass
