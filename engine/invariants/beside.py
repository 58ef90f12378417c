"""What goes on beside the steps of a failover, judged: programs, healing, ejections."""

from typing import Final

from engine.core import events as ev
from engine.core.events import AnyEvent
from engine.core.fleet import Health, Role
from engine.core.state import Phase
from engine.invariants.followed import Book, Followed, FollowedGroup, rests

LARGE: Final = 5  # masters, from which on a share of a group may be ejected [count]
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


def unserved(
    master: Followed, event: ev.MasterEjected | ev.MasterReadmitted, at_us: int, book: Book
) -> str:
    """Return what is wrong now that a master gets no traffic; "" if nothing is.

    Of a small group a half serves on; of a large one a share may be out, and one always. Who rests
    because somebody wants it does not count.
    """
    if isinstance(event, ev.MasterReadmitted):
        return ""
    group = master.group
    balance = group.policy.balance
    settings = None if balance is None else balance.ejection
    if settings is None:
        return f"{master.name} is ejected, and no policy says so"
    if not 0 < event.until_us - at_us <= settings.most_us:
        return f"{master.name} is ejected for {event.until_us - at_us} us"
    wanted = [one for one in group.masters.values() if not rests(one, at_us, book)]
    count, out = len(wanted), sum(one.is_out for one in wanted)
    serving = sum(
        one.role is Role.ACTIVE and one.health is not Health.FAILED and not one.is_out
        for one in wanted
    )
    if count < LARGE and serving < (count + 1) // 2:
        return f"{master.name} is ejected, and {serving} of {count} serve"
    if count >= LARGE and out > max(1, count * settings.share_ppm // 1_000_000):
        return f"{master.name} is ejected, and {out} of {count} are out"
    return ""


def is_well(master: Followed) -> None:
    """Begin to count anew: it is well, or what was counted is forgotten."""
    master.healings = master.heals_again_us = 0
