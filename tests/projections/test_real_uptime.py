"""Years of real probe results: our arithmetic against what the monitoring tool published."""

from pathlib import Path

import pytest

from engine.core.events import AnyEvent, Evidence, ProbeFailed, ProbeOk, Recorded
from engine.observations import Record, read
from projections.base import fold
from projections.uptime import UPTIME, answer
from tests.projections import logs, oracle

# A folder that holds no target marked as truth says nothing here.
FOLDERS = [folder for folder in oracle.folders() if oracle.strict_targets(folder)]
PROBED: dict[str, AnyEvent] = {
    "ok": ProbeOk(n=1, latency_us=0),
    "degraded": ProbeOk(n=1, latency_us=0),
    "failed": ProbeFailed(n=1, evidence=Evidence.REPORTED),
}
VERDICTS: dict[str, AnyEvent] = {
    "ok": logs.HEALTHY,
    "degraded": logs.DEGRADED,
    "failed": logs.FAILED,
}


def verdicts(records: list[Record]) -> list[Recorded]:
    """Return the log of an engine with rise 1, fall 1 and no limit to silence."""
    began_us = records[0].at_us
    names = sorted({record.master for record in records})
    lines: list[tuple[int, str, AnyEvent]] = [
        (began_us, name, logs.added(name, "g")) for name in names
    ]
    last: dict[str, str] = {}
    for record in records:
        lines.append((record.at_us, record.master, PROBED[record.outcome]))
        if last.get(record.master) != record.outcome:
            lines.append((record.at_us, record.master, VERDICTS[record.outcome]))
            last[record.master] = record.outcome
    return logs.log(*lines)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_uptime_agrees_with_the_published_figures(folder: Path) -> None:
    targets = oracle.strict_targets(folder)
    found = read(oracle.observations(folder), columns=oracle.COLUMNS)
    view = fold(UPTIME, verdicts(found.records))
    for target, tracked_since_us, asof_us, published_pct in targets:
        rows = answer(
            view, from_us=tracked_since_us, to_us=asof_us, unknown="hold", degraded="down"
        )
        (row,) = [row for row in rows if row.subject == target]
        assert 100 * row.availability == pytest.approx(published_pct, abs=oracle.TOLERANCE_POINTS)


def test_all_folders_are_there() -> None:
    if not oracle.SHARED.is_dir():
        pytest.skip(f"only the small folder of {oracle.OWN.name}: no {oracle.SHARED}")
    assert sum(len(oracle.strict_targets(folder)) for folder in FOLDERS) == 149
