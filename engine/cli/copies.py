"""Keep: a log made small, copied, or brought to the newest format."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

from cyclopts import Parameter

from engine import __version__
from engine.cli import output, places
from engine.cli.options import File, FilePlace, FileWord, Json
from engine.core.errors import CommandRefused, ConfigurationError, LogLocked

if TYPE_CHECKING:
    from engine.log.copying import Copied

NO = 1

Force: TypeAlias = Annotated[
    bool, Parameter(negative="", show_default=False, help="Replace what is there.")
]


def seal(place: FilePlace = None, /, *, log: File = None, json: Json = False) -> None:
    """Pack the log at rest into sealed blocks, and give the space back.

    A thousand events become a block, an order of magnitude smaller and chained by SHA-256. No
    digest changes, and nothing that is read. An engine seals its log by itself, so a log that an
    engine writes is refused.

    Example: tanist seal tanist.db
    """
    from engine.log.packing import pack

    target, _ = places.split((place,), log, most=0)
    with places.open_for_reading(target) as opened:
        path, version = opened.path, opened.format
    if version < 2:
        raise CommandRefused(
            [f"{path} has format {version}, which knows no blocks: tanist upgrade {place or path}"]
        )
    try:
        with output.progress("blocks") as report:
            found = pack(path, progress=report)
    except LogLocked as err:
        raise CommandRefused([f"{err}; an engine seals its log by itself"]) from err
    if json:
        output.document(
            {
                "log": str(path),
                "sealed": found.sealed,
                "blocks": found.blocks,
                "bytes_before": found.before,
                "bytes_after": found.after,
            }
        )
        return
    output.text(
        f"{found.sealed:,} blocks sealed, {found.blocks:,} in all; "
        f"{found.before:,} bytes before, {found.after:,} after"
    )


def backup(
    file: Annotated[Path, Parameter(help="Where the copy goes.")],
    /,
    *,
    log: File = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Write a copy of the log as it is at one moment, while an engine writes it or not.

    The copy holds everything: events, bodies, snapshots. It is written beside FILE, opened and
    checked there, and renamed only if its chain is the one of the log; so FILE is there whole, or
    as it was. An engine that starts on the copy goes on where it ends. Put it on another disk: a
    copy on the same one is lost with it.

    Example: tanist backup /mnt/other/tanist-monday.db --log tanist.db
    """
    from engine.log.copying import back_up
    from engine.log.place import log_path

    with (
        places.open_for_reading(places.resolve(log)) as opened,
        output.progress("bytes") as report,
    ):
        found = back_up(opened, log_path(file), progress=report, force=force)
    _show(file, found, json=json)


def copy(
    first: FileWord = None,
    second: Annotated[Path | None, Parameter(name="DEST", help="Where the copy goes.")] = None,
    /,
    *,
    log: File = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Write the events and bodies of a log to a new one of the newest format, sealed.

    Works from any format, and from a log whose beginning was cut off. Every row is read and
    checked, so damage is found and not copied. The head of the chain is the same: compare it with
    one that you keep elsewhere.

    Example: tanist copy tanist.db packed.db
    """
    from engine.log.copying import copy as copied
    from engine.log.place import log_path

    target, words = places.split((first, None if second is None else str(second)), log, most=1)
    if not words:
        raise ConfigurationError(["expected LOG and DEST: the copy needs a name that is free"])
    with places.open_for_reading(target) as opened, output.progress("events") as report:
        found = copied(
            opened, log_path(words[0]), release=__version__, progress=report, force=force
        )
    _show(Path(words[0]), found, json=json)


def _show(file: Path, found: "Copied", *, json: bool) -> None:
    if json:
        output.document(
            {
                "file": str(file),
                "seq": found.seq,
                "events": found.events,
                "head": found.head,
                "format": found.format,
                "bytes": found.size,
            }
        )
        return
    output.text(
        f"{file}: {found.events} events, format {found.format}, {found.size:,} bytes; "
        f"head {found.seq}:{found.head}"
    )


def upgrade(
    place: FilePlace = None,
    /,
    *,
    check: Annotated[
        bool,
        Parameter(
            negative="",
            show_default=False,
            help="Only say what would differ: nothing is changed, and an engine may run.",
        ),
    ] = False,
    log: File = None,
    json: Json = False,
) -> int:
    """Bring a log of an older release to the newest format, with a way back.

    Every release reads and writes the formats before it, so nothing forces you to. With --check,
    the log is folded by this release and every decision is made again from what was observed: what
    would differ is listed, with exit 1. Without, a copy is put beside the log first, as
    LOG.format-1; then the log is switched at once or not at all, and has the same head and the same
    state as before. To go back, stop the engine and put the copy in the place of the log; what was
    appended since is not in it.

    Example: tanist upgrade tanist.db --check
    """
    target, _ = places.split((place,), log, most=0)
    return _rehearse(target, json=json) if check else _upgrade(target, json=json)


def _upgrade(target: str, *, json: bool) -> int:
    from engine.log.header import FORMAT
    from engine.log.upgrading import upgrade as upgraded

    with places.open_for_reading(target) as opened:
        path = opened.path
    try:
        with output.progress("events") as report:
            found = upgraded(path, progress=report)
    except LogLocked as err:
        raise CommandRefused([f"{err}; stop the engine, upgrade, and start it again"]) from err
    if json:
        output.document(
            {
                "log": str(path),
                "from": FORMAT if found is None else found.before,
                "to": FORMAT,
                "backup": None if found is None else str(found.backup),
                **({} if found is None else _digests(found.digests)),
            }
        )
    elif found is None:
        output.text(f"{path} has format {FORMAT} already, the newest: nothing was done")
    else:
        digests = found.digests
        output.text(
            f"{path}: from format {found.before} to {found.after}; head and state are the same as "
            f"before\nhead {digests.seq}:{digests.head}\ndigest {digests.digest}\n"
            f"the way back: stop the engine, and put {found.backup} in its place"
        )
    return 0


def _rehearse(target: str, *, json: bool) -> int:
    from engine.answers.times import iso
    from engine.answers.words import harmless
    from engine.log.header import FORMAT
    from engine.log.upgrading import rehearse

    with places.open_for_reading(target) as opened, output.progress("events") as report:
        found = rehearse(opened, progress=report)
    if json:
        output.document(
            {
                "ok": found.ok,
                "from": found.format,
                "to": FORMAT,
                **_digests(found.digests),
                "differences": found.differences,
                "first": [
                    {
                        "seq": difference.seq,
                        "at": iso(difference.at_us),
                        "recorded": difference.recorded,
                        "again": difference.again,
                    }
                    for difference in found.first
                ],
                "snapshots": found.snapshots,
            }
        )
        return 0 if found.ok else NO
    for difference in found.first:
        recorded, again = (
            ", ".join(said) or "nothing" for said in (difference.recorded, difference.again)
        )
        output.text(
            harmless(
                f"event {difference.seq}, {output.moment(iso(difference.at_us))}: the log has "
                f"{recorded}; this release would decide {again}"
            )
        )
    for problem in found.snapshots:
        output.text(problem)
    verdict = "nothing differs" if found.ok else f"{found.differences} decisions differ"
    output.text(
        f"{found.digests.seq} events, format {found.format} of {FORMAT}: {verdict}\n"
        f"head {found.digests.seq}:{found.digests.head}\ndigest {found.digests.digest}"
    )
    return 0 if found.ok else NO


def _digests(digests: object) -> dict[str, object]:
    from engine.log.upgrading import Digests

    assert isinstance(digests, Digests)
    return {"seq": digests.seq, "head": digests.head, "digest": digests.digest}
