"""Keep: one incident of a log as a file of its own."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from engine import __version__
from engine.cli import output, places
from engine.cli.copies import Force
from engine.cli.options import File, Json, duration_us

if TYPE_CHECKING:
    from engine.log.excerpt import Excerpt
    from engine.log.protocol import Log
    from projections.incidents import Row


def incident(
    number: Annotated[
        int, Parameter(name="ID", help="The incident, as `tanist incidents` numbers it.")
    ],
    /,
    *,
    out: Annotated[Path, Parameter(help="Where the file goes.")],
    before: Annotated[
        str, Parameter(help="How much of the log comes along before the first symptom.")
    ] = "30s",
    after: Annotated[
        str, Parameter(help="How much of it after the last event of the incident.")
    ] = "30s",
    redact: Annotated[
        bool,
        Parameter(
            negative="",
            show_default=False,
            help="Tell no names, addresses, keys, commands or texts.",
        ),
    ] = False,
    log: File = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Cut an incident out of the log, as one file that stands for the log.

    Every command reads it in place of a log. It begins with the state of that moment, policy
    included, and holds the events up to the end; bodies of messages stay behind. So `replay`,
    `why`, `whatif`, `incidents` and `verify` answer from it as from the log, also years later and
    elsewhere, and pytest runs a folder of such files as tests (a file NAME.toml beside it says what
    is expected under which policy).

    With --redact everything that names somebody or something is another word, and what people wrote
    is left out. All is decided anew from that, and the file is written only if the decisions are
    the same.

    Example: tanist incident 1842 --out friday.incident --redact
    """
    before_us = duration_us(before, option="--before")
    after_us = duration_us(after, option="--after")
    target = places.resolve(log)
    first, found = _cut(target, number, out, (before_us, after_us), redact=redact, force=force)
    _show(out, number, first, found, json=json)


def _cut(
    target: str, number: int, out: Path, around_us: tuple[int, int], *, redact: bool, force: bool
) -> tuple[int, "Excerpt"]:
    """Write the file; return the seq of the state that it begins with, and what it is known by."""
    from engine.answers.folds import state_at
    from engine.log.excerpt import cut
    from engine.log.place import log_path
    from engine.service.accounting import incident_at
    from engine.whatif.redacting import redacted

    before_us, after_us = around_us
    with places.open_for_reading(target) as opened:
        row = incident_at(opened, number)
        first, until = _bounds(opened, row, before_us=before_us, after_us=after_us)
        base, end, told = state_at(opened, first), state_at(opened, until), None
        if redact:
            base, told, end = redacted(base, opened.read(first, until))
        with output.progress("events") as report:
            found = cut(
                opened,
                log_path(out),
                incident=number,
                base=base,
                end=end,
                release=__version__,
                progress=report,
                force=force,
                redacted=told,
            )
    return first, found


def _show(out: Path, number: int, first: int, found: "Excerpt", *, json: bool) -> None:
    from engine.log.place import log_path

    size = log_path(out).stat().st_size
    if json:
        output.document(
            {
                "file": str(out),
                "incident": number,
                "from": first,
                "to": found.until,
                "events": found.until - first,
                "digest": found.digest,
                "redacted": found.is_redacted,
                "bytes": size,
            }
        )
        return
    output.text(
        f"{out}: incident {number}, events {first + 1:,} to {found.until:,}, {size:,} bytes, "
        f"state {found.digest[:16]}"
    )


def _bounds(log: "Log", row: "Row", *, before_us: int, after_us: int) -> tuple[int, int]:
    """Return the seq of the state to begin with, and the last one.

    No batch is cut in two: what was decided belongs to what it was decided upon.
    """
    from engine.answers.positions import last_until
    from engine.log.thinning import dropped_in, last_dropped

    dropped = last_dropped(log)
    least = max(next(log.rows(chunk=1))[0], 0 if dropped is None else dropped_in(dropped).until)
    first = min(last_until(log, row.started_us - before_us), row.events[0] - 1)
    first = _whole(log, max(first, least))
    last = next(iter(log.read(row.events[-1] - 1, row.events[-1])))
    ends_us = max(last.at_us, row.recovered_us or 0)
    return first, _whole(log, max(last_until(log, ends_us + after_us), first + 1))


def _whole(log: "Log", seq: int) -> int:
    """Return `seq`, or the last decision that was made with what stands there."""
    for recorded in log.read(seq):
        if not recorded.cause:
            return recorded.seq - 1
    return log.head.seq
