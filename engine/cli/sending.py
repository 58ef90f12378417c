"""Bringing a command to whoever has the log, and saying what came of it.

A running engine is asked over HTTP; a log at rest takes the command itself (`resting`). What the
command changed is read from the status before and after it.
"""

import time
from collections.abc import Iterable, Mapping
from typing import Any, Final

from engine.answers.words import harmless, lasting, moment
from engine.cli import output, places, remote
from engine.cli.acting import Command, Given, author, only_group, refused
from engine.core.errors import CommandRefused, LogError, LogLocked

LOOKS_MAX: Final = 20  # for the end of what was waited for
LOOK_S: Final = 0.1

Document = Mapping[str, Any]


def give(
    target: str, command: Command, *, json: bool, more: Mapping[str, Any] | None = None
) -> None:
    """Give the command, and print what came of it: a document also if it was refused.

    Args:
        target: The log, or the address of an engine.
        command: What is asked for.
        json: Print one document.
        more: What is in the document beside the answer.

    Raises:
        CommandRefused: It was refused, with every reason.
        LogError: The log cannot be used, or its engine does not answer.
    """
    try:
        given = _accepted(target, command)
    except CommandRefused as err:
        if json:
            output.document(refused(command, err))
        raise
    except LogError as err:
        if command.name != "pause" or places.is_address(target):
            raise
        raise LogError(f"{err}; what pauses it all the same: {_by_file(target)}") from err
    answer = {
        **given.answer,
        "command": command.name,
        "group": given.group,
        "accepted": True,
        "changed": _has_changed(command, given),
        **_served(given),
        **(more or {}),
    }
    if command.name == "pause":
        answer["replaced"] = _pause(given.before, given.group)
    if json:
        output.document(answer)
        return
    said = "; ".join(_said(target, command, given, answer))
    output.text(harmless(f"{command.called or command.name}: {said}"))
    for one in given.answer.get("owed", ()):
        output.note(f"owed to the next tanist run: {one['step']} of {one['master']}")


def _by_file(target: str) -> str:
    """Return the command that pauses whatever runs the log, without asking it."""
    from engine.runtime.pausing import PauseFile

    return f"touch {PauseFile.beside(target).paths[0]}"


def _accepted(target: str, command: Command) -> Given:
    given = _given(target, command)
    if given.reasons:
        raise CommandRefused(_in_words(command, given))
    return given


def _given(target: str, command: Command) -> Given:
    """Return what whoever has the log made of the command."""
    engine = places.running(target)
    if engine is None:
        from engine.cli.resting import record

        try:
            return record(target, command)
        except LogLocked:
            engine = places.running(target)  # it started between the two
            if engine is None:
                raise
    return _to_engine(engine.url, target, command)


def _to_engine(url: str, target: str, command: Command) -> Given:
    from engine.runtime.clock import monotonic_us

    token = places.token(target)
    try:
        before: Document = remote.status(url, token=token)
    except LogError:
        given = None if places.is_address(target) else _at_rest(target, command)
        if given is None:
            raise
        return given
    group = command.group
    if command.needs_group and group is None:
        group = only_group(before["groups"])
    body = {**command.body, "author": author()}
    if command.is_of_master:
        body["subject"] = group
    elif command.name != "checkpoint":
        body.setdefault("group", group)  # what is of the fleet may name one for itself
    began_us = monotonic_us()
    reasons: tuple[str, ...] = ()
    answer: dict[str, Any] = {}
    try:
        answer = remote.command(url, command.name, body, token=token, wait=command.wait)
    except CommandRefused as err:
        reasons = err.reasons
    took = {"took_us": monotonic_us() - began_us} if command.wait else {}
    is_over = command.wait and not reasons
    after = _settled(url, token, group, answer["seq"]) if is_over and group else {}
    return Given(
        group=group if group in before["groups"] else None,
        before=before,
        after=after,
        reasons=reasons,
        answer={**answer, "at_rest": False, **took},
    )


def _at_rest(target: str, command: Command) -> Given | None:
    """Return what the log itself made of a command; None: somebody writes it.

    What lies beside it may be of an engine that was killed, whose number another process has since,
    as it is where each container begins to count anew. The lock of the log knows better.
    """
    from engine.cli.resting import record

    try:
        return record(target, command)
    except LogLocked:
        return None


def _settled(url: str, token: str, group: str, seq: int) -> Document:
    """Return the status in which what the command at `seq` began is over.

    A busy engine may answer with a status of a moment ago.
    """
    for _ in range(LOOKS_MAX):
        found = remote.status(url, token=token)
        part = found["groups"][group]
        if found["seq"] >= seq and part["failover"] is None and part["rollback"] is None:
            break
        time.sleep(LOOK_S)
    return found


def _in_words(command: Command, given: Given) -> tuple[str, ...]:
    """Return the reasons of a refusal; that of a target which serves already in plain words."""
    to = command.body.get("to")
    group = given.before["groups"].get(given.group)
    if not to or group is None or to not in group["active"] or group["mode"] != "active-standby":
        return given.reasons
    is_free = group["failover"] is None or (
        command.name == "failover" and group["failover"]["phase"] == "selecting"
    )
    if is_free and not group["rollback"]:  # so it is refused for that and nothing else
        return (f"{to} is already active (epoch {given.before['masters'][to]['epoch']})",)
    return given.reasons


def _has_changed(command: Command, given: Given) -> bool:
    if command.name == "resume":
        return _pause(given.before, given.group) is not None
    if command.name == "rollback" and given.group is not None:
        before, after = (found["groups"][given.group] for found in (given.before, given.after))
        same = all(before[name] == after[name] for name in ("control_digest", "active"))
        return not same or bool(after["rollback"])
    return True


def _served(given: Given) -> dict[str, Any]:
    """Return who is active now, where the end was waited for."""
    if "took_us" not in given.answer or given.group is None:
        return {}
    active = given.after["groups"][given.group]["active"]
    epoch = given.after["masters"][active[0]]["epoch"] if len(active) == 1 else None
    return {"active": active, "epoch": epoch}


def _pause(found: Document, group: str | None) -> Any:
    return found["paused"] if group is None else found["groups"][group]["paused"]


def _said(target: str, command: Command, given: Given, answer: Document) -> Iterable[str]:
    """Return what came of an accepted command, in parts of one line."""
    event = f"event {answer['seq']}"
    if not answer["changed"]:
        yield f"nothing changed, {event}"
        yield from _unchanged(command, given, answer)
    elif "active" in answer:
        yield f"done, {event}"
        yield f"{_serving(answer)}, after {lasting(answer['took_us'])}"
    else:
        yield f"accepted, {event}"
        yield from _terms(command)
    if answer.get("replaced"):
        yield f"it takes the place of a pause {output.until(answer['replaced'])}"
    if answer["at_rest"]:
        begins = ": its effects are owed to the next tanist run" if answer["owed"] else ""
        yield f"recorded, no engine runs on {target}{begins}"


def _terms(command: Command) -> Iterable[str]:
    """Return when what was accepted begins or ends, where it said so."""
    body = {name: value for name, value in command.body.items() if isinstance(value, int)}
    if command.name == "pause":
        yield f"for {lasting(body['for_us'])}" if body["for_us"] else "until it is resumed"
    elif body.get("due_us"):
        yield f"due at {moment(body['due_us'])}"
    elif body.get("after_us"):
        yield f"due in {lasting(body['after_us'])}"


def _serving(answer: Document) -> str:
    who = ", ".join(answer["active"]) or "nobody"
    under = f" under epoch {answer['epoch']}" if answer["epoch"] else ""
    return f"{who} {'are' if len(answer['active']) > 1 else 'is'} active{under}"


def _unchanged(command: Command, given: Given, answer: Document) -> Iterable[str]:
    if command.name == "rollback":
        position = command.body["position"]
        active = ", ".join(given.before["groups"][given.group]["active"]) or "nobody"
        yield f"it was as at position {position} already, {active} active"
        return
    yield f"{given.group or 'the fleet'} was not paused"
    if given.before.get("paused_by_file") is not None:
        yield "a file pauses the whole fleet: remove tanist.pause beside the log"
    if given.group is not None and given.before["paused"]:
        yield "the whole fleet is: tanist resume ends that"
    elif given.group is None:
        names = [name for name, found in given.before["groups"].items() if found["paused"]]
        for name in names:
            yield f"{name} is: tanist resume {name} ends that"
