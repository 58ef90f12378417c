"""A command to the log itself, which no engine runs: appended, or only rehearsed.

The command and what it decides are appended in one batch; what is then owed to masters is owed to
the next `tanist run`. A refused command leaves the request and its refusal in the log, and nothing
else.
"""

from typing import Any

from engine.answers.status import status
from engine.answers.times import iso
from engine.cli import output, places
from engine.cli.acting import Command, Given, author, only_group, refused
from engine.core import state as st
from engine.core.driver import Driver, refusal
from engine.core.errors import CommandRefused
from engine.core.events import FLEET, GroupControl, Recorded
from engine.core.owed import owed_of
from engine.core.state import State
from engine.log import open_log
from engine.log.purging import erased
from engine.log.states import state_at
from engine.runtime.clock import Clock


def record(target: str, command: Command) -> Given:
    """Append the command to the log at `target`, with what is decided upon it.

    Raises:
        CommandRefused: It was refused, with every reason; or it waits for what needs an engine.
        LogError: The log cannot be used.
    """
    with open_log(target, mode="write") as log:
        state = state_at(log)
        subject = _group(state, command)
        if command.needs_engine:
            reason = (
                f"no engine runs on {target}, so there is nothing to wait for: without --wait it "
                "is recorded, and its effects are owed to the next tanist run"
            )
            raise CommandRefused([reason])
        before = status(state)
        at_us = Clock(last_at_us=log.head.at_us).at_us()
        event = command.event(subject, author(), at_us)
        driver = Driver(state)
        seq = driver.observe(event, subject=subject, at_us=at_us)
        batch = driver.take_batch(at_us)
        assert batch is not None
        log.append(batch.events, bodies=batch.bodies)
        if not erased(log):
            output.note("a reader of the log keeps the bytes from being erased until it ends")
        reasons = refusal(driver.durable(), seq)
        durable = driver.durable_state
    group = durable.groups.get(subject)
    owed = [
        {"step": effect.step, "master": effect.master, "epoch": effect.epoch}
        for effect in (owed_of(durable, group) if group is not None else ())
    ]
    return Given(
        group=subject if subject in durable.groups else None,
        before=before,
        after=status(durable),
        reasons=reasons,
        answer={"seq": seq, "at": iso(at_us), "at_rest": True, "owed": owed},
    )


def refusal_of(target: str, command: Command) -> tuple[str, ...]:
    """Return why the log as it is now would refuse the command; empty if it would not."""
    with places.open_for_reading(target) as log:
        state = state_at(log)
    subject = _group(state, command)
    driver = Driver(state)
    at_us = Clock(last_at_us=state.at_us).at_us()
    seq = driver.observe(command.event(subject, author(), at_us), subject=subject, at_us=at_us)
    batch = driver.take_batch(at_us)
    assert batch is not None
    return refusal(batch.events, seq)


def rehearse(target: str, command: Command, *, json: bool) -> None:
    """Say what the command would do to the log as it is now; nothing is appended.

    Raises:
        CommandRefused: It would be refused, with every reason.
    """
    with places.open_for_reading(target) as log:
        state = state_at(log)
    subject = _group(state, command)
    names = list(state.groups) if subject == FLEET else [subject]
    before = {name: st.control_of(state.groups[name]) for name in names}
    driver = Driver(state)
    at_us = Clock(last_at_us=state.at_us).at_us()
    seq = driver.observe(command.event(subject, author(), at_us), subject=subject, at_us=at_us)
    batch = driver.take_batch(at_us)
    assert batch is not None
    try:
        _raise_if_refused(batch.events, seq)
    except CommandRefused as err:
        if json:
            output.document({"dry_run": True, **refused(command, err)})
        raise
    appended = [type(recorded.event).__name__ for recorded in batch.events]
    found = [_rehearsed(driver.working, name, before[name]) for name in names]
    if json:
        one = found[0] if subject != FLEET else {"groups": found}
        output.document({"dry_run": True, **one, "would_append": appended})
        return
    for each in found:
        now, then = each["before"], each["after"]
        rows = [(key, now[key] or "-", then[key] or "-") for key in ("active", "strategy")]
        title = f"{each['group']}: nothing was appended"
        output.console().print(output.table(("control", "now", "then"), rows, title=title))


def _rehearsed(state: State, name: str, before: GroupControl) -> dict[str, Any]:
    """Return what a group has now and would have then."""
    after = state.groups[name]
    return {
        "group": name,
        "before": {"active": before.assigned, "strategy": before.strategy},
        "after": {
            "active": after.rollback.target if after.rollback else after.assigned,
            "strategy": after.strategy,
        },
    }


def _group(state: State, command: Command) -> str:
    """Return the subject of the command.

    Raises:
        CommandRefused: There is no such group.
        ConfigurationError: One has to be named.
    """
    if command.locate is not None:
        return command.locate(state)
    if command.group is not None:
        if command.is_of_master and command.group in state.cache.places:
            return command.group
        if command.group not in state.groups:
            known = ", ".join(sorted(state.groups)) or "none"
            raise CommandRefused([f"no group {command.group!r}: expected one of {known}"])
        return command.group
    return only_group(state.groups) if command.needs_group else FLEET


def _raise_if_refused(events: tuple[Recorded, ...], seq: int) -> None:
    reasons = refusal(events, seq)
    if reasons:
        raise CommandRefused(reasons)
