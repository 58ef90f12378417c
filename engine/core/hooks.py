"""Programs of the operator around the steps of a failover.

The program before a step is waited for, and one that does not end well fails the attempt. The one
after a step is run beside whatever comes next, and nobody waits for it: after the switch there is
no way back. Both are owed effects, so that a crash of the engine means what it means for a step.

Fences outside of failovers have none: what must not act must not wait for a program.
"""

from engine.core import events as ev
from engine.core.beside import Hook
from engine.core.events import Result
from engine.core.fencing import Todo
from engine.core.state import GroupState, Saga, State
from engine.core.step import Step

ENDED_WELL = (Result.OK, Result.ASSUMED)


def hook_before(state: State, group: GroupState, saga: Saga, step: str, name: str) -> Todo | None:
    """Return that the program before `step` on `name` is run; None: there is none, or it was."""
    hook = f"before-{step}"
    if hook in saga.hooks or not state.policy_of(group).hook(hook):
        return None
    return name, ev.HookStarted(hook=hook, failover=saga.id, epoch=saga.epoch)


def run_after(step: Step, group: GroupState, name: str, *, failover: int, epoch: int) -> None:
    """Let the program after the step `name` be run, if there is one."""
    hook = f"after-{name}"
    if step.state.policy_of(group).hook(hook):
        step.emit(ev.HookStarted(hook=hook, failover=failover, epoch=epoch))


def decide_hook(step: Step, group: GroupState, event: ev.Outcome) -> Saga | None:
    """Take the end of a program; return the failover that goes on with it, if one does."""
    is_well = event.result in ENDED_WELL
    ended = ev.HookEnded(
        hook=event.step,
        failover=event.failover,
        epoch=event.epoch,
        result=event.result.value,
        reason="" if is_well else event.detail,
    )
    owed = Hook(hook=event.step, master=step.subject, failover=event.failover, epoch=event.epoch)
    if owed in group.hooks:
        step.emit(ended)
        return None
    saga = group.saga
    if saga is None or (saga.hook, saga.id, saga.epoch) != (
        event.step,
        event.failover,
        event.epoch,
    ):
        return None  # of an attempt that is over
    step.emit(ended)
    return saga
