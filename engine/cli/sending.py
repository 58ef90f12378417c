"""Bringing a command to whoever has the log: the running engine, or the log itself at rest.

At rest the command and what it decides are appended in one batch; what is then owed to masters is
owed to the next `tanist run`, and the answer says so. A refused command leaves the request and its
refusal in the log, and nothing else.
"""

from engine.answers.status import status
from engine.answers.times import iso
from engine.cli import output, places, remote
from engine.cli.acting import Command, author
from engine.core import state as st
from engine.core.driver import Driver, refusal
from engine.core.errors import CommandRefused, ConfigurationError, LogLocked
from engine.core.events import FLEET, Recorded
from engine.core.owed import owed_of
from engine.core.replay import replay
from engine.core.state import State
from engine.log import open_log
from engine.runtime.clock import Clock


def give(target: str, command: Command, *, json: bool) -> None:
    """Give the command, and print what came of it: a document also if it was refused.

    Raises:
        CommandRefused: It was refused, with every reason.
        LogError: The log cannot be used, or its engine does not answer.
    """
    try:
        answer = {**_given(target, command), "accepted": True}
    except CommandRefused as err:
        if json:
            output.document(_refusal(command, err))
        raise
    if json:
        output.document(answer)
        return
    output.text(f"{command.name}: accepted, event {answer['seq']}")
    owed = answer.get("owed")
    if isinstance(owed, list):
        for one in owed:
            output.note(f"owed to the next tanist run: {one['step']} of {one['master']}")


def _given(target: str, command: Command) -> dict[str, object]:
    """Return the answer of whoever has the log."""
    engine = places.running(target)
    if engine is None:
        try:
            return _at_rest(target, command)
        except LogLocked:
            engine = places.running(target)  # it started between the two
            if engine is None:
                raise
    return _to_engine(engine.url, target, command)


def _refusal(command: Command, err: CommandRefused) -> dict[str, object]:
    return {"command": command.name, "accepted": False, "reasons": list(err.reasons)}


def rehearse(target: str, command: Command, *, json: bool) -> None:
    """Say what the command would do to the log as it is now; nothing is appended.

    Raises:
        CommandRefused: It would be refused, with every reason.
    """
    with places.open_for_reading(target) as log:
        state = replay(log.read())
    group = _group(state, command)
    before = st.control_of(state.groups[group])
    driver = Driver(state)
    at_us = Clock(last_at_us=state.at_us).at_us()
    seq = driver.observe(command.event(group, author(), at_us), subject=group, at_us=at_us)
    batch = driver.take_batch(at_us)
    assert batch is not None
    try:
        _raise_if_refused(batch.events, seq)
    except CommandRefused as err:
        if json:
            output.document({"dry_run": True, **_refusal(command, err)})
        raise
    after = driver.working.groups[group]
    found = {
        "dry_run": True,
        "group": group,
        "before": {"active": before.assigned, "strategy": before.strategy},
        "after": {
            "active": after.rollback.target if after.rollback else after.assigned,
            "strategy": after.strategy,
        },
        "would_append": [type(recorded.event).__name__ for recorded in batch.events],
    }
    if json:
        output.document(found)
        return
    rows = [
        (name, found["before"][name] or "-", found["after"][name] or "-")  # type: ignore[index]
        for name in ("active", "strategy")
    ]
    table = output.table(("control", "now", "then"), rows, title=f"{group}: nothing was appended")
    output.console().print(table)


def _at_rest(target: str, command: Command) -> dict[str, object]:
    with open_log(target, mode="write") as log:
        state = replay(log.read())
        subject = _group(state, command)
        at_us = Clock(last_at_us=log.head.at_us).at_us()
        event = command.event(subject, author(), at_us)
        driver = Driver(state)
        seq = driver.observe(event, subject=subject, at_us=at_us)
        batch = driver.take_batch(at_us)
        assert batch is not None
        log.append(batch.events, bodies=batch.bodies)
        _raise_if_refused(driver.durable(), seq)
        durable = driver.durable_state
    group = durable.groups.get(subject)
    return {
        "seq": seq,
        "at": iso(at_us),
        "command": command.name,
        "group": None if subject == FLEET else subject,
        "at_rest": True,
        "owed": [
            {"step": effect.step, "master": effect.master, "epoch": effect.epoch}
            for effect in (owed_of(durable, group) if group is not None else ())
        ],
    }


def _to_engine(url: str, target: str, command: Command) -> dict[str, object]:
    group = command.group
    if command.needs_group and group is None:
        group = _only_group(remote.status(url)["groups"])
    body = {**command.body, "author": author()}
    if command.name != "checkpoint":
        body["group"] = group
    token = places.token(target)
    answer = remote.command(url, command.name, body, token=token, wait=command.wait)
    return {**answer, "command": command.name, "group": group, "at_rest": False}


def _group(state: State, command: Command) -> str:
    """Return the subject of the command.

    Raises:
        CommandRefused: There is no such group.
        ConfigurationError: One has to be named.
    """
    if command.group is not None:
        if command.group not in state.groups:
            known = ", ".join(sorted(state.groups)) or "none"
            raise CommandRefused([f"no group {command.group!r}: expected one of {known}"])
        return command.group
    return _only_group(status(state)["groups"]) if command.needs_group else FLEET


def _only_group(groups: object) -> str:
    names = [str(name) for name in groups] if isinstance(groups, dict) else []
    if len(names) != 1:
        raise ConfigurationError([f"name the group: one of {', '.join(names) or 'none'}"])
    return names[0]


def _raise_if_refused(events: tuple[Recorded, ...], seq: int) -> None:
    reasons = refusal(events, seq)
    if reasons:
        raise CommandRefused(reasons)
