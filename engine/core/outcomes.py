"""What follows when an effect has ended: the next step of a failover, a fence that holds.

An outcome counts only for the effect that is owed now: its key is (failover, step, master, epoch).
A late one is recorded and changes nothing.
"""

from typing import Final

from engine.core import events as ev
from engine.core.events import Result
from engine.core.fleet import Role
from engine.core.hooks import decide_hook, hook_before, run_after
from engine.core.leading import has_to_follow, leader
from engine.core.owed import STEP_OF
from engine.core.state import GroupState, Phase, Saga
from engine.core.step import Step

_NEXT: Final = {"transfer": "promote", "promote": "verify", "verify": "switch"}


def decide_outcome(step: Step, event: ev.Outcome) -> None:
    """Move on whatever waited for this outcome."""
    place = step.state.cache.places[step.subject]
    group, master = place.group, place.master
    is_ok = event.result in (Result.OK, Result.ASSUMED)
    match event.step:
        case "fence":
            fence = master.fence
            if fence is None or event.epoch != fence.confirm_at or not is_ok:
                return  # a late answer to an older fence readmits nobody
            if not fence.is_confirmed:
                step.emit(ev.FenceConfirmed(epoch=event.epoch, how=_how(event)))
            step.emit(ev.MasterRejoined(epoch=event.epoch))
            if event.failover:
                run_after(step, group, "fence", failover=event.failover, epoch=event.epoch)
        case "switch":
            is_current = master.role is Role.ACTIVE and event.epoch == master.epoch
            if is_current and is_ok and group.switch_epoch != event.epoch:
                step.emit(ev.SwitchDone(epoch=event.epoch))
                run_after(step, group, "switch", failover=event.failover, epoch=event.epoch)
        case "follow" | "detach":
            if is_ok:
                _decide_follow(step, group, event)
        case hook if hook.startswith(("before-", "after-")):
            saga = decide_hook(step, group, event)
            if saga is not None:
                _go_on(step, saga, event, is_ok=is_ok)
        case _:
            saga = group.saga
            if saga is not None and _is_due(saga, step.subject, event):
                _decide_step(step, saga, event, is_ok=is_ok)


def _how(event: ev.Outcome) -> str:
    return "assumed" if event.result is Result.ASSUMED else "answered"


def _is_due(saga: Saga, subject: str, event: ev.Outcome) -> bool:
    return (
        event.failover == saga.id
        and event.epoch == saga.epoch
        and subject == saga.heir
        and event.step == STEP_OF.get(saga.phase)
        and not saga.hook  # it was taken, and a program is waited for
    )


def _decide_step(step: Step, saga: Saga, event: ev.Outcome, *, is_ok: bool) -> None:
    if not is_ok:
        # A promotion of which nothing is known may have taken effect; so has, surely, one that
        # was answered and did not prove itself.
        maybe_active = event.step == "verify" or (
            event.step == "promote" and event.result is Result.UNKNOWN
        )
        reason = f"{event.step}: {event.result.value} {event.detail}".strip()
        step.emit(ev.AttemptFailed(reason=reason, maybe_active=maybe_active))
    elif event.step == "transfer":
        is_same = event.digest == saga.transfer_digest or event.result is Result.ASSUMED
        if is_same:
            _next_step(step, saga, event.step)
        else:
            reason = f"transfer: expected digest {saga.transfer_digest}, found {event.digest}"
            step.emit(ev.AttemptFailed(reason=reason, maybe_active=False))
    else:
        _next_step(step, saga, event.step)


def _next_step(step: Step, saga: Saga, done: str) -> None:
    """Go on after the step `done` on the heir: at once, or when a program has let it."""
    state = step.state
    group = state.cache.places[step.subject].group
    run_after(step, group, done, failover=saga.id, epoch=saga.epoch)
    todo = hook_before(state, group, saga, _NEXT[done], saga.heir)
    if todo is None:
        _begin(step, saga, _NEXT[done])
    else:
        step.emit(todo[1], subject=todo[0])


def _begin(step: Step, saga: Saga, what: str) -> None:
    match what:
        case "promote":
            digest, lacks = saga.transfer_digest, saga.lacks
            step.emit(ev.PromotionStarted(epoch=saga.epoch, digest=digest, lacks=lacks))
        case "verify":
            step.emit(ev.VerificationStarted())
        case _:
            step.emit(ev.Switched(epoch=saga.epoch))


def _go_on(step: Step, saga: Saga, event: ev.Outcome, *, is_ok: bool) -> None:
    """Take the step that waited for a program, or fail the attempt with what that said."""
    if not is_ok:
        reason = f"{event.step}: {event.result.value} {event.detail}".strip()
        maybe_active = saga.phase in (Phase.PROMOTING, Phase.VERIFYING)
        step.emit(ev.AttemptFailed(reason=reason, maybe_active=maybe_active), subject=saga.heir)
        return
    what = event.step.removeprefix("before-")
    if what in _NEXT.values():  # the others are begun where it is seen that nothing is waited for
        _begin(step, saga, what)


def _decide_follow(step: Step, group: GroupState, event: ev.Outcome) -> None:
    """Note whom a standby follows, if it was told so for what holds now."""
    saga = group.saga
    if event.step == "detach":
        if saga is not None and (saga.id, saga.epoch) == (event.failover, event.epoch):
            step.emit(ev.FollowChanged(epoch=event.epoch, active=""))
        return
    active = leader(step.state, group)
    if not active or group.masters[active].epoch != event.epoch:
        return
    if has_to_follow(group, step.subject, active):
        step.emit(ev.FollowChanged(epoch=event.epoch, active=active))
