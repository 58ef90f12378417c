"""What goes on beside the steps of a failover, judged: programs around steps, and healing."""

from typing import Final

from engine.core import events as ev
from engine.core.events import AnyEvent
from engine.core.fleet import Health, Role
from engine.core.state import Phase
from engine.invariants.followed import Followed, FollowedGroup

WELL: Final = ("ok", "assumed")
# What begins each step, besides the fence of the source.
BEGINS: Final[dict[type[AnyEvent], str]] = {
    ev.TransferStarted: "transfer",
    ev.PromotionStarted: "promote",
    ev.VerificationStarted: "verify",
    ev.Switched: "switch",
}


def hooked(group: FollowedGroup, event: ev.HookStarted | ev.HookEnded | ev.Outcome) -> str:
    """Follow the program before a step; return what is wrong with its end, "" if nothing is."""
    match event:
        case ev.HookStarted(hook=hook) if hook.startswith("before-"):
            group.hook, group.hook_result = hook, ""
        case ev.Outcome(step=step, result=result) if step == group.hook:
            group.hook_result = result.value
        case ev.HookEnded(hook=hook, result=said) if hook == group.hook:
            found, group.hook = group.hook_result, ""
            if found in WELL:
                group.hooks.add(hook)
            else:
                group.refused = hook
            if said != found:
                return f"{hook} is said to have ended {said}, and did {found or 'not end'}"
        case _:
            pass
    return ""


def attempted(group: FollowedGroup) -> None:
    """Begin anew with another attempt."""
    group.hook = group.refused = ""
    group.hooks.clear()


def unheeded(group: FollowedGroup, master: Followed | None, event: AnyEvent) -> str:
    """Return what is wrong with the step that begins; "" if nothing is, or none begins."""
    step = BEGINS.get(type(event), "")
    if isinstance(event, ev.MasterFenced | ev.DrainStarted):
        is_source = (
            group.phase is Phase.FENCING
            and group.failover is not None
            and master is not None
            and master.name == group.failover.source
            and master.role is Role.ACTIVE
        )
        step = "fence" if is_source else ""
    if not step:
        return ""
    if group.hook:
        return f"{step} begins while {group.hook} runs"
    if group.refused:
        return f"{step} begins although {group.refused} did not let it"
    if group.policy.hook(f"before-{step}") and f"before-{step}" not in group.hooks:
        return f"{step} begins, and before-{step} was not run"
    return ""


def unbounded(master: Followed, event: ev.RecoveryStarted, at_us: int) -> str:
    """Take an attempt to heal a master; return what is wrong with it, "" if nothing is."""
    recover = master.group.policy.recover
    before, again_us = master.healings, master.heals_again_us
    master.healings, master.heals_again_us = event.n, event.again_at_us
    if recover is None:
        return f"{master.name} is healed, and no policy says how"
    if event.n != before + 1 or event.n > recover.attempts:
        return f"attempt {event.n} of {recover.attempts} to heal {master.name}, after {before}"
    if at_us < again_us:
        return f"attempt {event.n} to heal {master.name} comes {again_us - at_us} us early"
    if event.again_at_us - at_us < recover.backoff_us << min(event.n - 1, 16):
        return f"attempt {event.n} to heal {master.name} is not backed off"
    if master.health is not Health.FAILED or master.is_excluded:
        return f"{master.name} is healed, and is {master.health.value} or excluded"
    return ""


def is_well(master: Followed) -> None:
    """Begin to count anew: it is well, or what was counted is forgotten."""
    master.healings = master.heals_again_us = 0
