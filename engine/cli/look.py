"""Look: the status, the events, and why."""

from typing import Annotated

from cyclopts import Parameter

from engine.cli import output, places
from engine.cli.options import Json, JsonLines, LogOption, Place, Word
from engine.core.errors import ConfigurationError


def status(
    place: Place = None,
    /,
    *,
    log: LogOption = None,
    at: Annotated[
        str | None,
        Parameter(help="A position: a seq, a time with its zone or the name of a checkpoint."),
    ] = None,
    json: Json = False,
) -> None:
    """Groups, masters, roles, health, and what is waited for.

    Of a file, it is the status at the last event or at a position; of a running engine, the status
    now.

    Example: tanist status tanist.db --at 2026-01-31T12:00:00Z
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
    place: Place = None,
    /,
    *,
    log: LogOption = None,
    since: Annotated[
        str | None,
        Parameter(help="The first position to print: a seq, a time with its zone or a checkpoint."),
    ] = None,
    until: Annotated[str | None, Parameter(help="The last position to print.")] = None,
    kind: Annotated[
        tuple[str, ...],
        Parameter(
            negative="",
            show_default=False,
            help="Only events of this kind, as in MasterFailed; repeatable.",
        ),
    ] = (),
    subject: Annotated[
        tuple[str, ...],
        Parameter(
            negative="",
            show_default=False,
            help="Only events about this master, group or the fleet; repeatable.",
        ),
    ] = (),
    follow: Annotated[
        bool,
        Parameter(
            negative="", show_default=False, help="Go on with what is appended, until Ctrl-C."
        ),
    ] = False,
    json: JsonLines = False,
) -> None:
    """Print the log, or a part of it.

    Example: tanist events --since 2026-01-31T12:00:00Z --kind MasterFailed --kind FailoverStarted
    """
    from engine.cli.showing import show_events
    from engine.cli.streaming import Filter, of_engine, of_log

    target, _ = places.split((place,), log, most=0)
    wanted = Filter(kinds=kind, subjects=subject)
    read = of_engine if places.is_address(target) else of_log
    found = read(target, wanted, since=since, until=until, follow=follow)
    show_events(found, json=json)


def why(
    first: Word = None,
    second: Annotated[
        str | None, Parameter(name="WHAT", help="A seq, a failover, a master or a group.")
    ] = None,
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
