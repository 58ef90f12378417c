"""What people ask of the simulated engine, as observations; and what they do by hand beside it."""

from collections.abc import Mapping
from typing import Final

from engine.core import events as ev
from engine.core.events import FLEET, Observation
from engine.core.replay import control_at
from engine.core.state import State, control_digest
from engine.simulation.masters import Phase, SimulatedMaster
from engine.simulation.outside import Outside
from engine.simulation.schedule import GROUP, Turn

AUTHOR: Final = "simulated operator"


def asked_by(turn: Turn, state: State, world: Outside) -> tuple[Observation, str] | None:
    """Return what `turn` asks, and of whom; None: nothing that anybody would ask now."""
    until_us = world.now_us + turn.count
    match turn.kind:
        case "switchover":
            return ev.SwitchoverAsked(to=turn.subject, author=AUTHOR), GROUP
        case "failover":
            return ev.FailoverAsked(to=turn.subject, author=AUTHOR), GROUP
        case "pause":
            subject = FLEET if turn.subject == "a" else GROUP
            ends_us = until_us if turn.count else 0
            return ev.Paused(until_us=ends_us, reason="asked", author=AUTHOR), subject
        case "resume":
            return ev.Resumed(author=AUTHOR), FLEET if turn.subject == "a" else GROUP
        case "approve":
            return ev.Approved(author=AUTHOR), GROUP
        case "exclude" | "include":
            excluded = turn.kind == "exclude"
            asked = ev.ExclusionAsked(excluded=excluded, reason="asked", author=AUTHOR)
            return asked, turn.subject
        case "maintain":
            return ev.MaintenanceDeclared(
                from_us=world.now_us, to_us=until_us, reason="asked", author=AUTHOR
            ), turn.subject
        case "release":
            if turn.subject:
                # Who vouches for a fence has looked: the process is gone.
                if world.masters[turn.subject].phase is not Phase.DOWN:
                    return None
                return ev.Released(scope="fence", author=AUTHOR), turn.subject
            scope = "limit" if turn.count % 2 else "hold-down"
            return ev.Released(scope=scope, author=AUTHOR), GROUP
        case "checkpoint":
            name = f"c{len(state.fleet.checkpoints) // max(1, turn.count)}"
            return ev.CheckpointMarked(name=name, author=AUTHOR), FLEET
        case "strategy":
            strategy = ("priority", "round-robin", "none")[turn.count % 3]
            return ev.StrategyAsked(strategy=strategy, author=AUTHOR), GROUP
        case "rollback" | "rollback-force":
            return _rollback(turn, state, world)
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


def _rollback(turn: Turn, state: State, world: Outside) -> tuple[Observation, str] | None:
    marked = sorted(seq for seq in state.fleet.checkpoints.values() if seq <= world.tape.head)
    if not marked:
        return None
    position = marked[-min(turn.count or 1, len(marked))]
    control = control_at(world.tape.log, GROUP, position=position)
    if control is None:
        return None
    return ev.RollbackRequested(
        position=position,
        control=control,
        digest=control_digest(control),
        author=AUTHOR,
        force=turn.kind == "rollback-force",
    ), GROUP
