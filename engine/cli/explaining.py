"""Answers of `why-not`, `diff`, `messages`, `weights` and `config`, as people read them."""

from collections.abc import Mapping
from typing import Any, Final

from engine.answers.spelling import shown, written
from engine.answers.words import figures, harmless, lasting
from engine.cli import output
from engine.whatif.keys import spelled

Document = Mapping[str, Any]

ROWS_MAX: Final = 50  # of messages
SIDES: Final = ("in_force", "file")  # of a setting that a file says otherwise


def show_why_not(found: Document) -> None:
    """Print why a master is not chosen: now, and at the last choice."""
    from rich.text import Text

    console = output.console()
    console.print(Text(harmless(found["says"]), style="bold"))
    if found["fails"]:
        fails = [(one["rule"], one["says"], figures(one["figures"])) for one in found["fails"]]
        console.print(output.table(("rule", "says", "figures"), fails, title="every rule it fails"))
    if found["ahead"]:
        rows = [
            (
                one["rank"],
                one["master"],
                one["says"],
                _value(one["key"], one["theirs"]),
                _value(one["key"], one["own"]),
            )
            for one in found["ahead"]
        ]
        title = f"ahead of {found['master']}, which has rank {found['rank']}"
        columns = ("rank.", "master", "by", "theirs.", "its own.")
        console.print(output.table(columns, rows, title=title))
    then = found["then"]
    if then:
        lead = f"event {then['seq']}, {output.moment(then['at'])}: {then['heir']} was chosen; "
        by = then["ahead"]
        said = f"{found['master']} had rank {then['rank']}, behind by {by['says']}" if by else ""
        own = said or f"{found['master']}: {then['says']}"
        numbers = figures(then["figures"])
        output.text(harmless(f"{lead}{own}{f' ({numbers})' if numbers else ''}"))
        output.text(f"the whole choice: tanist why {then['seq']}")
    output.text(f"as of event {found['seq']}, {output.moment(found['at'])}")


def _value(key: str, value: object) -> str:
    if value is None:
        return "-"
    return lasting(int(str(value))) if key.endswith("_us") else str(value)


def show_diff(found: Document) -> None:
    """Print what differs, a line each, and what was decided between the two positions."""
    before, after = found["from"], found["to"]
    title = (
        f"from event {before['seq']}, {output.moment(before['at'])}, "
        f"to event {after['seq']}, {output.moment(after['at'])}"
    )
    rows = [
        (
            one["subject"],
            one.get("key", one["what"]),
            *(_fact(one, side) for side in ("before", "after")),
        )
        for one in found["changes"]
    ]
    console = output.console()
    if rows:
        columns = ("subject", "what", "before", "after")
        console.print(output.table(columns, rows, title=title))
    else:
        output.text(f"{title}: nothing differs")
    counted = ", ".join(f"{number} {name}" for name, number in found["decisions"].items())
    output.text(f"{found['events']} events between them{f': {counted}' if counted else ''}")


def _fact(one: Document, side: str) -> str:
    value = one[side]
    if "path" in one:
        return written(one["path"], value)
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return harmless(str(value))


def show_messages(found: Document) -> None:
    """Print how many messages are where, and the oldest of those that are open."""
    groups = [
        (
            name,
            one["accepted"],
            one["done"],
            one["queued"],
            ", ".join(f"{master} {count}" for master, count in one["assigned"].items()) or "-",
            one["requeued"],
        )
        for name, one in found["groups"].items()
    ]
    counted = ("group", "accepted.", "done.", "queued.", "assigned", "sent again.")
    console = output.console()
    console.print(output.table(counted, groups))
    rows = [
        (
            one["key"],
            one["group"],
            one.get("lane", ""),
            one["place"],
            one.get("master") or "-",
            one.get("behind", ""),
            lasting(one["age_us"]) if one.get("age_us") is not None else "-",
        )
        for one in found["rows"][:ROWS_MAX]
    ]
    if rows:
        columns = ("message", "group", "lane", "place", "master", "behind.", "age.")
        console.print(output.table(columns, rows))
    more = len(found["rows"]) - len(rows) + found["omitted"]
    if more:
        output.text(f"and {more} more that are open")


def show_shares(found: Document) -> None:
    """Print the shares of each group with their arithmetic."""
    rows = [
        (
            group,
            one["strategy"],
            name,
            master["base"],
            master["weight"],
            f"{master['share_ppm'] / 10_000:.1f} %",
            master["assigned"] or "",
            master["says"],
        )
        for group, one in found["groups"].items()
        for name, master in one["masters"].items()
    ]
    columns = (
        *("group", "strategy", "master", "base weight.", "weight.", "share.", "has messages."),
        "how",
    )
    output.console().print(output.table(columns, rows))


def show_config(found: Document) -> None:
    """Print what is in force and where it came from; then what the file says otherwise."""
    adopted = found["adopted"]
    output.text(f"adopted by event {adopted['seq']}, {output.moment(adopted['at'])}")
    rows = []
    for group, settings in found["groups"].items():
        values = shown({one["path"]: one["value"] for one in settings.values()})
        rows += [
            (
                group,
                key.removesuffix("_ppm"),
                values[one["path"]],
                one["from"] + (f" (event {one['seq']})" if one.get("seq") else ""),
            )
            for key, one in settings.items()
            if one["path"] in values
        ]
    rows += [
        ("fleet", spelled(path).removesuffix("_ppm"), value, "")
        for path, value in shown(found["fleet"]).items()
    ]
    console = output.console()
    console.print(output.table(("group", "setting", "in force", "from"), rows))
    if found["file"] is None:
        output.text("no file to compare with: --file FILE")
    elif not found["drift"]:
        output.text(f"{found['file']['source']} says the same")
    else:
        drift = [
            (one["subject"], one["key"], *(written(one["path"], one[side]) for side in SIDES))
            for one in found["drift"]
        ]
        title = f"{found['file']['source']} says otherwise"
        columns = ("subject", "setting", "in force", "in the file")
        console.print(output.table(columns, drift, title=title))
