"""From a file of real probe results to a figure: the commands against what was published.

Each group is imported as the monitoring tool decided (one result is a verdict, and a state holds
until the next); then the availability over each target's tracked span has to be the one that the
tool published, within a hundredth of a point.
"""

from pathlib import Path

import pytest

from engine.answers.times import iso
from tests.engine.cli.shell import answer
from tests.projections import oracle

AS_THE_TOOL = ("probe.fall=1", "probe.rise=1", "probe.unknown_after=never")
COLUMNS = ",".join(f"{ours}={theirs}" for ours, theirs in oracle.COLUMNS.items())


@pytest.mark.parametrize("folder", oracle.folders(), ids=lambda folder: folder.name)
def test_uptime_of_imported_probes_is_the_published_one(folder: Path, tmp_path: Path) -> None:
    words = ["import", str(oracle.observations(folder)), "--into", "x.db", "--group", "web"]
    for change in AS_THE_TOOL:
        words += ["--set", change]
    answer(*words, "--map", COLUMNS, cwd=tmp_path)
    for published in oracle.strict_targets(folder):
        window = ("--from", iso(published.tracked_since_us), "--to", iso(published.asof_us))
        rule = ("--unknown", "hold", "--degraded", "down")
        found = answer("uptime", "x.db", *window, *rule, cwd=tmp_path)
        (row,) = (row for row in found["rows"] if row["subject"] == published.target)
        error_points = abs(100 * row["availability"] - published.published_pct)
        assert error_points <= oracle.TOLERANCE_POINTS, published


def test_the_shared_groups_were_among_them() -> None:
    if not oracle.SHARED.is_dir():
        pytest.skip(f"{oracle.SHARED} is not there: only the group shipped here was tried")
    names = {folder.name for folder in oracle.folders()}
    assert {path.name for path in oracle.SHARED.glob("upptime-*")} <= names
    assert sum(len(oracle.strict_targets(folder)) for folder in oracle.folders()) > 100
