"""What people ask of the simulated engine, as observations; and what they do by hand beside it."""

from collections.abc import Mapping
from typing import Final

from engine.core import events as ev
from engine.core.events import FLEET, Observation
from engine.core.replay import control_at, controls_in, replay
from engine.core.state import State, control_digest
from engine.simulation.masters import Phase, SimulatedMaster
from engine.simulation.outside import Outside
from engine.simulation.schedule import Turn

AUTHOR: Final = "simulated operator"


def asked_by(turn: Turn, state: State, world: Outside) -> tuple[Observation, str] | None:
    """Return what `turn` asks, and of whom; None: nothing that anybody would ask now."""
    at_us = max(world.engine_us, state.at_us)
    until_us = at_us + turn.count
    group = group_of(turn, world)
    match turn.kind:
        case "switchover":
            return ev.SwitchoverAsked(to=turn.subject, author=AUTHOR), group
        case "failover":
            return ev.FailoverAsked(to=turn.subject, author=AUTHOR), group
        case "pause":
            subject = FLEET if turn.subject == "a" else group
            ends_us = until_us if turn.count else 0
            return ev.Paused(until_us=ends_us, reason="asked", author=AUTHOR), subject
        case "resume":
            return ev.Resumed(author=AUTHOR), FLEET if turn.subject == "a" else group
        case "approve":
            return ev.Approved(author=AUTHOR), group
        case "exclude" | "include":
            excluded = turn.kind == "exclude"
            asked = ev.ExclusionAsked(excluded=excluded, reason="asked", author=AUTHOR)
            return asked, turn.subject
        case "maintain":
            return ev.MaintenanceDeclared(
                from_us=at_us, to_us=until_us, reason="asked", author=AUTHOR
            ), turn.subject
        case "release":
            if turn.subject:
                # Who vouches for a fence has looked: the process is gone.
                if world.masters[turn.subject].phase is not Phase.DOWN:
                    return None
                if turn.subject in world.servers:
                    world.servers[turn.subject].retire()
                return ev.Released(scope="fence", author=AUTHOR), turn.subject
            scope = "limit" if turn.count % 2 else "hold-down"
            return ev.Released(scope=scope, author=AUTHOR), group
        case "checkpoint":
            name = f"c{len(state.fleet.checkpoints) // max(1, turn.count)}"
            return ev.CheckpointMarked(name=name, author=AUTHOR), FLEET
        case "strategy":
            strategy = ("priority", "round-robin", "none")[turn.count % 3]
            return ev.StrategyAsked(strategy=strategy, author=AUTHOR), group
        case "plan":
            asked_for = ev.SwitchoverAsked(
                to=turn.subject, author=AUTHOR, due_us=at_us + max(1, turn.count)
            )
            return asked_for, group
        case "cancel":
            return ev.ScheduleCancelled(author=AUTHOR), group
        case "undo":
            return _undo(world, group)
        case "drain" | "undrain":
            if not turn.subject:
                return None
            drained = turn.kind == "drain"
            return ev.DrainAsked(drained=drained, reason="asked", author=AUTHOR), turn.subject
        case "remove":
            return (ev.MasterRemoveAsked(author=AUTHOR), turn.subject) if turn.subject else None
        case "add":
            added = [one for one in world.setting.declared() if one.id == turn.subject]
            return (ev.MasterAddAsked(master=added[0], author=AUTHOR), FLEET) if added else None
        case "reset":
            return ev.ResetAsked(author=AUTHOR), turn.subject or group
        case "ack":
            return _ack(state)
        case "rollback-all":
            return _rollback_all(turn, state, world)
        case "rollback" | "rollback-force":
            return _rollback(turn, state, world, group)
        case _:
            raise AssertionError(turn.kind)


def promote_by_hand(masters: Mapping[str, SimulatedMaster], name: str, *, observes: bool) -> None:
    """Make another master active, as somebody does by hand; it does no work of its own.

    Beside an engine that only observes, the others are made standbys first.
    """
    master = masters[name]
    if not observes:
        if master.phase is Phase.UP and master.role != "active":
            master.claim(master.epoch)
        return
    newest = max(other.epoch for other in masters.values())
    for other in masters.values():
        other.yield_()
    if master.phase is Phase.UP:
        master.claim(newest + 1)


def group_of(turn: Turn, world: Outside) -> str:
    """Return the group that `turn` is about: that of its subject, or the one it names."""
    for group in world.setting.groups():
        if turn.subject in group.names():
            return group.id
    return turn.group or world.setting.first


def _undo(world: Outside, group: str) -> tuple[Observation, str] | None:
    """Return what asks for the way back from the last failover of `group`, if there was one."""
    heir, failover = "", 0
    for recorded in reversed(world.tape.log):
        event = recorded.event
        if recorded.subject != group:
            continue
        if isinstance(event, ev.FailoverEnded) and event.result == "completed" and not failover:
            failover = event.id
        elif isinstance(event, ev.AttemptStarted) and failover and not heir:
            heir = event.heir
        elif isinstance(event, ev.FailoverStarted) and event.id == failover:
            asked = ev.UndoAsked(failover=failover, to=event.source, heir=heir, author=AUTHOR)
            return asked, group
    return None


def _ack(state: State) -> tuple[Observation, str] | None:
    """Return what silences the newest alert that stands, if there is one."""
    parts = ((FLEET, state.fleet.alerts), *((g.id, g.alerts) for g in state.groups.values()))
    standing = [(alert.id, part) for part, alerts in parts for alert in alerts.values()]
    newest, part = max(standing, default=(0, ""))
    return (ev.AlertAcked(alert=newest, author=AUTHOR), part) if newest else None


def _marked(state: State, world: Outside) -> list[int]:
    """Return the checkpoints that the state of then can still be had of, the newest one last."""
    dropped, head = world.tape.dropped, world.tape.head
    first = 0 if dropped is None else dropped.until
    return sorted(seq for seq in state.fleet.checkpoints.values() if first <= seq <= head)


def _rollback_all(turn: Turn, state: State, world: Outside) -> tuple[Observation, str] | None:
    marked = _marked(state, world)
    if not marked:
        return None
    position = marked[-min(turn.count or 1, len(marked))]
    then = replay(world.tape.kept(), until_seq=position)
    controls = controls_in(then, state.groups)
    return ev.FleetRollbackRequested(
        position=position,
        controls=controls,
        digests=tuple(control_digest(control) for control in controls),
        author=AUTHOR,
        policy=then.fleet.policy,
    ), FLEET


def _rollback(
    turn: Turn, state: State, world: Outside, group: str
) -> tuple[Observation, str] | None:
    marked = _marked(state, world)
    if not marked:
        return None
    position = marked[-min(turn.count or 1, len(marked))]
    control = control_at(world.tape.kept(), group, position=position)
    if control is None:
        return None
    return ev.RollbackRequested(
        position=position,
        control=control,
        digest=control_digest(control),
        author=AUTHOR,
        force=turn.kind == "rollback-force",
    ), group
