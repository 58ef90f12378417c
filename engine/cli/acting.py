"""What each command says: as an event for the log at rest, as a body for a running engine."""

import getpass
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

import msgspec

from engine.answers.positions import bounds
from engine.cli import places, remote
from engine.config.durations import microseconds
from engine.core import events as ev
from engine.core import state as st
from engine.core.alerts import find
from engine.core.errors import CommandRefused, ConfigurationError
from engine.core.events import FLEET, Observation
from engine.core.replay import control_in, controls_in
from engine.core.state import State
from engine.log.states import state_at

WORDS_MAX: Final = 1


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """One command, in its two forms."""

    name: str
    group: str | None  # None: the fleet, or the only group where `needs_group`
    needs_group: bool
    body: dict[str, object]  # but for the group and the author
    event: Callable[[str, str, int], Observation]  # of the group, the author, the time [us]
    wait: bool = False  # a running engine answers when it is over
    is_of_master: bool = False  # `group` may be a master as well
    called: str = ""  # by people; "": as `name`
    needs_engine: bool = False  # there would be nothing to wait for without one
    # Where `group` says nothing: the subject of the event, as the state has it.
    locate: Callable[[State], str] | None = None


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """What whoever has the log made of a command."""

    group: str | None
    before: Mapping[str, Any]  # the status
    after: Mapping[str, Any]  # the status, where it is over or was only recorded; else empty
    reasons: tuple[str, ...]  # of a refusal
    answer: dict[str, Any]


def scope(words: Sequence[str | None], log: str | None) -> tuple[str, str | None]:
    """Return the LOG and the one word beside it; None if there is none."""
    target, rest = places.split(words, log, most=WORDS_MAX)
    return target, rest[0] if rest else None


def only_group(groups: Collection[str]) -> str:
    """Return the one group that there is.

    Raises:
        ConfigurationError: There is none, or one has to be named.
    """
    if len(groups) != 1:
        names = ", ".join(sorted(groups)) or "none"
        raise ConfigurationError([f"name the group: one of {names}"])
    return next(iter(groups))


def refused(command: Command, err: CommandRefused) -> dict[str, object]:
    """Return what is printed as JSON of a command that was refused."""
    return {"command": command.name, "accepted": False, "reasons": list(err.reasons)}


def author() -> str:
    """Return who gives the command: the user of the operating system."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a user id without a name, as in a container
        return "unknown"


def pause(group: str | None, *, for_: str | None, reason: str) -> Command:
    """Return the command to start no new failover."""
    for_us = 0 if for_ is None else microseconds(for_)
    if for_us is None or (for_ is not None and for_us == 0):
        raise ConfigurationError([f"--for: expected a duration as 30m or 2h, found {for_!r}"])
    if not reason.strip():
        raise ConfigurationError(["--reason: expected words, found none"])

    def event(_group: str, who: str, at_us: int) -> Observation:
        until_us = at_us + for_us if for_us else 0
        return ev.Paused(until_us=until_us, reason=reason, author=who, at_rest=True)

    body: dict[str, object] = {"for_us": for_us, "reason": reason}
    return Command(name="pause", group=group, needs_group=False, body=body, event=event)


def resume(group: str | None) -> Command:
    """Return the command to end a pause."""

    def event(_group: str, who: str, _at_us: int) -> Observation:
        return ev.Resumed(author=who, at_rest=True)

    return Command(name="resume", group=group, needs_group=False, body={}, event=event)


def failover(group: str | None, *, to: str, wait: bool) -> Command:
    """Return the command to force a failover."""

    def event(_group: str, who: str, _at_us: int) -> Observation:
        return ev.FailoverAsked(to=to, author=who, at_rest=True)

    body: dict[str, object] = {"to": to, "wait": wait}
    return Command(
        name="failover",
        group=group,
        needs_group=True,
        body=body,
        event=event,
        wait=wait,
        needs_engine=wait,
    )


def switchover(group: str | None, *, to: str, wait: bool) -> Command:
    """Return the command to change the active master as planned."""

    def event(_group: str, who: str, _at_us: int) -> Observation:
        return ev.SwitchoverAsked(to=to, author=who, at_rest=True)

    body: dict[str, object] = {"to": to, "wait": wait}
    return Command(
        name="switchover",
        group=group,
        needs_group=True,
        body=body,
        event=event,
        wait=wait,
        needs_engine=wait,
    )


def approve(group: str | None) -> Command:
    """Return the command to let a waiting failover go."""

    def event(_group: str, who: str, _at_us: int) -> Observation:
        return ev.Approved(author=who, at_rest=True)

    return Command(name="approve", group=group, needs_group=True, body={}, event=event)


def release(subject: str | None, *, fleet: bool = False) -> Command:
    """Return the command to lift what brakes a group or the fleet, or the fence of a master."""
    if fleet and subject is not None:
        raise ConfigurationError([f"expected --fleet or {subject}, found both"])

    def event(_subject: str, who: str, _at_us: int) -> Observation:
        return ev.Released(scope="any", author=who, at_rest=True)

    body: dict[str, object] = {"subject": FLEET if fleet else subject}
    if fleet:
        return Command(name="release", group=None, needs_group=False, body=body, event=event)
    return Command(
        name="release", group=subject, needs_group=True, body=body, event=event, is_of_master=True
    )


def ack(alert: str | None) -> Command:
    """Return the command to silence an alert."""
    if alert is None or not (alert.isascii() and alert.isdigit()):
        found = "none" if alert is None else repr(alert)
        raise ConfigurationError([f"expected the number of an alert, found {found}"])
    number = int(alert)

    def event(_group: str, who: str, _at_us: int) -> Observation:
        return ev.AlertAcked(alert=number, author=who, at_rest=True)

    def locate(state: State) -> str:
        found = find(state, number)
        if found is None:
            raise CommandRefused([f"no alert {number}: it is over, or there never was one"])
        return found[0]

    return Command(
        name="ack", group=None, needs_group=False, body={"alert": number}, event=event,
        locate=locate,
    )  # fmt: skip


def checkpoint(name: str | None) -> Command:
    """Return the command to name this place in the log."""
    if name is None:
        raise ConfigurationError(["expected a name for the checkpoint; see: tanist checkpoint -h"])

    def event(_group: str, who: str, _at_us: int) -> Observation:
        return ev.CheckpointMarked(name=name, author=who, at_rest=True)

    body: dict[str, object] = {"name": name}
    return Command(name="checkpoint", group=None, needs_group=False, body=body, event=event)


def rollback(
    target: str, text: str | None, *, groups: tuple[str, ...], all_: bool, force: bool
) -> Command:
    """Return the command to take a group, several or all of them back to a position.

    The engine's own log is read for it, at rest or not, so the position may be a name or a time.

    Raises:
        ConfigurationError: There is no such position, or a group did not exist there.
    """
    if text is None:
        raise ConfigurationError(["expected a position to go back to; see: tanist rollback -h"])
    if all_ and groups:
        raise ConfigurationError(["expected --all or --group, found both"])
    if places.is_address(target):
        found = remote.ask(target.rstrip("/"), "position", {"at": text}, token=places.token(target))
        position = int(found["last"])
    else:
        with places.open_for_reading(target) as log:
            _, position = bounds(log, text)
    if all_ or len(groups) > 1:
        return _rollback_all(target, position, groups=groups, force=force)
    return _rollback_one(target, position, group=groups[0] if groups else None, force=force)


def _rollback_all(target: str, position: int, *, groups: tuple[str, ...], force: bool) -> Command:
    def event(_group: str, who: str, _at_us: int) -> Observation:
        with places.open_for_reading(target) as log:
            then, now = state_at(log, position), state_at(log)
        controls = controls_in(then, groups or now.groups)
        missing = sorted(set(groups) - {control.group for control in controls})
        if missing:
            raise ConfigurationError(
                [f"there was no group {name} at position {position}" for name in missing]
            )
        return ev.FleetRollbackRequested(
            position=position,
            controls=controls,
            digests=tuple(st.control_digest(control) for control in controls),
            author=who,
            policy=None if groups else then.fleet.policy,
            force=force,
            at_rest=True,
        )

    body: dict[str, object] = {"position": position, "force": force, "all": not groups}
    body["groups"] = list(groups)
    return Command(
        name="rollback", group=None, needs_group=False, body=body, event=event, wait=True
    )


def _rollback_one(target: str, position: int, *, group: str | None, force: bool) -> Command:
    def event(name: str, who: str, _at_us: int) -> Observation:
        with places.open_for_reading(target) as log:
            control = control_in(state_at(log, position), name)
        if control is None:
            raise ConfigurationError([f"there was no group {name} at position {position}"])
        return ev.RollbackRequested(
            position=position,
            control=control,
            digest=st.control_digest(control),
            author=who,
            force=force,
            at_rest=True,
        )

    body: dict[str, object] = {"position": position, "force": force}
    return Command(
        name="rollback", group=group, needs_group=True, body=body, event=event, wait=True
    )
