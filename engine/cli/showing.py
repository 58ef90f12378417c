"""Answers as people read them: tables and trees."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from engine.cli import output

if TYPE_CHECKING:
    from rich.tree import Tree

Document = Mapping[str, Any]  # an answer, as it would be printed as JSON

SAID_MAX: Final = 200  # of what an event says, where a line has to do [characters]

_COLORS: Final = {
    "healthy": "green",
    "degraded": "yellow",
    "recovering": "yellow",
    "failed": "red",
    "unknown": "magenta",
}


def show_status(found: Document) -> None:
    """Print a status: what holds things up first, then groups and masters."""
    from rich.text import Text

    console = output.console()
    for line in _warnings(found):
        console.print(Text(output.harmless(line), style="bold yellow"))
    groups = [
        (
            name,
            group["mode"],
            ", ".join(group["active"]) or Text("nobody", style="red"),
            group["epoch"],
            group["strategy"],
            "yes" if group["ready"] else Text("no", style="yellow"),
            group["automation"],
            group["failovers"],
        )
        for name, group in found["groups"].items()
    ]
    columns = ("group", "mode", "active", "epoch.", "strategy", "ready", "automation", "failovers.")
    console.print(output.table(columns, groups))
    masters = [
        (
            name,
            master["group"],
            Text(master["health"], style=_COLORS.get(master["health"], "")),
            output.moment(master.get("since")),
            master["role"],
            master["epoch"],
            master["weight"],
            _fence(master.get("fence")),
        )
        for name, master in found["masters"].items()
    ]
    columns = ("master", "group", "health", "since", "role", "epoch.", "weight.", "fence")
    console.print(output.table(columns, masters))
    output.text(
        f"{found['events']} events until {output.moment(found['at'])}, digest {found['digest']}"
    )


def _warnings(found: Document) -> Iterable[str]:
    if found["paused"]:
        yield f"PAUSED {_until(found['paused'])}: {found['paused']['reason']}"
    for name, group in found["groups"].items():
        if group["paused"]:
            yield f"PAUSED {name} {_until(group['paused'])}: {group['paused']['reason']}"
        failover = group["failover"]
        if failover:
            to = failover["heir"] or failover["to"] or "the best"
            yield (
                f"{name}: failover {failover['id']} ({failover['why']}) is {failover['phase']}, "
                f"from {failover['source'] or 'nobody'} to {to}"
            )
        if group["waits"]:
            yield f"{name} waits: {group['waits']['reason']} {_until(group['waits'])}"
        if group["rollback"]:
            yield f"{name}: the rollback of event {group['rollback']} is under way"
        for owed in group["owed"]:
            yield f"{name}: owed to {owed['master']}: {owed['step']} under {owed['epoch']}"
    if found["policy_differs_from_file"]:
        yield "what is in force differs from the file"


def _until(block: Document) -> str:
    return f"until {output.moment(block['until'])}" if block["until"] else "until told otherwise"


def _fence(fence: Document | None) -> str:
    if fence is None:
        return ""
    return f"below {fence['confirm_at']}, {'' if fence['confirmed'] else 'not '}confirmed"


def show_events(found: Iterable[Document], *, json: bool) -> None:
    """Print events as they come, a line each."""
    for row in found:
        if json:
            output.line(row)
            continue
        cause = f"<{row['cause']}" if row["cause"] else ""
        said = ", ".join(
            f"{name} {value}" for name, value in row["data"].items() if value not in ("", None, [])
        )
        line = (
            f"{row['seq']:>8} {output.moment(row['at'])} {row['kind']:<22} {row['subject']:<14} "
            f"{cause:<9} {said[:SAID_MAX]}"
        )
        output.text(output.harmless(line).rstrip())


def show_why(found: Document) -> None:
    """Print a causal chain as a tree, and who was not chosen as a table."""
    console = output.console()
    console.print(_tree(found, None))
    if found["rejected"]:
        unfit = [
            (one["master"], one["rule"], output.listed(one["figures"])) for one in found["rejected"]
        ]
        title = f"not chosen (the heir is {found['heir']})"
        console.print(output.table(("master", "rule", "figures"), unfit, title=title))
    if found.get("led_to"):
        rows = [
            (one["seq"], output.moment(one["at"]), one["kind"], one["subject"], one["rule"])
            for one in found["led_to"]
        ]
        columns = ("seq.", "at", "kind", "subject", "rule")
        console.print(output.table(columns, rows, title="what followed"))


def _tree(node: Document, parent: "Tree | None") -> "Tree":
    from rich.text import Text
    from rich.tree import Tree

    words = {name: value for name, value in node["data"].items() if name not in ("rule", "reason")}
    said = [f"rule {node['rule']}"] if node["rule"] else []
    said += [output.listed(part) for part in (words, node["figures"]) if part]
    label = Text(
        output.harmless(
            f"{node['seq']} {output.moment(node['at'])} {node['kind']} {node['subject']}  "
            f"({'; '.join(said)})"
        )
    )
    tree = Tree(label) if parent is None else parent.add(label)
    for ground in node["because"]:
        _tree(ground, tree)
    if node.get("omitted"):
        tree.add(f"and {node['omitted']} more")
    return tree
