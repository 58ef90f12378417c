"""Act: a fleet and a policy that change while they run; each change is an event with its author."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from engine.cli.options import Json, LogOption, Word
from engine.core.errors import ConfigurationError

Reason = Annotated[str, Parameter(help="Why, for whoever finds it so.")]


def undo(
    first: Word = None,
    second: Annotated[
        str | None, Parameter(name="FAILOVER", help="Its number; left out: the last one.")
    ] = None,
    /,
    *,
    wait: Annotated[
        bool,
        Parameter(
            negative="", show_default=False, help="Return when it is over; needs a running engine."
        ),
    ] = False,
    log: LogOption = None,
    json: Json = False,
) -> None:
    """Plan the switch back from a failover.

    It is a switchover to the master that the failover left: looked at first, nothing lost. Refused
    if that master is not fit, or if another one has taken over since.

    Example: tanist undo 4711 --wait
    """
    from engine.cli import acting, sending, tending

    target, failover = acting.scope((first, second), log)
    sending.give(target, tending.undo(target, failover, wait=wait), json=json)


def reset(
    first: Word = None,
    second: Annotated[
        str | None, Parameter(name="SUBJECT", help="A master, or a group with all its masters.")
    ] = None,
    /,
    *,
    log: LogOption = None,
    json: Json = False,
) -> None:
    """Forget what was counted of a master or a group: failures, flaps, back-off.

    A failed master stays failed until it answers; one that answers again is trusted at once. Brakes
    are lifted by release, not by this.

    Example: tanist reset cache-a
    """
    from engine.cli import acting, sending, tending

    target, subject = acting.scope((first, second), log)
    sending.give(target, tending.reset(subject), json=json)


def master(
    action: Annotated[
        Literal["add", "drain", "undrain", "exclude", "include", "remove"],
        Parameter(help="What is done with it."),
    ],
    first: Word = None,
    second: Annotated[str | None, Parameter(name="MASTER", help="Its name.")] = None,
    /,
    *,
    group: Annotated[str | None, Parameter(help="add: the group that it joins.")] = None,
    address: Annotated[
        str | None, Parameter(help="add: where it is, as in http://10.0.0.3:8080.")
    ] = None,
    priority: Annotated[int, Parameter(help="add: 1 is the first choice.")] = 1,
    weight: Annotated[int, Parameter(help="add: its share among equals.")] = 1,
    region: Annotated[str, Parameter(help="add: where it stands.")] = "",
    reason: Reason = "",
    log: LogOption = None,
    json: Json = False,
) -> None:
    """Add a master, let it rest, keep it from being chosen, or take it out.

    add: it is watched at once; a file that does not name it leaves it, one that does owns it.
    drain: it finishes what it has and gets nothing new; the active of a group is switched over
    first. undrain ends that. exclude: it serves on and is never chosen; include ends that. remove:
    refused, with the reason, while it serves or may still act.

    Example: tanist master drain cache-a --reason "new disks"
    """
    from engine.cli import acting, sending, tending

    target, name = acting.scope((first, second), log)
    if name is None:
        raise ConfigurationError([f"master {action}: expected the name of a master, found none"])
    if action == "add":
        command = tending.add(
            name, group=group, address=address, priority=priority, weight=weight, region=region
        )
    elif group or address or region:
        raise ConfigurationError([f"--group, --address and --region go with add, not {action}"])
    elif action in ("drain", "undrain"):
        command = tending.drain(name, drained=action == "drain", reason=reason)
    elif action in ("exclude", "include"):
        command = tending.exclude(name, excluded=action == "exclude", reason=reason)
    else:
        command = tending.remove(name)
    sending.give(target, command, json=json)


def strategy(
    first: Word = None,
    second: Annotated[
        str | None, Parameter(name="GROUP", help="The group; the only one need not be named.")
    ] = None,
    third: Annotated[
        str | None, Parameter(name="NAME", help="The strategy: priority, round-robin.")
    ] = None,
    /,
    *,
    log: LogOption = None,
    json: Json = False,
) -> None:
    """Balance a group's traffic by another strategy.

    It holds until another command, a rollback or another file; status says that it differs from
    the file.

    Example: tanist strategy api round-robin
    """
    from engine.cli import places, sending, tending

    target, words = places.split((first, second, third), log, most=2)
    if not words:
        raise ConfigurationError(["expected the name of a strategy, found none"])
    group = words[0] if len(words) > 1 else None
    sending.give(target, tending.strategy(group, words[-1]), json=json)


def maintenance(
    action: Annotated[Literal["add", "list", "retract"], Parameter(help="What is done with it.")],
    first: Word = None,
    second: Annotated[
        str | None, Parameter(name="SUBJECT", help="A master, a group, or fleet.")
    ] = None,
    /,
    *,
    from_: Annotated[
        str | None,
        Parameter(name="--from", help="When it begins or began, with its zone; or: now."),
    ] = None,
    to: Annotated[
        str | None,
        Parameter(help="When it ends or ended, with its zone; or how long it takes, as in 2h."),
    ] = None,
    reason: Reason = "",
    log: LogOption = None,
    json: Json = False,
) -> None:
    """Declare a maintenance: before, while it lasts, or afterwards.

    Meanwhile its masters are not chosen and their failures wake nobody; uptime leaves it out or
    counts it, as it is asked. retract takes back the one that begins at --from.

    Example: tanist maintenance add cache-a --from now --to 2h --reason "new disks"
    """
    from engine.cli import acting, sending, tending, windows

    target, subject = acting.scope((first, second), log)
    if action == "list":
        windows.show(target, subject, json=json)
        return
    if subject is None or from_ is None or (action == "add" and to is None):
        needed = "SUBJECT and --from"
        if action == "add":
            needed = "SUBJECT, --from and --to, as in --from now --to 2h"
        raise ConfigurationError([f"maintenance {action}: expected {needed}"])
    begins_us, ends_us = windows.span(from_, to if action == "add" else None)
    command = tending.maintenance(subject, from_us=begins_us, to_us=ends_us, reason=reason)
    sending.give(target, command, json=json)


def apply(
    file: Annotated[Path, Parameter(help="The configuration.")],
    first: Word = None,
    /,
    *,
    dry_run: Annotated[
        bool,
        Parameter(
            negative="",
            show_default=False,
            help="Say what would change, and what it would have decided otherwise in the last day.",
        ),
    ] = False,
    log: LogOption = None,
    json: Json = False,
) -> None:
    """Adopt a changed configuration while the engine runs.

    What changes is listed first, key by key. It is adopted as a whole or refused with every reason:
    who serves is not dropped. What it says of the engine itself and of its log holds from the next
    start. With --dry-run nothing is appended, and the last day of the log is decided again under
    the new policy, beside what happened.

    Example: tanist apply tanist.toml --dry-run
    """
    from engine.cli import applying, places

    target, _ = places.split((first,), log, most=0)
    applying.apply(target, file, dry_run=dry_run, json=json)
