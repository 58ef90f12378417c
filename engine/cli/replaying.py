"""Replay: the fold of a log."""

from typing import Annotated

from cyclopts import Parameter

from engine.cli import output, places
from engine.cli.options import File, FilePlace, Json


def replay(
    place: FilePlace = None,
    /,
    *,
    to: Annotated[
        str | None,
        Parameter(help="A position: a seq, a time with its zone or the name of a checkpoint."),
    ] = None,
    log: File = None,
    json: Json = False,
) -> None:
    """Fold the log, and print the state and its digest.

    Two logs with the same events have the same digest, on every machine. Nothing is decided again,
    and no effect is run.

    Example: tanist replay tanist.db --to before-upgrade
    """
    from engine.answers.folds import state_at
    from engine.answers.positions import resolve
    from engine.answers.proposals import in_log, with_proposals
    from engine.answers.status import status
    from engine.cli.showing import show_status

    target, _ = places.split((place,), log, most=0)
    with places.open_for_reading(target) as opened, output.progress("events") as report:
        seq = None if to is None else resolve(opened, to)
        found = status(state_at(opened, seq, progress=report))
        found = with_proposals(found, in_log(opened))
    if json:
        output.document(found)
    else:
        show_status(found)
