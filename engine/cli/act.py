"""Act: commands to the running engine, or to the log at rest."""

from typing import Annotated

from cyclopts import Parameter

from engine.cli.options import Json, LogOption, Word

To = Annotated[str, Parameter(help="The master that shall take over; left out: the best.")]
Wait = Annotated[
    bool,
    Parameter(
        negative="",
        show_default=False,
        help="Return when it is over, and say who is active then; needs a running engine.",
    ),
]
Named = Annotated[
    str | None, Parameter(name="GROUP", help="The group; the only one need not be named.")
]


def pause(
    first: Word = None,
    second: Annotated[
        str | None, Parameter(name="GROUP", help="The group; left out: the whole fleet.")
    ] = None,
    /,
    *,
    reason: Annotated[str, Parameter(help="Why, for whoever finds it paused.")],
    for_: Annotated[
        str | None,
        Parameter(name="--for", help="How long, as in 30m or 2h; left out: until resumed."),
    ] = None,
    log: LogOption = None,
    json: Json = False,
) -> None:
    """Start no new failover; observing goes on.

    Survives a restart, ends by itself if told how long, and is the first line of every status.
    A file tanist.pause beside the log does the same for as long as it is there, and needs neither
    the engine's interface nor space on its disk: its first line is the reason.

    Example: tanist pause cache --for 2h --reason "moving racks"
    """
    from engine.cli import acting, sending

    target, group = acting.scope((first, second), log)
    sending.give(target, acting.pause(group, for_=for_, reason=reason), json=json)


def resume(
    first: Word = None,
    second: Annotated[
        str | None, Parameter(name="GROUP", help="The group; left out: the whole fleet.")
    ] = None,
    /,
    *,
    log: LogOption = None,
    json: Json = False,
) -> None:
    """End a pause.

    A pause of the fleet and one of a group are two: each is ended by its own resume.

    Example: tanist resume cache
    """
    from engine.cli import acting, sending

    target, group = acting.scope((first, second), log)
    sending.give(target, acting.resume(group), json=json)


def failover(
    first: Word = None,
    second: Named = None,
    /,
    *,
    to: To = "",
    wait: Wait = False,
    log: LogOption = None,
    json: Json = False,
) -> None:
    """Force another master to take over, at once.

    Nothing is drained first. Brakes do not bind it, and it takes the place of a failover that
    waits. Refused if nobody is fit to take over.

    Example: tanist failover cache --to cache-b --wait
    """
    from engine.cli import acting, sending

    target, group = acting.scope((first, second), log)
    sending.give(target, acting.failover(group, to=to, wait=wait), json=json)


def switchover(
    first: Word = None,
    second: Named = None,
    /,
    *,
    to: To = "",
    at: Annotated[
        str | None,
        Parameter(help="When it shall begin: a time with its zone, or a while from now, as in 2h."),
    ] = None,
    cancel: Annotated[
        bool, Parameter(negative="", show_default=False, help="Take back what is scheduled.")
    ] = False,
    wait: Wait = False,
    log: LogOption = None,
    json: Json = False,
) -> None:
    """Change the active master as planned; refused if it would lose anything.

    The target is looked at before anything is taken from the source, which finishes what it has.
    With --at it is scheduled: status shows it, --cancel takes it back, and it is judged anew when
    it is due. In a pause, or long after it was due, it does not happen.

    Example: tanist switchover cache --to cache-b --at 2026-02-01T03:00:00+01:00
    """
    from engine.cli import acting, sending, tending
    from engine.core.errors import ConfigurationError

    target, group = acting.scope((first, second), log)
    if cancel and (at or to or wait):
        raise ConfigurationError(["--cancel takes back what is scheduled: nothing goes with it"])
    if at and wait:
        raise ConfigurationError(["expected --at or --wait, found both"])
    if cancel:
        command = tending.cancel(group)
    elif at:
        command = tending.later(group, to=to, at=at)
    else:
        command = acting.switchover(group, to=to, wait=wait)
    sending.give(target, command, json=json)


def approve(
    first: Word = None, second: Named = None, /, *, log: LogOption = None, json: Json = False
) -> None:
    """Let a waiting failover go.

    What a failover waits for (an approval, a hold-down, a spent limit) stands in the status.

    Example: tanist approve cache
    """
    from engine.cli import acting, sending

    target, group = acting.scope((first, second), log)
    sending.give(target, acting.approve(group), json=json)


def release(
    first: Word = None,
    second: Annotated[
        str | None, Parameter(name="SUBJECT", help="A group, or a master that is fenced.")
    ] = None,
    /,
    *,
    fleet: Annotated[
        bool,
        Parameter(negative="", show_default=False, help="Lift the spent limit of the fleet."),
    ] = False,
    log: LogOption = None,
    json: Json = False,
) -> None:
    """Lift the brakes of a group or the fleet, or the fence of a lost master.

    The brakes of a group are its hold-down and its spent limit; with --fleet it is the limit that
    all groups have together. What waited for them goes on at once. A fence that must be confirmed
    is waited for without end: a master that answers nothing might still act. To release it is to
    vouch that it cannot: its machine is off, or its network is cut.

    Example: tanist release cache-a
    """
    from engine.cli import acting, sending

    target, subject = acting.scope((first, second), log)
    sending.give(target, acting.release(subject, fleet=fleet), json=json)


def checkpoint(
    first: Word = None,
    second: Annotated[
        str | None, Parameter(name="NAME", help="A name that starts with a letter.")
    ] = None,
    /,
    *,
    log: LogOption = None,
    json: Json = False,
) -> None:
    """Give this place in the log a name.

    It is a position from then on, for replay, status and rollback; a name is never used twice.

    Example: tanist checkpoint before-upgrade
    """
    from engine.cli import acting, sending

    target, name = acting.scope((first, second), log)
    sending.give(target, acting.checkpoint(name), json=json)


def rollback(
    first: Word = None,
    second: Annotated[
        str | None,
        Parameter(
            name="POSITION",
            help="A position: a seq, a time, a checkpoint, or how long before the end, as in 10m.",
        ),
    ] = None,
    /,
    *,
    group: Annotated[
        tuple[str, ...],
        Parameter(
            negative="",
            show_default=False,
            help="The group; the only one need not be named. Repeatable: all of them or none.",
        ),
    ] = (),
    all_: Annotated[
        bool,
        Parameter(
            name="--all",
            negative="",
            show_default=False,
            help="Every group, and the policy of then.",
        ),
    ] = False,
    force: Annotated[
        bool,
        Parameter(
            negative="",
            show_default=False,
            help="Try a target that looks unfit; it still has to pass its preflight.",
        ),
    ] = False,
    dry_run: Annotated[
        bool,
        Parameter(
            negative="", show_default=False, help="Say what would happen, and append nothing."
        ),
    ] = False,
    log: LogOption = None,
    json: Json = False,
) -> None:
    """Take groups back to what they were at a position.

    Its strategy, its base weights and its active master become what replaying the log up to there
    gives. Health, epochs, messages and safety marks stay as they are, and the log only grows.
    Refused as a whole, with every reason: of several groups all go back, or none.

    Example: tanist rollback before-upgrade --group cache --dry-run
    """
    from engine.cli import acting, resting, sending

    target, position = acting.scope((first, second), log)
    command = acting.rollback(target, position, groups=group, all_=all_, force=force)
    if dry_run:
        resting.rehearse(target, command, json=json)
    else:
        sending.give(target, command, json=json)
