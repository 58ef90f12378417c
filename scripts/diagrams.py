"""Writes into ARCHITECTURE.md what the code declares: machines, kinds of events, presets.

    python scripts/diagrams.py            writes them between their markers
    python scripts/diagrams.py --check    writes nothing; exit code 1 if they differ

So picture and code cannot drift apart.
"""

import re
import sys
from pathlib import Path
from typing import Any, cast

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from engine.config.kinds import spell_fleet_limit  # noqa: E402
from engine.core.events import KINDS, OBSERVATIONS, RETIRED  # noqa: E402
from engine.core.machines import FAILOVER, HEALTH, ROLE, Table  # noqa: E402
from engine.core.policy import PRESETS, FleetPolicy, preset, sums  # noqa: E402

DOCUMENT = ROOT / "ARCHITECTURE.md"
UNITS = ((86_400_000_000, "d"), (3_600_000_000, "h"), (60_000_000, "m"), (1_000_000, "s"))


def machines() -> str:
    """Return the three machines as diagrams."""
    drawn = (
        ("Health of a master", HEALTH.mermaid()),
        ("Role of a master", ROLE.mermaid()),
        ("Failover of a group", FAILOVER.mermaid()),
    )
    return "\n\n".join(f"{title}:\n\n```mermaid\n{diagram}\n```" for title, diagram in drawn)


def cells() -> str:
    """Return what every event does in every state of every machine."""
    return "\n\n".join(
        f"{title}:\n\n{answers(machine)}"
        for title, machine in (("Health", HEALTH), ("Role", ROLE), ("Failover", FAILOVER))
    )


def answers(machine: Table[Any]) -> str:
    """Return the cells of one machine; what stays everywhere is said once."""
    names = [state.value for state in machine.states]
    rows: list[tuple[str, ...]] = [("event", *names), ("---", *("---" for _ in names))]
    for kind, found in machine.cells():
        said = (
            "refused" if to is None else "stays" if to is source else f"→ **{to.value}**"
            for source, to in zip(machine.states, found, strict=True)
        )
        rows.append((f"`{kind.__name__}`", *said))
    others = len(KINDS) - len(machine.cells()) - 1
    return (
        f"{table(rows)}\n\nThe other {others} kinds leave it where it is, in every state, but for "
        "`LogBased`, which may only begin a log."
    )


def events() -> str:
    """Return the table of all kinds of events."""
    rows: list[tuple[str, ...]] = [
        ("code", "name", "", "meaning"),
        ("---:", "---", "---", "---"),
    ]
    for code, kind in KINDS.items():
        sort = "observation" if kind in OBSERVATIONS else "decision"
        meaning = (kind.__doc__ or "").strip().splitlines()[0].replace("|", "\\|")
        rows.append((str(code), f"`{kind.__name__}`", sort, meaning))
    for code, before in RETIRED.items():
        meaning = f"Not written any more; read as `{before.kind.__name__}`."
        rows.append((str(code), f"`{before.name}`", "retired", meaning))
    return table(rows)


def presets() -> str:
    """Return the table of the presets, with the sums that follow from them."""
    columns = [(name, base, sums(preset(name))) for name, base in PRESETS.items()]
    rows = [("setting", *PRESETS), ("---", *("---:" for _ in PRESETS))]
    for field in next(iter(PRESETS.values())).__struct_fields__:
        values = (cell(field, getattr(base, field)) for _, base, _ in columns)
        rows.append((field.removesuffix("_us").removesuffix("_ppm"), *values))
    for field in columns[0][2].__struct_fields__:
        values = (cell(field, getattr(total, field)) for _, _, total in columns)
        rows.append((f"*{field.removesuffix('_us')}*", *values))
    return table(rows)


def cell(field: str, value: object) -> str:
    """Return one value as it is read: durations with their unit, enumerations by their word."""
    if isinstance(value, int) and re.search(r"_us(_max)?$", field):
        return duration(value)
    if field == "fleet":
        return spell_fleet_limit(cast("FleetPolicy | None", value))
    if isinstance(value, int) and field.endswith("_ppm"):
        return f"{value / 10_000:g} %"
    return str(getattr(value, "value", value))


def duration(us: int) -> str:
    """Return a duration in the largest unit that keeps it exact."""
    for size, unit in UNITS:
        if us and us % size == 0:
            return f"{us // size}{unit}"
    return f"{us // 1_000}ms" if us else "0"


def table(rows: list[tuple[str, ...]]) -> str:
    """Return rows of a Markdown table."""
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def filled(text: str) -> str:
    """Return the document with every marked part written anew; what has no marker is added."""
    for name, title, draw in (
        ("machines", "The machines", machines),
        ("cells", "Every event in every state", cells),
        ("events", "The events", events),
        ("presets", "The presets", presets),
    ):
        begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
        part = f"{begin}\n\n{draw()}\n\n{end}"
        if begin in text:
            head, _, rest = text.partition(begin)
            text = head + part + rest.partition(end)[2]
        else:
            text = f"{text}\n## {title}\n\n{part}\n"
    return text


def main() -> int:
    """Return the exit code."""
    found = DOCUMENT.read_text(encoding="utf-8") if DOCUMENT.exists() else "# Architecture\n"
    wanted = filled(found)
    if "--check" in sys.argv[1:]:
        if found != wanted:
            print("ARCHITECTURE.md is not what the code declares: run scripts/diagrams.py")
            return 1
        return 0
    DOCUMENT.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
