"""Keep: bringing recorded observations in, and checking that a log is what it was."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from engine.cli import output, places
from engine.cli.options import File, FilePlace, Json
from engine.core.errors import ConfigurationError

NO = 1


def import_(
    file: Annotated[
        str,
        Parameter(
            allow_leading_hyphen=True,  # or "-" would be taken for an option
            help="The observations, one on each line; or - for standard input.",
        ),
    ],
    /,
    *,
    into: Annotated[
        str, Parameter(name=("--into", "--log"), help="The log; made if there is none.")
    ],
    map_: Annotated[
        str | None,
        Parameter(name="--map", help="What the file calls the fields, as in at=t,master=target."),
    ] = None,
    group: Annotated[
        str | None, Parameter(help="The group that masters join which the log does not know.")
    ] = None,
    policy: Annotated[
        Path | None,
        Parameter(
            help="A configuration whose policy holds; left out: the preset zone, active-active."
        ),
    ] = None,
    set_: Annotated[
        tuple[str, ...],
        Parameter(
            name="--set",
            negative="",
            show_default=False,
            help="One key of the policy for every group, as in probe.fall=1; repeatable.",
        ),
    ] = (),
    json: Json = False,
) -> None:
    """Run the engine over recorded observations, at their own times.

    JSON Lines or CSV, plain or gzip. Each line needs `at` (a time with its zone), `master` and
    `outcome`: ok, degraded or failed; up and down are read as ok and failed. It may have
    `latency_ms`, `failure` (what exactly was seen, as in refused, overdue or status), `observer`
    and `detail`. Files that call them otherwise are read with --map.

    The whole file is checked before anything is appended. Every verdict is the engine's own;
    nothing is ever sent to a master. Into a log that ends after the first observation it is
    refused.

    Example: tanist import probes.jsonl.gz --into past.db --group web --set probe.fall=3
    """
    from engine.answers.words import counted
    from engine.cli.importing import Import

    columns = _columns(map_)
    with output.progress("observations") as report:
        plan = Import(
            file,
            into,
            columns=columns,
            group=group,
            policy=policy,
            changes=set_,
            report=lambda lines: report(lines, 0),
        )
        found = plan.run(report)
    for note in plan.notes:
        output.note(note)
    if json:
        output.document(found)
        return
    observations, masters, events, duplicates = (
        counted(int(str(found[name])), name.removesuffix("s"))
        for name in ("observations", "masters", "events", "duplicates")
    )
    output.text(
        f"{observations} of {masters} became {events}, {duplicates} skipped; the log ends at "
        f"{found['seq']}, {output.moment(found['at'])}\ndigest {found['digest']}"
    )


def _columns(text: str | None) -> dict[str, str]:
    """Return a map that was given as `at=t,master=target`."""
    pairs = [] if text is None else [pair.partition("=") for pair in text.split(",")]
    if not all(name.strip() and called.strip() for name, _, called in pairs):
        raise ConfigurationError([f"--map: expected at=t,master=target and so on, found {text!r}"])
    return {name.strip(): called.strip() for name, _, called in pairs}


def verify(
    place: FilePlace = None,
    /,
    *,
    head: Annotated[
        str | None,
        Parameter(
            help="A head that was printed before and kept elsewhere, as SEQ:DIGEST; without SEQ it "
            "is the head of now."
        ),
    ] = None,
    config: Annotated[
        Path | None,
        Parameter(
            help="The configuration that says where the key of sealed bodies is; left out: that of "
            "this directory, if it is of this log."
        ),
    ] = None,
    log: File = None,
    json: Json = False,
) -> int:
    """Check every digest, move and rollback; name the first event that is wrong.

    Reads all of the log: gaps, times, checksums, payloads, moves that no machine has, and whether
    every rollback went back to what its position gives. Then what lies beside the events: each
    body, or the event that removed it, and whether each snapshot is the fold up to its position.
    Exit 1 if anything does not fit. Keep the head elsewhere: what was changed with care, or cut off
    at the end, shows only in comparison with one from before.

    Example: tanist verify tanist.db
    """
    from engine.cli.bodychecking import said
    from engine.cli.keyrings import keyring
    from engine.cli.verifying import kept_head, verified

    kept = None if head is None else kept_head(head)
    target, _ = places.split((place,), log, most=0)
    if config is None and place is not None and place.endswith(".toml"):
        config = Path(place)
    keys = keyring(target, config)
    with (
        places.open_for_reading(target, keys=keys) as opened,
        output.progress("events") as report,
    ):
        found = verified(opened, report, kept=kept)
    if json:
        output.document(found)
        return 0 if found["ok"] else NO
    for problem in found["problems"]:  # type: ignore[attr-defined]
        output.text(str(problem))
    for line in said(found["bodies"]):  # type: ignore[arg-type]
        output.text(line)
    ends = f"head {found['seq']}:{found['head']}" if found["head"] else "head none"
    output.text(f"{found['events']} events, {_verdict(found)}; {ends}")
    return 0 if found["ok"] else NO


def _verdict(found: dict[str, object]) -> str:
    if found["ok"]:
        return "everything fits"
    if found["first_bad"] is None:
        return "no event is wrong, and what is named above does not fit"
    return f"first wrong: event {found['first_bad']}"
