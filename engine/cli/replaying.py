"""Replay: the fold of a log."""

from typing import Annotated

from cyclopts import Parameter

from engine.cli import output, places
from engine.cli.main import NO
from engine.cli.options import File, FilePlace, Json
from engine.core.errors import ConfigurationError


def replay(
    place: FilePlace = None,
    /,
    *,
    to: Annotated[
        str | None,
        Parameter(help="A position: a seq, a time with its zone or the name of a checkpoint."),
    ] = None,
    check_release: Annotated[
        bool,
        Parameter(
            negative="",
            show_default=False,
            help="Decide again on all that was observed, and list what this release decides "
            "otherwise; exit 1 if there is anything.",
        ),
    ] = False,
    log: File = None,
    json: Json = False,
) -> int:
    """Fold the log, and print the state and its digest.

    Two logs with the same events have the same digest, on every machine. Nothing is decided again
    but with --check-release, and no effect is run.

    Example: tanist replay tanist.db --to before-upgrade
    """
    from engine.answers.folds import state_at
    from engine.answers.foresight import with_foresight
    from engine.answers.positions import resolve
    from engine.answers.proposals import in_log, with_proposals
    from engine.answers.status import status
    from engine.cli.showing import show_status

    target, _ = places.split((place,), log, most=0)
    if check_release:
        if to is not None:
            raise ConfigurationError(["--check-release takes the whole log: leave out --to"])
        return _check(target, json=json)
    with places.open_for_reading(target) as opened, output.progress("events") as report:
        seq = None if to is None else resolve(opened, to)
        state = state_at(opened, seq, progress=report)
        found = with_foresight(with_proposals(status(state), in_log(opened)), state)
    if json:
        output.document(found)
    else:
        show_status(found)
    return 0


def _check(target: str, *, json: bool) -> int:
    """Print where this release would decide otherwise than the log has it."""
    from engine.answers.releases import check
    from engine.answers.words import harmless

    with places.open_for_reading(target) as opened, output.progress("events") as report:
        found = check(opened, progress=report)
    if json:
        output.document(found)
        return NO if found["count"] else 0
    for one in found["differences"]:
        recorded, again = (", ".join(said) or "nothing" for said in (one["recorded"], one["again"]))
        where = f"event {one['seq']}, {output.moment(one['at'])}"
        output.text(harmless(f"{where}: the log has {recorded}; this release decides {again}"))
    verdict = f"{found['count']} decisions differ" if found["count"] else "nothing differs"
    output.text(f"{found['events']} events: {verdict}")
    return NO if found["count"] else 0
