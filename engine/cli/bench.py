"""Keep: how fast this release is on this machine, beside the floor of the same run."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from engine.cli import output
from engine.cli.options import Json
from engine.core.errors import ConfigurationError

if TYPE_CHECKING:
    from rich.text import Text

    from engine.bench.report import Goal, Part, Report

NO = 1
ROUNDS = 5
QUICK_ROUNDS = 3
BUSY = 0.5  # processes that want to run for each core, from which figures are not to be trusted


def bench(
    name: Annotated[
        Literal["log", "replay"] | None,
        Parameter(help="Only this one; left out: both."),
    ] = None,
    /,
    *,
    rounds: Annotated[
        int | None,
        Parameter(
            help=f"How often each figure is taken; the median counts. Left out: {ROUNDS}, "
            f"{QUICK_ROUNDS} with --quick."
        ),
    ] = None,
    quick: Annotated[
        bool,
        Parameter(negative="", show_default=False, help="Smaller sizes, for a first look."),
    ] = False,
    directory: Annotated[
        Path,
        Parameter(
            help="A directory on the disk in question. What is written there is deleted again.",
        ),
    ] = Path(),
    json: Json = False,
) -> int:
    """Measure append and replay beside their floors, and say which goals are met.

    A floor is what the same work costs with the database's driver alone, or with a rival: it is
    taken in the same run, in rounds that change their order, so a slower machine moves both.

    *log* is about appending: P1, and P3 for appends. *replay* is about reading it again: P2, P3 for
    a rebuild, and P4, restart and memory. P3 needs the package eventsourcing, and is not measured
    without it. Takes minutes; nothing else should be busy meanwhile. Exit 1 if a goal is missed.

    Example: tanist bench log --directory /var/lib/tanist
    """
    from engine.bench import main

    rounds = rounds if rounds is not None else QUICK_ROUNDS if quick else ROUNDS
    if rounds < 1:
        raise ConfigurationError([f"--rounds: expected 1 or more, found {rounds}"])
    if not directory.is_dir():
        raise ConfigurationError([f"--directory: there is no directory {str(directory)!r}"])
    with output.progress("rounds") as progress:
        report = main.measured(
            main.NAMES if name is None else (name,),
            sizes=main.QUICK if quick else main.FULL,
            rounds=rounds,
            is_quick=quick,
            directory=directory,
            progress=progress,
        )
    busy = report.machine.load
    if busy is not None and busy > report.machine.cores * BUSY:
        output.note(f"the machine was busy when this began (load {busy:g}): measure again at rest")
    if quick:
        output.note("these figures are rough: --quick measures small sizes")
    if json:
        output.document(report)
    else:
        show(report)
    return NO if report.is_missed else 0


def show(report: "Report") -> None:
    """Print the report as people read it."""
    machine = report.machine
    console = output.console()
    columns = ("goal", "what", "value.", "", "floor.", "ratio.", "wanted.", "met")
    rows = [_row(goal, part) for goal in report.goals for part in goal.parts]
    console.print(output.table(columns, rows))
    seen: dict[str, None] = {}
    for goal in report.goals:
        verdict = {True: "met", False: "missed", None: "not measured"}[goal.met]
        output.text(f"{goal.goal} {goal.title}: {verdict}")
        seen |= {part.reason: None for part in goal.parts if part.reason}
    for reason in seen:
        output.text(f"not measured: {reason}")
    output.text(
        f"medians of {report.rounds} rounds; SQLite {machine.sqlite} ({machine.driver}), "
        f"Python {machine.python}, {machine.cores} cores, {machine.system}"
    )


def _row(goal: "Goal", part: "Part") -> tuple["str | Text", ...]:
    from rich.text import Text

    verdict: str | Text = "-"
    if part.met is not None:
        verdict = Text("yes", style="green") if part.met else Text("no", style="red")
    return (
        goal.goal,
        part.what,
        _number(part.value),
        part.unit,
        _number(part.floor),
        "-" if part.ratio is None else f"{part.ratio:.2f}",
        "-" if part.goal is None else str(part.goal),
        verdict,
    )


def _number(value: float | None) -> str:
    """Return a figure as people read it; "-" for none."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:,.1f}"
