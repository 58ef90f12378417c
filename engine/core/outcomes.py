"""What follows when an effect has ended: the next step of a failover, a fence that holds.

An outcome counts only for the effect that is owed now: its key is (failover, step, master, epoch).
A late one is recorded and changes nothing.
"""

from engine.core import events as ev
from engine.core.events import Result
from engine.core.fleet import Role
from engine.core.owed import STEP_OF
from engine.core.state import Saga
from engine.core.step import Step


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
        case "switch":
            is_current = master.role is Role.ACTIVE and event.epoch == master.epoch
            if is_current and is_ok and group.switch_epoch != event.epoch:
                step.emit(ev.SwitchDone(epoch=event.epoch))
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
            digest = saga.transfer_digest
            step.emit(ev.PromotionStarted(epoch=saga.epoch, digest=digest))
        else:
            reason = f"transfer: expected digest {saga.transfer_digest}, found {event.digest}"
            step.emit(ev.AttemptFailed(reason=reason, maybe_active=False))
    elif event.step == "promote":
        step.emit(ev.VerificationStarted())
    else:
        step.emit(ev.Switched(epoch=saga.epoch))
