"""Answers as people read them: tables and trees."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from engine.answers import views
from engine.answers.room import SOON_DAYS
from engine.answers.telling import proposal
from engine.answers.words import figures, harmless, lasting, spent
from engine.cli import output
from engine.config.describing import size

if TYPE_CHECKING:
    from rich.tree import Tree

Document = Mapping[str, Any]  # an answer, as it would be printed as JSON

FORESEEN_MAX: Final = 12  # rows of what would happen
SAID_MAX: Final = 200  # of what an event says, where a line has to do [characters]

_COLORS: Final = {
    "healthy": "green",
    "degraded": "yellow",
    "recovering": "yellow",
    "failed": "red",
    "unknown": "magenta",
}


def show_status(found: Document) -> None:
    """Print a status: what holds everything up and who runs it first, then groups and masters."""
    from rich.text import Text

    console = output.console()
    if found.get("failure"):
        said = "nothing is decided and nothing issued until it can"
        failed = f"THE LOG CANNOT BE WRITTEN: {found['failure']}; {said}"
        console.print(Text(harmless(failed), style="bold red"))
    if found.get("disk_full"):
        console.print(Text(harmless(found["disk_full"]), style="bold yellow"))
    head = " · ".join([*_pauses(found), *_engine(found)])
    if head:
        console.print(Text(harmless(head), style="bold yellow" if _is_paused(found) else "bold"))
    for alert in found.get("alerts") or ():
        style = "bold red" if alert["severity"] == "critical" else "bold yellow"
        console.print(Text(harmless(alert_line(alert)), style="" if alert["acked"] else style))
    for line in (*_warnings(found), *_views(found), *_room(found)):
        console.print(Text(harmless(line), style="bold yellow"))
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
    columns = (
        *("group", "mode", "active", "newest epoch.", "strategy", "ready", "automation"),
        "failovers.",  # the newest epoch may be one that only fences: who serves has its own below
    )
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
    _show_foreseen(found)
    output.text(
        f"{found['events']} events until {output.moment(found['at'])}, digest {found['digest']}"
    )


def alert_line(alert: Document) -> str:
    """Return an alert that stands as one line: how bad, what, since when, what can be typed."""
    typed = f": {alert['type']}" if alert["type"] else ""
    acked = f" (acknowledged by {alert['acked']})" if alert["acked"] else ""
    return (
        f"{alert['severity'].upper()} {alert['says']}, for {lasting(alert['lasts_us'])}"
        f"{typed} [alert {alert['id']}]{acked}"
    )


def show_alerts(found: Iterable[Document], *, history: bool) -> None:
    """Print alerts: those that stand a line each, or all that ever were as a table."""
    rows = list(found)
    if not history:
        for alert in rows:
            output.text(harmless(alert_line(alert)))
        if not rows:
            output.text("no alert")
        return
    cells = [
        (
            alert["id"],
            output.moment(alert["raised"]),
            alert["severity"],
            alert["kind"],
            alert["subject"],
            "stands" if alert["lasted_us"] is None else lasting(alert["lasted_us"]),
            alert["acked"] or "-",
            alert["says"],
        )
        for alert in rows
    ]
    columns = ("alert.", "raised", "severity", "kind", "subject", "lasted", "acked by", "says")
    output.console().print(output.table(columns, cells))


def _is_paused(found: Document) -> bool:
    return bool(found["paused"]) or found.get("paused_by_file") is not None


def _show_foreseen(found: Document) -> None:
    """Print what would happen if each master that serves, or any of a few, failed now."""
    rows = [
        (group, name, one["says"])
        for group, document in found["groups"].items()
        for name, one in (document.get("if_failed") or {}).items()
    ]
    if len(rows) > FORESEEN_MAX:
        serving = {name for one in found["groups"].values() for name in one["active"]}
        rows = [row for row in rows if row[1] in serving][:FORESEEN_MAX]
    if rows:
        columns = ("group", "if it failed now", "what would happen")
        output.console().print(output.table(columns, rows))


def _engine(found: Document) -> Iterable[str]:
    """Say whether an engine runs on the log; nothing, if it was asked about the past."""
    if "engine" not in found:
        return
    engine = found["engine"]
    if engine is None:
        yield "no engine runs on this log"
    elif engine["pid"] is None:
        yield f"engine at {engine['url']}"
    else:
        yield f"engine {engine['pid']} at {engine['url']}"


def _pauses(found: Document) -> Iterable[str]:
    if found.get("paused_by_file") is not None:
        yield f"PAUSED BY FILE: {found['paused_by_file']} (remove tanist.pause beside the log)"
    if found["paused"]:
        yield f"PAUSED {output.until(found['paused'])}"
    for name, group in found["groups"].items():
        if group["paused"]:
            yield f"PAUSED {name} {output.until(group['paused'])}"


def _warnings(found: Document) -> Iterable[str]:
    for name, group in found["groups"].items():
        failover = group["failover"]
        if failover:
            to = failover["heir"] or failover["to"] or "the best"
            yield (
                f"{name}: failover {failover['id']} ({failover['why']}) is {failover['phase']}, "
                f"from {failover['source'] or 'nobody'} to {to}"
            )
        if group["waits"]:
            yield f"{name}: {group['waits']['says']}"
        proposed = group["proposal"]
        if proposed:
            when = f"at {output.moment(proposed['at'])}: tanist why {proposed['seq']}"
            yield f"{name}: {proposal(proposed)}, it said {when}"
        back = group["failback"]
        if back:
            ends = f" until {output.moment(back['until'])}" if back["until"] else ""
            why = "the time it has to be well" if back["reason"] == "failback" else back["reason"]
            yield f"{name}: {back['to']} gets its place back: it waits for {why}{ends}"
        if group["scheduled"]:
            planned = group["scheduled"]
            to = planned["to"] or "the best"
            yield (
                f"{name}: a switchover to {to} is scheduled for {output.moment(planned['at'])} "
                f"(by {planned['author']}): tanist switchover {name} --cancel takes it back"
            )
        if group["rollback"]:
            yield f"{name}: the rollback of event {group['rollback']} is under way"
        for owed in group["owed"]:
            yield f"{name}: owed to {owed['master']}: {owed['step']} under {owed['epoch']}"
    if found["policy_differs_from_file"]:
        yield "what is in force differs from the file"


def _views(found: Document) -> Iterable[str]:
    """Say which stored views stand still or lag; nothing, if it was asked about the past."""
    return views.said(found.get("projections") or (), runs=found.get("engine") is not None)


def _room(found: Document) -> Iterable[str]:
    """Say when the disk of the log will be full, if that is soon."""
    log = found.get("log")
    if log and log["days_until_full"] is not None and log["days_until_full"] < SOON_DAYS:
        yield (
            f"the disk of the log will be full in {log['days_until_full']:.1f} days, as the log "
            f"grew so far: {size(log['free'])} are free (tanist check says what it may take)"
        )


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
        said = figures(_shown(row))
        line = (
            f"{row['seq']:>8} {output.moment(row['at'])} {row['kind']:<22} {row['subject']:<14} "
            f"{cause:<9} {said[:SAID_MAX]}"
        )
        output.text(harmless(line).rstrip())


def _shown(row: Document) -> dict[str, object]:
    """Return the fields of an event that say something."""
    said = {name: value for name, value in row["data"].items() if value not in ("", None, [], {})}
    if "phases" in said:
        said["phases"] = f"({spent(row['data']['phases'])})"
    return said


def show_why(found: Document) -> None:
    """Print a causal chain as a tree, what is to be said of it, and who was not chosen."""
    from rich.text import Text

    console = output.console()
    console.print(_tree(found, None))
    for said in found["says"]:
        console.print(Text(harmless(said), style="bold"))
    if found["rejected"]:
        unfit = [(one["master"], one["says"], figures(one["figures"])) for one in found["rejected"]]
        title = f"not chosen (the heir is {found['heir']})"
        console.print(output.table(("master", "rule", "figures"), unfit, title=title))
    if found.get("phases"):
        output.text(f"where the time went: {spent(found['phases'])}")
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
    show = spent if node["kind"] == "FailoverEnded" else figures
    said += [listed for listed in (figures(words), show(node["figures"])) if listed]
    label = Text(
        harmless(
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
