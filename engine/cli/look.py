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
    brief: Annotated[
        bool,
        Parameter(
            negative="",
            show_default=False,
            help="What is wrong, what was done, what comes next and when, what you can type.",
        ),
    ] = False,
    watch: Annotated[
        bool,
        Parameter(
            negative="",
            show_default=False,
            help="Draw it again each second, until q, Ctrl-C or --seconds.",
        ),
    ] = False,
    seconds: Annotated[
        float | None, Parameter(help="With --watch: how long [s]; left out: without end.")
    ] = None,
    json: Json = False,
) -> None:
    """Groups, masters, roles, health, and what is waited for.

    Of a log that an engine runs, it is what the engine says now; at rest, the status at the last
    event; with --at, at any position. The first line says whether an engine runs, and who paused.
    A group that only observes shows what it would have done. Last, what would happen if each master
    failed now: the engine's own rules, tried on a copy.

    Example: tanist status tanist.db --at 2026-01-31T12:00:00Z
    """
    from engine.cli.showing import show_status
    from engine.cli.statuses import status_at, status_now

    target, _ = places.split((place,), log, most=0)
    if seconds is not None and not watch:
        raise ConfigurationError(["--seconds goes with --watch"])
    if watch:
        if at is not None or json:
            raise ConfigurationError(
                ["--watch is for people, and of now: leave out --at and --json"]
            )
        from engine.cli.watching import watched

        watched(target, brief=brief, seconds=seconds)
        return
    if brief:
        from engine.cli.statuses import brief_at

        found = brief_at(target, at)
        if json:
            output.document(found)
        else:
            from engine.answers.briefing import lines

            output.text("\n".join(lines(found)))
        return
    found = status_now(target) if at is None else status_at(target, at)
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
        Parameter(
            help="The first position to print: a seq, a time with its zone, a checkpoint, or how "
            "long before the end of the log, as in 10m."
        ),
    ] = None,
    until: Annotated[
        str | None, Parameter(help="The last position to print, named in the same ways.")
    ] = None,
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
    all_: Annotated[
        bool,
        Parameter(
            name="--all",
            negative="",
            show_default=False,
            help="Also what is left out for people: events of probes and of messages.",
        ),
    ] = False,
    json: JsonLines = False,
) -> None:
    """Print the log, or a part of it.

    For people, events of probes and of messages are left out and counted; what is named with
    --kind is always there. JSON is complete.

    Example: tanist events --since 10m --kind MasterFailed --kind FailoverStarted
    """
    from engine.cli.showing import show_events
    from engine.cli.streaming import Filter, of_engine, of_log

    target, _ = places.split((place,), log, most=0)
    wanted = Filter(kinds=kind, subjects=subject, is_brief=not (all_ or json))
    read = of_engine if places.is_address(target) else of_log
    found = read(target, wanted, since=since, until=until, follow=follow)
    try:
        show_events(found, json=json)
    finally:
        if wanted.left_out:
            what = f"{wanted.left_out:,} events of probes and messages were left out"
            output.note(f"{what}: --all shows them")


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
    last failover. Nothing named: the last failover, or a newer failure that nobody took over upon.
    With every master that was not chosen, by which rule, and with the figures that were known then;
    and what a group waits for.

    Example: tanist why cache-a
    """
    from engine.cli.showing import show_why
    from engine.cli.statuses import asked

    target, words = places.split((first, second), log, most=1)
    if places.is_address(target):
        found = asked(target, "why", what=words[0] if words else None)
    else:
        from engine.service.reasons import ask_why

        with places.open_for_reading(target) as opened:
            found = ask_why(opened, {"what": words[0]} if words else {})
    if json:
        output.document(found)
    else:
        show_why(found)
