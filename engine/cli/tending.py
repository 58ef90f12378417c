"""What each command that tends a fleet says: an event for the log at rest, a body for an engine."""

from collections.abc import Callable
from typing import TypeAlias

from engine.answers.times import iso
from engine.answers.times import microseconds as instant
from engine.answers.undoing import left_by
from engine.cli import places
from engine.cli.acting import Command
from engine.config import Configuration
from engine.config.durations import microseconds
from engine.config.members import declared, misfit
from engine.core import events as ev
from engine.core.errors import CommandRefused, ConfigurationError
from engine.core.events import FLEET, Observation
from engine.core.state import State

# Of the subject, the author and the time [us].
Made: TypeAlias = Callable[[str, str, int], Observation]


def moment_of(option: str, text: str) -> int:
    """Return a time of the command line [us]; `now` and durations are for the callers.

    Raises:
        ConfigurationError: It is no time with its zone.
    """
    try:
        return instant(text)
    except ConfigurationError as err:
        raise ConfigurationError([f"{option}: {err}"]) from err


def later(group: str | None, *, to: str, at: str) -> Command:
    """Return the command to switch over at a time, or after a while."""
    after_us = microseconds(at)
    due_us = 0 if after_us else moment_of("--at", at)

    def event(_group: str, who: str, at_us: int) -> Observation:
        when_us = at_us + after_us if after_us else due_us
        return ev.SwitchoverAsked(to=to, author=who, at_rest=True, due_us=when_us)

    body: dict[str, object] = {"to": to, "due_us": due_us, "after_us": after_us or 0}
    return Command(name="switchover", group=group, needs_group=True, body=body, event=event)


def cancel(group: str | None) -> Command:
    """Return the command to take back what is scheduled."""

    def event(_group: str, who: str, _at_us: int) -> Observation:
        return ev.ScheduleCancelled(author=who, at_rest=True)

    return Command(
        name="cancel",
        group=group,
        needs_group=True,
        body={},
        event=event,
        called="switchover --cancel",
    )


def undo(target: str, text: str | None, *, wait: bool) -> Command:
    """Return the command to go back from a failover; the last one if none is named."""
    if text is not None and not (text.isascii() and text.isdigit()):
        raise ConfigurationError([f"expected the number of a failover, found {text!r}"])
    failover = int(text or 0)
    group = None
    if not places.is_address(target):
        with places.open_for_reading(target) as log:
            group = left_by(log, failover).group

    def event(_group: str, who: str, _at_us: int) -> Observation:
        with places.open_for_reading(target) as log:
            left = left_by(log, failover)
        return ev.UndoAsked(
            failover=left.failover, to=left.source, heir=left.heir, author=who, at_rest=True
        )

    return Command(
        name="undo",
        group=group,
        needs_group=False,
        body={"failover": failover, "wait": wait},
        event=event,
        wait=wait,
        needs_engine=wait,
    )


def reset(subject: str | None) -> Command:
    """Return the command to forget what was counted."""

    def event(_subject: str, who: str, _at_us: int) -> Observation:
        return ev.ResetAsked(author=who, at_rest=True)

    return Command(
        name="reset", group=subject, needs_group=True, body={}, event=event, is_of_master=True
    )


def drain(master: str, *, drained: bool, reason: str) -> Command:
    """Return the command to let a master rest, or serve again."""

    def event(_subject: str, who: str, _at_us: int) -> Observation:
        return ev.DrainAsked(drained=drained, reason=reason, author=who, at_rest=True)

    body: dict[str, object] = {"master": master, "drained": drained, "reason": reason}
    return _of_master("drain", master, body, event, called="" if drained else "undrain")


def exclude(master: str, *, excluded: bool, reason: str) -> Command:
    """Return the command to keep a master from being chosen, or not."""

    def event(_subject: str, who: str, _at_us: int) -> Observation:
        return ev.ExclusionAsked(excluded=excluded, reason=reason, author=who, at_rest=True)

    body: dict[str, object] = {"master": master, "excluded": excluded, "reason": reason}
    return _of_master("exclude", master, body, event, called="" if excluded else "include")


def remove(master: str) -> Command:
    """Return the command to take a master out of the fleet."""

    def event(_subject: str, who: str, _at_us: int) -> Observation:
        return ev.MasterRemoveAsked(author=who, at_rest=True)

    return _of_master("remove-master", master, {"master": master}, event)


def add(
    name: str, *, group: str | None, address: str | None, priority: int, weight: int, region: str
) -> Command:
    """Return the command to take a master into a group."""
    if group is None or address is None:
        raise ConfigurationError(["master add: expected --group and --address"])
    master = declared(
        name, group=group, address=address, priority=priority, weight=weight, region=region
    )

    def event(_subject: str, who: str, _at_us: int) -> Observation:
        return ev.MasterAddAsked(master=master, author=who, at_rest=True)

    def locate(state: State) -> str:
        policy = state.fleet.policy.groups.get(group)
        reason = "" if policy is None else misfit(policy, master)
        if reason:
            raise CommandRefused([reason])
        return FLEET

    body: dict[str, object] = {
        "master": name,
        "group": group,
        "address": address,
        "priority": priority,
        "weight": weight,
        "region": region,
    }
    return Command(
        name="add-master", group=None, needs_group=False, body=body, event=event, locate=locate
    )


def _of_master(
    name: str, master: str, body: dict[str, object], event: Made, *, called: str = ""
) -> Command:
    def locate(state: State) -> str:
        if master not in state.cache.places:
            known = ", ".join(sorted(state.cache.places)) or "none"
            raise CommandRefused([f"no master {master!r}: expected one of {known}"])
        return master

    return Command(
        name=name,
        group=None,
        needs_group=False,
        body=body,
        event=event,
        locate=locate,
        called=called,
    )


def strategy(group: str | None, name: str) -> Command:
    """Return the command to balance by another strategy."""

    def event(_group: str, who: str, _at_us: int) -> Observation:
        return ev.StrategyAsked(strategy=name, author=who, at_rest=True)

    body: dict[str, object] = {"strategy": name}
    return Command(name="strategy", group=group, needs_group=True, body=body, event=event)


def maintenance(subject: str, *, from_us: int, to_us: int, reason: str) -> Command:
    """Return the command to declare a maintenance; an empty one takes it back."""
    if to_us < from_us:
        ends, begins = iso(to_us), iso(from_us)
        raise ConfigurationError([f"--to: expected a time after {begins}, found {ends}"])

    def event(_subject: str, who: str, _at_us: int) -> Observation:
        return ev.MaintenanceDeclared(
            from_us=from_us, to_us=to_us, reason=reason, author=who, at_rest=True
        )

    def locate(state: State) -> str:
        if subject == FLEET or subject in state.groups or subject in state.cache.places:
            return subject
        known = ", ".join([FLEET, *sorted(state.groups), *sorted(state.cache.places)])
        raise CommandRefused([f"no {subject!r}: expected one of {known}"])

    body: dict[str, object] = {
        "subject": subject,
        "from_us": from_us,
        "to_us": to_us,
        "reason": reason,
    }
    return Command(
        name="maintenance", group=None, needs_group=False, body=body, event=event, locate=locate
    )


def apply(configuration: Configuration, text: str) -> Command:
    """Return the command to adopt what a file says."""

    def event(_subject: str, who: str, _at_us: int) -> Observation:
        return ev.ConfigurationLoaded(
            digest=configuration.digest,
            policy=configuration.policy,
            masters=configuration.masters,
            author=who,
            at_rest=True,
        )

    body: dict[str, object] = {"text": text, "source": configuration.source}
    return Command(name="apply", group=None, needs_group=False, body=body, event=event)
