"""Look: the status, the events, and why."""

from typing import Annotated

from cyclopts import Parameter

from engine.cli import output, places
from engine.cli.options import Flag, Json, JsonLines, LogOption, Word
from engine.core.errors import ConfigurationError


def status(
    place: Word = None,
    /,
    *,
    log: LogOption = None,
    at: str | None = None,
    json: Json = False,
) -> None:
    """Groups, masters, roles, health, what is waited for.

    Of a file, it is the status at the last event or at a position; of a running engine, the status
    now.

    Example: tanist status tanist.db --at 2026-01-31T12:00:00Z

    Args:
        at: A position: a seq, a time with its zone or the name of a checkpoint.
    """
    from engine.cli import remote
    from engine.cli.showing import show_status

    target, _ = places.split((place,), log, most=0)
    if places.is_address(target):
        if at is not None:
            raise ConfigurationError(["--at reads the log itself: name it with --log"])
        found = remote.status(target)
    else:
        from engine.answers.folds import state_at
        from engine.answers.positions import resolve
        from engine.answers.status import status as answer

        with places.open_for_reading(target) as opened:
            seq = None if at is None else resolve(opened, at)
            found = answer(state_at(opened, seq))
    if json:
        output.document(found)
    else:
        show_status(found)


def events(
    place: Word = None,
    /,
    *,
    log: LogOption = None,
    since: str | None = None,
    until: str | None = None,
    kind: Annotated[tuple[str, ...], Parameter(negative="", show_default=False)] = (),
    subject: Annotated[tuple[str, ...], Parameter(negative="", show_default=False)] = (),
    follow: Flag = False,
    json: JsonLines = False,
) -> None:
    """Print the log, or a part of it.

    Example: tanist events --since 2026-01-31T12:00:00Z --kind MasterFailed --kind FailoverStarted

    Args:
        since: The first position to print: a seq, a time with its zone or a checkpoint.
        until: The last position to print.
        kind: Only events of this kind, as in MasterFailed; may be given several times.
        subject: Only events about this master, group or the fleet; may be given several times.
        follow: Go on with what is appended, until Ctrl-C.
    """
    from engine.cli.streaming import Filter, of_engine, of_log
    from engine.cli.showing import show_events

    target, _ = places.split((place,), log, most=0)
    wanted = Filter(kinds=kind, subjects=subject)
    read = of_engine if places.is_address(target) else of_log
    found = read(target, wanted, since=since, until=until, follow=follow)
    show_events(found, json=json)


def why(
    first: Word = None,
    second: Annotated[str | None, Parameter(help="A seq, a failover, a master or a group.")] = None,
    /,
    *,
    log: LogOption = None,
    json: Json = False,
) -> None:
    """The causal chain of a decision, down to single observations.

    Of an event, named by its seq or its failover; of a master, its last verdict; of a group, its
    last failover. Nothing named: the last failover. With every master that was not chosen, by which
    rule, and with the figures that were known then.

    Example: tanist why cache-a
    """
    from engine.answers.why import why as answer
    from engine.cli.showing import show_why

    target, words = places.split((first, second), log, most=1)
    with places.open_for_reading(target) as opened:
        found = answer(opened, words[0] if words else None)
    if json:
        output.document(found)
    else:
        show_why(found)
