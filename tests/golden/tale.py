"""The language of the golden stories: commands, a line of four dashes, and what they append."""

import re
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from engine.core import events as ev
from engine.core.events import Evidence, Recorded, Result, Verdict
from engine.core.fleet import Mode
from engine.core.policy import (
    ALERTS,
    MINUTE,
    MS,
    SECOND,
    Automation,
    Degraded,
    FenceKind,
    Hooks,
    Observers,
    Policy,
    Recover,
)
from engine.core.replay import control_at
from engine.core.state import control_digest
from tests.engine.core.build import START_US, Story, made

UNITS: Final = {"us": 1, "ms": MS, "s": SECOND, "m": MINUTE}
AUTHOR: Final = "ann"
# Shown from the start of the story, as at_us.
INSTANTS: Final = ("hold_until_us", "retry_at_us", "again_at_us")


class Part(msgspec.Struct):
    """Some commands of a story, and the log that they give."""

    commands: list[str]
    lines: list[str]


def parse(text: str) -> tuple[str, list[Part]]:
    """Return the comment that a story begins with, and its parts, which blank lines separate."""
    comment, *blocks = text.strip("\n").split("\n\n")
    parts = []
    for block in blocks:
        commands, _, lines = block.partition("\n----")
        parts.append(Part(commands=commands.splitlines(), lines=lines.strip("\n").splitlines()))
    return comment, parts


def render(comment: str, parts: Iterable[Part]) -> str:
    """Return the text of a story."""
    blocks = ["\n".join([*part.commands, "----", *part.lines]) for part in parts]
    return "\n\n".join([comment, *blocks]) + "\n"


def tell(parts: Iterable[Part]) -> list[Part]:
    """Return the same parts with the log that their commands give today."""
    told: list[Part] = []
    story: Story | None = None
    for part in parts:
        lines: list[str] = []
        for command in part.commands:
            verb, *words = command.split()
            if verb == "group":
                story = begin(words)
                taken = story.log
            else:
                assert story is not None, "a story begins with its group"
                taken = obey(story, verb, words)
            lines += [line for recorded in taken for line in show(recorded)]
        told.append(Part(commands=part.commands, lines=lines))
    return told


def begin(words: list[str]) -> Story:
    """Return the story of `group <preset> setting=value ...`."""
    preset, *settings = words
    changes: dict[str, object] = {}
    lease_us, alerts = 0, None
    for setting in settings:
        name, value = setting.split("=")
        if name == "automation":
            changes[name] = Automation(value)
        elif name == "quorum":
            changes["observers"] = Observers(quorum=int(value), vote_ttl_us=5 * SECOND)
        elif name == "queue":
            changes["degraded"] = Degraded(queue=int(value), reports=2)
        elif name == "mode":
            changes[name] = Mode(value)
        elif name == "alerts":
            alerts = ALERTS
        elif name == "effects":
            changes[name] = value
        elif name == "lease":
            changes["fence"] = FenceKind.LEASE
            lease_us = amount(value)
        elif name == "hook":
            changes["hooks"] = Hooks(**{value: ("a program",)})
        elif name == "recover":
            changes[name] = Recover(
                command=("a program",), attempts=amount(value), backoff_us=SECOND, timeout_us=SECOND
            )
        elif name == "failback":
            changes[name] = value
        else:
            changes[name if value.isdigit() else f"{name}_us"] = amount(value)
    policy = made(preset, **changes)  # type: ignore[arg-type]
    fence = msgspec.structs.replace(policy.fence, lease_us=lease_us)
    policy = msgspec.structs.replace(policy, fence=fence)
    return Story(Policy(groups={"g": policy}, alerts=alerts))


def amount(text: str) -> int:
    """Return a count, or a duration [us]."""
    number, unit = re.fullmatch(r"(\d+)([a-z]*)", text).groups()  # type: ignore[union-attr]
    return int(number) * UNITS.get(unit, 1)


def obey(story: Story, verb: str, words: list[str]) -> list[Recorded]:
    """Return what one command appends."""
    match verb, words:
        case "ok", names:
            return story.ok(*names)
        case "times-out", names:
            return story.fails(*names)
        case "late-times-out", [name, late]:
            return story.fails(name, late_us=amount(late))
        case "refuses", names:
            return story.refuses(*names)
        case "closes", [name]:
            return story.closes(name, Evidence.CLOSED)
        case "crashes", [name]:
            return story.crashes(name)
        case "restarts", [name]:
            story.restarts(name)
        case "hangs", [name]:
            story.dead.add(name)
        case "wakes", [name]:
            story.dead.discard(name)
        case "reports", [name, role]:
            story.roles[name] = role
        case "sees", [observer, name, what]:
            return story.see(elsewhere(story, observer, what), name)
        case "queues", [name, count]:
            return story.see(ev.LoadReported(queue=int(count)), name)
        case "figures", [subject, what, *pairs]:
            figures = tuple((name, int(value)) for name, value in map(_pair, pairs))
            return story.see(ev.FiguresDerived(what=what, figures=figures), subject)
        case "busy", [name, percent]:
            return story.see(ev.LoadReported(cpu_ppm=int(percent) * 10_000), name)
        case "clock", [time]:
            step_us = -amount(time[1:]) if time.startswith("-") else amount(time)
            return story.see(ev.ClockStepped(offset_us=step_us, step_us=step_us))
        case "wait", [time]:
            story.wait(amount(time))
        case "tick", []:
            return story.tick()
        case "work", []:
            return story.work()
        case "answers", [step, master, result]:
            return story.answers(step, Result(result), master=master)
        case "says-lease", [time, *names]:
            lease = ev.LoadReported(lease_us=amount(time))
            return [recorded for name in names for recorded in story.see(lease, name)]
        case "accepts", keys:
            return [recorded for key in keys for recorded in story.accepts(key)]
        case "acks", [key, name]:
            return story.acks(key, name)
        case _:
            return ask(story, verb, words)
    return []


def _pair(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name, value


def elsewhere(story: Story, observer: str, what: str) -> ev.ProbeOk | ev.ProbeFailed:
    """Return what another observer saw: ok, or the evidence that its probe failed with."""
    story.n += 1
    if what == "ok":
        return ev.ProbeOk(n=story.n, latency_us=900, observer=observer)
    return ev.ProbeFailed(n=story.n, evidence=Evidence(what), observer=observer)


def ask(story: Story, verb: str, words: list[str]) -> list[Recorded]:
    """Return what follows when a person asks for something."""
    match verb, words:
        case "switchover", [to]:
            return story.ask(ev.SwitchoverAsked(to=to, author=AUTHOR))
        case "approve", []:
            return story.ask(ev.Approved(author=AUTHOR))
        case "switchover-in", [to, after]:
            due_us = story.at_us + amount(after)
            return story.ask(ev.SwitchoverAsked(to=to, author=AUTHOR, due_us=due_us))
        case "cancel", []:
            return story.ask(ev.ScheduleCancelled(author=AUTHOR))
        case "undo", []:
            first = next(r.seq for r in story.log if isinstance(r.event, ev.FailoverStarted))
            return story.ask(ev.UndoAsked(failover=first, to="", heir="a", author=AUTHOR))
        case "release", []:
            return story.ask(ev.Released(scope="any", author=AUTHOR))
        case "pause", []:
            return story.ask(ev.Paused(until_us=0, reason="work", author=AUTHOR))
        case "resume", []:
            return story.ask(ev.Resumed(author=AUTHOR))
        case "file-comes", []:
            return story.see(ev.Paused(until_us=0, reason="racks", author="file", by_file=True))
        case "file-goes", []:
            return story.see(ev.Resumed(author="file", by_file=True))
        case "checkpoint", [name]:
            return story.see(ev.CheckpointMarked(name=name, author=AUTHOR))
        case "strategy", [strategy]:
            return story.ask(ev.StrategyAsked(strategy=strategy, author=AUTHOR))
        case "exclude", [name]:
            return story.ask(ev.ExclusionAsked(excluded=True, reason="disk", author=AUTHOR), name)
        case "rollback", [name]:
            position = story.state.fleet.checkpoints[name]
            control = control_at(story.log, "g", position=position)
            assert control is not None
            return story.ask(
                ev.RollbackRequested(
                    position=position,
                    control=control,
                    digest=control_digest(control),
                    author=AUTHOR,
                )
            )
        case _:
            raise ValueError(f"no such command: {verb} {' '.join(words)}")


def show(recorded: Recorded) -> Iterator[str]:
    """Return the line of an event, and one for each master of a table of candidates."""
    event = recorded.event
    cause = f"<{recorded.cause}" if recorded.cause else "-"
    fields = [
        f"{name}={text(name, getattr(event, name))}"
        for name, default in zip(event.__struct_fields__, defaults(type(event)), strict=True)
        if name != "table" and getattr(event, name) != default
    ]
    head = f"{recorded.seq:5} {recorded.at_us - START_US:>10} {recorded.subject:<5} {cause:>4}"
    yield " ".join([head, type(event).__name__, *fields])
    for verdict in getattr(event, "table", ()):
        place = f"{verdict.rank}." if verdict.fit else "-"
        yield f"{'':28}{place} {verdict.master} {text('', verdict)}"


def defaults(kind: type[ev.AnyEvent]) -> list[object]:
    """Return the default of each field; NODEFAULT where there is none."""
    given = kind.__struct_defaults__
    return [msgspec.NODEFAULT] * (len(kind.__struct_fields__) - len(given)) + list(given)


def text(name: str, value: object) -> str:
    """Return a value on one line; a policy is only named, a digest is cut."""
    if name == "policy":
        return "..."
    if name in INSTANTS and isinstance(value, int) and value:
        return str(value - START_US)
    if isinstance(value, Verdict):
        return " ".join([value.rule, *(f"{key}={number}" for key, number in value.figures)])
    if isinstance(value, msgspec.Struct):
        value = tuple(getattr(value, field) for field in value.__struct_fields__)
    if isinstance(value, bytes):
        return value.hex() or "none"
    if isinstance(value, tuple):
        return f"[{' '.join(text('', item) for item in value)}]"
    plain = str(getattr(value, "value", value))
    return f"{plain[:12]}..." if re.fullmatch(r"[0-9a-f]{64}", plain) else plain or "none"
