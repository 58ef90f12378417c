"""Alerts: what people have to hear of, and that somebody has."""

from typing import Annotated

from cyclopts import Parameter

from engine.cli import output, places
from engine.cli.options import Json, LogOption, Place, Word
from engine.core.errors import ConfigurationError


def alerts(
    place: Place = None,
    /,
    *,
    at: Annotated[
        str | None, Parameter(help="A position: a seq, a time with its zone, or a checkpoint.")
    ] = None,
    all_: Annotated[
        bool,
        Parameter(
            name="--all",
            negative="",
            show_default=False,
            help="Every alert of the log, with when it was over.",
        ),
    ] = False,
    log: LogOption = None,
    json: Json = False,
) -> None:
    """What people have to hear of now, or had to at any position.

    A condition becomes an alert when it has lasted for as long as [alerts] in the file says, and
    is over by itself. The worst come first, each with what can be typed about it. Of an alert,
    tanist why with its number shows what it rests on; tanist ack silences it.

    Example: tanist alerts tanist.db --at 2026-01-31T12:00:00Z
    """
    from engine.cli.showing import show_alerts
    from engine.cli.statuses import asked, status_at, status_now

    target, _ = places.split((place,), log, most=0)
    if at is not None and all_:
        raise ConfigurationError(["expected --at or --all, found both"])
    if all_:
        found = asked(target, "alerts")["alerts"]
    else:
        found = (status_now(target) if at is None else status_at(target, at))["alerts"]
    if json:
        output.document({"alerts": found})
    else:
        show_alerts(found, history=all_)


def ack(
    first: Word = None,
    second: Annotated[
        str | None, Parameter(name="ALERT", help="The number of an alert, as alerts shows it.")
    ] = None,
    /,
    *,
    log: LogOption = None,
    json: Json = False,
) -> None:
    """Silence an alert, and nothing else.

    It stands until its condition is over, and says by whom it was seen. If it becomes worse it is
    loud again. No brake is lifted and no failover goes on: that is for approve and release.

    Example: tanist ack 4711
    """
    from engine.cli import acting, sending

    target, alert = acting.scope((first, second), log)
    sending.give(target, acting.ack(alert), json=json)
