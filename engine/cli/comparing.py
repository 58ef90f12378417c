"""What happened beside what would have happened, for people."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from engine.answers.words import counted, harmless, lasting
from engine.cli import output

if TYPE_CHECKING:
    from engine.answers.bisecting import Turn
    from engine.answers.trials import Trial
    from engine.answers.tuning import Curve

Document = Mapping[str, Any]

LINES_MAX: Final = 12  # of one side of a stretch
STRETCHES_MAX: Final = 20


def show_whatif(found: Document) -> None:
    """Print the answer in one sentence, the figures of both sides, and where they differ."""
    from rich.text import Text

    console = output.console()
    console.print(Text(harmless(found["says"]), style="bold"))
    before, after = found["recorded"], found["whatif"]
    rows = [
        (name, _value(key, before.get(key)), _value(key, after.get(key)))
        for key, name in _FIGURES
        if before.get(key) or after.get(key)
    ]
    for group in before["down_us"]:
        was_us, is_us = before["down_us"].get(group, 0), after["down_us"].get(group, 0)
        rows.append((f"{group} down", lasting(was_us), lasting(is_us)))
    rows.append(("digest", before["digest"][:12], after["digest"][:12]))
    title = f"{output.moment(found['from'])} to {output.moment(found['to'])}"
    console.print(output.table(("", "recorded.", "what if."), rows, title=title))
    if found["differences"]:
        console.print(_timelines(found))
    for line in _notes(found):
        output.text(harmless(line))


_FIGURES: Final = (
    ("failovers", "failovers"),
    ("false_failovers", "of them false"),
    ("detections", "detections"),
    ("false_detections", "of them false"),
    ("proposals", "proposals"),
    ("detect_us_total", "detection, in all"),
    ("detect_us_max", "detection, worst"),
    ("requeued", "messages sent again"),
)


def _value(key: str, value: object) -> str:
    return lasting(int(str(value or 0))) if key.endswith(("_total", "_max")) else str(value or 0)


def _timelines(found: Document) -> object:
    rows = [
        (output.moment(one["at"]), _lines(one["recorded"]), _lines(one["whatif"]))
        for one in found["differences"][:STRETCHES_MAX]
    ]
    from rich import box
    from rich.table import Table
    from rich.text import Text

    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_lines=True)
    for name in ("from", "recorded", "what if"):
        made.add_column(name, overflow="fold")
    for row in rows:
        made.add_row(*(Text(cell) for cell in row))
    return made


def _lines(items: list[Document]) -> str:
    said = [
        harmless(
            f"{output.moment(one['at'])[11:-1]} {one['says']}"
            + (" (assumed)" if one.get("assumed") else "")
        )
        for one in items[:LINES_MAX]
    ]
    if len(items) > LINES_MAX:
        said.append(f"and {len(items) - LINES_MAX} more")
    return "\n".join(said) or "-"


def _notes(found: Document) -> list[str]:
    notes = []
    more = found["differences_count"] - min(STRETCHES_MAX, len(found["differences"]))
    if more > 0:
        notes.append(f"and {more} more stretches that differ: --json has the first of them")
    if found["diverged_at"] is not None:
        notes.append(f"they part at event {found['diverged_at']}")
    if found["assumed"]:
        notes.append(
            f"{found['assumed']} outcomes are assumed (model): a closed loop, in which masters "
            "answer to what they are told, is what a simulation has"
        )
    if found["kept"]:
        kept = ", ".join(found["kept"])
        notes.append(f"left as recorded, for this log cannot tell what it changes: {kept}")
    return notes


def show_curve(curve: "Curve") -> None:
    """Print the values of a setting with what each comes to."""
    rows = [
        (
            point.value,
            "-" if point.detect_us_mean is None else lasting(point.detect_us_mean),
            lasting(point.detect_us_max),
            lasting(point.worst_us),
            point.detections,
            point.false_detections,
            point.failovers,
            point.false_failovers,
            lasting(point.down_us),
            "*" if point.on_front else "",
        )
        for point in curve.points
    ]
    columns = (
        *(f"{curve.key}.", "mean detection.", "worst seen.", "worst by arithmetic."),
        *("detections.", "of them false.", "failovers.", "of them false.", "down.", "front"),
    )
    title = f"{curve.events:,} events of {curve.logs} log{'' if curve.logs == 1 else 's'}"
    output.console().print(output.table(columns, rows, title=title))


def show_turn(found: "Turn") -> None:
    """Print every value that was tried, and the smallest change that turns the outcome."""
    rows = [
        (one.value, one.failovers, one.detections, lasting(one.down_us),
         "*" if one.value == found.value else "")
        for one in found.tries
    ]  # fmt: skip
    columns = (f"{found.key}.", "failovers.", "detections.", "down.", "")
    title = f"recorded: {found.recorded}, {found.had} failover{'' if found.had == 1 else 's'}"
    output.console().print(output.table(columns, rows, title=title))
    output.text(harmless(found.says))


def show_trial(found: "Trial") -> None:
    """Print what was proposed, and what it would have been worth."""
    rows = [
        (
            row.seq,
            output.moment(row.at),
            row.group,
            row.why,
            row.source or "-",
            row.heir,
            lasting(row.down_us) if row.served_again_at else f"{lasting(row.down_us)}, lasts",
            lasting(row.would_us),
            f"saves {lasting(row.saved_us)}" if row.saved_us else f"costs {lasting(row.cost_us)}",
            "false" if row.is_false else "",
        )
        for row in found.rows
    ]
    columns = (
        *("seq.", "proposed", "group", "why", "from", "to", "down for.", "would have been."),
        *("worth", ""),
    )
    if rows:
        output.console().print(output.table(columns, rows))
    proposals = counted(found.proposals, "proposal")
    output.text(
        f"{proposals}, {found.false} of them false; they would have saved "
        f"{lasting(found.saved_us)} and cost {lasting(found.cost_us)}"
    )
