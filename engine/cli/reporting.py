"""A report in Markdown: of one incident, or of everything that went wrong in a log.

It has to be true without this program: every line names its event, and at the end stands what the
log is known by, and how to ask it again.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from engine.answers.folds import state_at
from engine.answers.telling import sentence
from engine.answers.times import iso
from engine.answers.why import why
from engine.answers.words import figures, harmless, lasting, moment, spent
from engine.config.describing import fence_sentence
from engine.config.groups import sum_spelled
from engine.core.errors import ConfigurationError
from engine.core.events import Recorded
from engine.core.policy import GroupPolicy
from engine.log.copying import chain_at
from engine.log.protocol import Log
from engine.service.accounting import incident_at, incidents_at, uptime_at
from projections.incidents import Row, rows
from projections.records import Record, records

TIMELINE_MAX: Final = 200  # events of one incident that are told
CHAIN_MAX: Final = 60  # lines of a causal chain
_ESCAPED: Final = str.maketrans({char: f"\\{char}" for char in "\\`*_[]<>|#"})


def of_incident(log: Log, number: int, *, name: str) -> str:
    """Return the report of one incident; `name` is what the log is called in it.

    Raises:
        ConfigurationError: There is no such incident.
    """
    row = incident_at(log, number)
    begin, end = row.events[0], _end(log, row)
    told = list(_told(log, row, begin, end))
    state = state_at(log, row.id)
    policy = state.fleet.policy.groups.get(row.group)
    return "\n".join(
        [
            f"# Incident {row.id}: {_text(row.subject)}, {_text(row.kind)}",
            "",
            _summary(row),
            "",
            *_facts(row),
            "",
            "## What happened",
            "",
            *_table(("after", "event", "what"), told),
            "",
            *_where(row),
            "## Why",
            "",
            *_chain(log, row),
            "",
            *([] if policy is None else _policy(row.group, policy)),
            *_known(log, name, end, f"tanist why {row.id} --log {name}"),
        ]
    )


def of_log(log: Log, *, name: str) -> str:
    """Return the report of everything that went wrong in a log."""
    view = incidents_at(log)
    found = rows(view)
    head = log.head
    began_us = next((each[1] for each in log.rows(chunk=1)), 0)
    if not head.seq:
        raise ConfigurationError([f"{name} is empty: there is nothing to report"])
    return "\n".join(
        [
            f"# {moment(began_us)} to {moment(head.at_us)}",
            "",
            "## Incidents",
            "",
            *_table(
                ("number", "subject", "kind", "began", "detected in", "recovered in", "seen"),
                [_line(row) for row in found],
            ),
            "",
            "## Availability",
            "",
            *_availability(log),
            "",
            "## Each master",
            "",
            *_records(records(view, at_us=head.at_us)),
            "",
            *_known(log, name, head.seq, f"tanist report --incident NUMBER --log {name}"),
        ]
    )


def as_html(markdown: str) -> str:
    """Return a report as one page of HTML that needs nothing else."""
    from markdown_it import MarkdownIt

    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(markdown)
    title = harmless(markdown.partition("\n")[0].lstrip("# ").replace("\\", ""))
    for char, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        title = title.replace(char, entity)
    return _PAGE.format(title=title, body=body)


_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: auto; padding: 2rem; }}
table {{ border-collapse: collapse; width: 100%; }}
th, td {{ text-align: left; padding: .25rem .75rem .25rem 0; border-bottom: 1px solid #8884; }}
td {{ vertical-align: top; }}
code {{ font: 14px/1.5 ui-monospace, monospace; }}
@media (prefers-color-scheme: dark) {{ body {{ background: #111; color: #ddd; }} }}
</style>
</head>
<body>
{body}</body>
</html>
"""


def _text(value: object) -> str:
    """Return what a master, a file or a person said as text, and as nothing but text."""
    return harmless(str(value)).translate(_ESCAPED)


def _table(columns: Sequence[str], cells: Iterable[Sequence[object]]) -> list[str]:
    lines = [f"| {' | '.join(str(cell) for cell in row)} |" for row in cells]
    if not lines:
        return ["None."]
    return [f"| {' | '.join(columns)} |", f"|{' --- |' * len(columns)}", *lines]


def _took(duration_us: int | None) -> str:
    return "-" if duration_us is None else lasting(duration_us)


def _end(log: Log, row: Row) -> int:
    """Return the last event that belongs to an incident, its recovery included."""
    last = row.events[-1]
    if row.recovered_us is None:
        return last
    for recorded in log.read(last):
        if recorded.at_us > row.recovered_us:
            break
        last = recorded.seq
    return last


def _summary(row: Row) -> str:
    who = _text(row.subject)
    detected = f"It was detected {lasting(row.detect_us)} after the first sign"
    if row.failover_us is None:
        moved = ""
    else:
        to = f" from {_text(row.source)} to {_text(row.heir)}" if row.heir else ""
        moved = f", and failed over{to} in {lasting(row.failover_us)}"
    if row.recovered_us is None:
        over = f"It ended as {_text(row.ended)}." if row.ended else "It is not over."
    else:
        over = f"It was over {_took(row.recover_us)} after it began."
    return f"{who}: {_text(row.kind)}. {detected}{moved}. {over}"


def _facts(row: Row) -> list[str]:
    cells = [
        ("subject", _text(row.subject)),
        ("group", _text(row.group)),
        ("first sign", moment(row.started_us)),
        ("detected", moment(row.detected_us)),
        ("over", "-" if row.recovered_us is None else moment(row.recovered_us)),
        ("seen", _seen(row.classes) or "-"),
    ]
    return _table(("", ""), cells)


def _seen(classes: Mapping[str, int]) -> str:
    return ", ".join(f"{_text(name)} {count}" for name, count in classes.items())


def _told(log: Log, row: Row, begin: int, end: int) -> Iterator[tuple[str, str, str]]:
    """Return the events of the group that are news, with what was seen first."""
    count = 0
    members = set(state_at(log, row.id).groups[row.group].masters) if row.group else set()
    symptoms = set(row.events)
    for recorded in log.read(begin - 1, end):
        if recorded.subject not in (row.group, *members):
            continue
        said = sentence(recorded) or (_seen_at(recorded) if recorded.seq in symptoms else "")
        if not said:
            continue
        if count == TIMELINE_MAX:
            yield "", "", "and so on"
            return
        count += 1
        after = f"+{lasting(recorded.at_us - row.started_us)}"
        yield after, str(recorded.seq), _text(said)


def _seen_at(recorded: Recorded) -> str:
    kind = type(recorded.event).__name__
    evidence = getattr(recorded.event, "evidence", None)
    detail = getattr(recorded.event, "detail", "")
    what = getattr(evidence, "value", "")
    return f"{kind} of {recorded.subject}: {', '.join(filter(None, (what, detail)))}".rstrip(": ")


def _where(row: Row) -> list[str]:
    if not row.phases:
        return []
    cells = [(name, lasting(took_us)) for name, took_us in row.phases.items()]
    return ["## Where the time went", "", *_table(("phase", "time"), cells), ""]


def _chain(log: Log, row: Row) -> list[str]:
    node: Any = why(log, str(row.id))
    lines = list(_nodes(node, 0))
    if len(lines) > CHAIN_MAX:
        lines = [*lines[:CHAIN_MAX], "- and so on"]
    rejected = [
        (_text(one["master"]), _text(one["says"]), _text(figures(one["figures"])))
        for one in node["rejected"]
    ]
    said = [f"{_text(each)}" for each in node["says"]]
    return [
        *lines,
        *(["", *said] if said else []),
        *(["", f"Not chosen (the heir is {_text(node['heir'])}):", ""] if rejected else []),
        *(_table(("master", "rule", "figures"), rejected) if rejected else []),
    ]


def _nodes(node: Any, depth: int) -> Iterator[str]:
    data = {name: value for name, value in node["data"].items() if value not in ("", None, [], {})}
    for name in ("phases", "rule", "reason"):
        data.pop(name, None)
    rule = f", rule {_text(node['rule'])}" if node["rule"] else ""
    known = figures({**data, **node["figures"]})
    words = f" ({_text(known)})" if known else ""
    place = f"{'  ' * depth}- {node['seq']} at {node['at'][11:23]}"
    yield f"{place}: {node['kind']} of {_text(node['subject'])}{rule}{words}"
    for each in node["because"]:
        yield from _nodes(each, depth + 1)


def _policy(group: str, policy: GroupPolicy) -> list[str]:
    failover = policy.failover
    cells = [
        ("preset", policy.preset),
        ("automation", policy.automation.value),
        ("worst detection", sum_spelled(policy)),
        ("promised", lasting(policy.detect_within_us)),
        (
            "delay",
            f"crash {lasting(failover.delay_crash_us)}, "
            f"staleness {lasting(failover.delay_staleness_us)}",
        ),
        ("hold-down", lasting(failover.hold_down_us)),
        (
            "limit",
            f"{failover.limit} in {lasting(failover.limit_window_us)}"
            if failover.limit
            else "none",
        ),
        ("fence", _text(fence_sentence(policy))),
    ]
    return [f"## The policy of {_text(group)} then", "", *_table(("", ""), cells), ""]


def _line(row: Row) -> tuple[object, ...]:
    return (
        row.id,
        _text(row.subject),
        _text(row.kind),
        moment(row.started_us),
        lasting(row.detect_us),
        _took(row.recover_us) if row.recovered_us is not None else "-",
        spent(row.phases) if row.subject == row.group else _seen(row.classes),
    )


def _availability(log: Log) -> list[str]:
    found = uptime_at(
        log,
        by="master",
        from_=None,
        to=None,
        unknown="exclude",
        degraded="up",
        maintenance="exclude",
    )
    cells = [
        (
            _text(row.subject),
            "-" if row.availability is None else f"{100 * row.availability:.4f} %",
            *(lasting(each) for each in (row.up_us, row.degraded_us, row.down_us)),
            *(lasting(each) for each in (row.maintenance_us, row.unknown_us)),
        )
        for row in found.rows
    ]
    columns = ("master", "available", "up", "degraded", "down", "maintenance", "unknown")
    return _table(columns, cells)


def _records(found: Sequence[Record]) -> list[str]:
    cells = [
        (
            _text(one.master),
            one.failures,
            one.failures_24h,
            _seen(one.classes) or "-",
            _took(one.between_us),
            _took(one.recovery_us_min),
            _took(one.recovery_us_mean),
            _took(one.recovery_us_max),
        )
        for one in found
    ]
    columns = (
        *("master", "failures", "last 24 h", "seen", "mean time between"),
        *("recovery, shortest", "mean", "longest"),
    )
    return _table(columns, cells)


def _known(log: Log, name: str, seq: int, question: str) -> list[str]:
    head = chain_at(log, log.head.seq).hex()
    return [
        "## How to check this",
        "",
        f"The log ends at event {log.head.seq} ({iso(log.head.at_us)}) with the head `{head}`; "
        f"this was read up to event {seq}.",
        "",
        "```",
        f"tanist verify --head {log.head.seq}:{head} --log {name}",
        question,
        "```",
        "",
    ]
