"""What a scenario asks of a run, as rules by name; each says what is wrong, or nothing.

Only what happened before the world was healed counts, but for who serves at the end.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from engine.config.durations import microseconds, spell
from engine.core import events as ev
from engine.core.events import KINDS, Recorded
from engine.simulation.runs import Run
from engine.simulation.world import BEGIN_US

Arguments: TypeAlias = Mapping[str, Any]
Rule: TypeAlias = Callable[[Run, Arguments], str]

_KINDS: Final = {kind.__name__: kind for kind in KINDS.values()}


def within(run: Run) -> list[Recorded]:
    """Return the events of before the world was healed."""
    return run.log[: run.healed_seq]


def failovers(run: Run, asked: Arguments) -> str:
    """At most `most` failovers away from a master were completed, and at least `least`."""
    sources = {
        recorded.event.id
        for recorded in within(run)
        if isinstance(recorded.event, ev.FailoverStarted) and recorded.event.source
    }
    count = sum(
        isinstance(recorded.event, ev.FailoverEnded)
        and recorded.event.result == "completed"
        and recorded.event.id in sources
        for recorded in within(run)
    )
    most, least = asked.get("most", count), asked.get("least", 0)
    if not least <= count <= most:
        return f"{count} failovers"
    return ""


def two_active(run: Run, asked: Arguments) -> str:
    """Two processes of a group believed themselves active for `most` at most."""
    found_us, most_us = run.figures.two_active_us, _us(asked.get("most", "0s"))
    return f"two were active for {spell(found_us)}" if found_us > most_us else ""


def unserved(run: Run, asked: Arguments) -> str:
    """No process of a group believed itself active for `most` at a stretch at most."""
    found_us = run.figures.longest_unserved_us
    return f"nobody was for {spell(found_us)}" if found_us > _us(asked["most"]) else ""


def never_active(run: Run, asked: Arguments) -> str:
    """None of `masters` was promoted."""
    for recorded in within(run):
        is_promoted = isinstance(recorded.event, ev.PromotionStarted | ev.Activated)
        if is_promoted and recorded.subject in asked["masters"]:
            return f"{recorded.subject} was promoted after {_after(recorded)}"
    return ""


def serves(run: Run, asked: Arguments) -> str:
    """One of `masters` serves before the world is healed."""
    acting = ""
    for recorded in within(run):
        match recorded.event:
            case ev.Switched() | ev.Activated():
                acting = recorded.subject
            case ev.MasterFenced() | ev.DrainEnded() if recorded.subject == acting:
                acting = ""
            case _:
                pass
    return "" if acting in asked["masters"] else f"{acting or 'nobody'} served in the end"


def event(run: Run, asked: Arguments) -> str:
    """There is an event of `kind`, about `subject`, with `fields`, after and before those times."""
    for recorded in within(run):
        if _is(recorded, asked) and _in_time(recorded, asked):
            return ""
    return f"there is no {asked['kind']}"


def no_event(run: Run, asked: Arguments) -> str:
    """There is no such event; see `event`."""
    for recorded in within(run):
        if _is(recorded, asked) and _in_time(recorded, asked):
            return f"{asked['kind']} of {recorded.subject} after {_after(recorded)}"
    return ""


def fenced_before_promoted(run: Run, asked: Arguments) -> str:
    """Whoever served confirmed its fence before anybody else was promoted."""
    unsure: set[str] = set()
    for recorded in within(run):
        match recorded.event:
            case ev.MasterFenced():
                unsure.add(recorded.subject)
            case ev.FenceConfirmed() | ev.MasterRejoined():
                unsure.discard(recorded.subject)
            case ev.PromotionStarted() if unsure:
                return f"{recorded.subject} was promoted before {', '.join(unsure)} confirmed"
            case _:
                pass
    return ""


def all_done(run: Run, asked: Arguments) -> str:
    """Every message with a receipt took effect once, and every group is served in the end."""
    if not run.is_quiet:
        return "the world did not come to rest"
    for sink in run.sinks.values():
        if sink.applied_twice:
            return f"{sink.applied_twice} messages took effect twice"
    done = {applied.key for sink in run.sinks.values() for applied in sink.applied}
    lost = sorted(run.receipts - done)
    return f"{', '.join(lost[:3])} are lost" if lost else ""


RULES: Final[dict[str, Rule]] = {
    rule.__name__: rule
    for rule in (
        failovers,
        two_active,
        unserved,
        never_active,
        serves,
        event,
        no_event,
        fenced_before_promoted,
        all_done,
    )
}


def _is(recorded: Recorded, asked: Arguments) -> bool:
    found = recorded.event
    return (
        type(found) is _KINDS[asked["kind"]]
        and recorded.subject == asked.get("subject", recorded.subject)
        and all(str(getattr(found, name)) == str(v) for name, v in asked.get("fields", {}).items())
    )


def _in_time(recorded: Recorded, asked: Arguments) -> bool:
    since_us = recorded.at_us - BEGIN_US
    before = asked.get("before")
    return _us(asked.get("after", "0s")) <= since_us and (before is None or since_us < _us(before))


def _us(text: str) -> int:
    found = microseconds(text)
    assert found is not None, f"expected a duration, found {text!r}"
    return found


def _after(recorded: Recorded) -> str:
    return spell(recorded.at_us - BEGIN_US)
