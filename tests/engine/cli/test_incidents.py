"""What went wrong and how often, as the command answers it."""

from pathlib import Path

import pytest

from engine.core import events as ev
from tests.engine.answers.stories import Story, failed_over
from tests.engine.cli.shell import answer, complaint, stored, tanist
from tests.engine.cli.test_hypotheses import hung


@pytest.fixture
def story() -> Story:
    told = failed_over()
    told.dead.discard("a")
    told.probe(5)
    return told


@pytest.fixture
def log(story: Story, tmp_path: Path) -> Path:
    return stored(story.log, tmp_path / "x.db")


def test_a_kill_is_an_incident_of_the_master_and_of_its_group(story: Story, log: Path) -> None:
    found = answer("incidents", "x.db", cwd=log.parent)
    master, group = found["rows"]
    assert (master["subject"], master["id"]) == ("a", story.last(ev.MasterFailed))
    assert (group["subject"], group["id"]) == ("g", story.last(ev.FailoverStarted))
    assert master["classes"] == {"closed": 1, "refused": 3}
    assert master["recovered_at"] > group["recovered_at"] > master["started_at"]
    for row in found["rows"]:
        assert row["detect_us"] + row["failover_us"] <= row["recover_us"]
    assert sum(group["phases"].values()) >= group["recover_us"]


def test_the_record_of_each_master_is_beside_them(log: Path) -> None:
    a, b, c = answer("incidents", "x.db", cwd=log.parent)["masters"]
    assert (a["master"], a["failures"], a["failures_24h"], a["recoveries"]) == ("a", 1, 1, 1)
    assert a["recovery_us_min"] == a["recovery_us_max"] == a["down_us"]
    assert (b["failures"], c["failures"]) == (0, 0)


def test_incidents_are_as_of_a_position(story: Story, log: Path) -> None:
    before = str(story.last(ev.MasterFailed) - 1)
    assert answer("incidents", "x.db", "--at", before, cwd=log.parent)["rows"] == []
    at_once = str(story.last(ev.MasterFailed))
    (row,) = answer("incidents", "x.db", "--at", at_once, cwd=log.parent)["rows"]
    assert (row["recovered_at"], row["ended"]) == (None, "")


def test_incidents_of_one_subject(log: Path) -> None:
    found = answer("incidents", "x.db", "--subject", "b", cwd=log.parent)
    assert (found["rows"], [one["master"] for one in found["masters"]]) == ([], ["b"])


def test_people_see_where_the_time_went(log: Path) -> None:
    done = tanist("incidents", "x.db", cwd=log.parent)
    assert done.returncode == 0
    for said in ("detected in", "closed 1, refused 3", "fenced", "mean time between"):
        assert said in done.stdout, said


def test_why_splits_the_time_of_a_failover(story: Story, log: Path) -> None:
    found = answer("why", "x.db", cwd=log.parent)
    group = answer("incidents", "x.db", cwd=log.parent)["rows"][1]
    assert found["seq"] == group["id"]
    assert found["phases"] == group["phases"]
    assert list(found["phases"]) == [
        "detected", "decided", "fenced", "transferred", "promoted", "verified", "switched",
    ]  # fmt: skip
    assert "where the time went: detected 10 ms" in tanist("why", "x.db", cwd=log.parent).stdout


def test_one_incident_is_asked_about_up_to_its_end(tmp_path: Path) -> None:
    story = hung()
    story.probe(50)
    stored(story.log, tmp_path / "x.db")
    row = answer("incidents", "x.db", cwd=tmp_path)["rows"][-1]
    whole = answer("whatif", "x.db", "--set", "probe.fall=3", cwd=tmp_path)
    found = answer(
        "whatif", "x.db", "--set", "probe.fall=3", "--incident", str(row["id"]), cwd=tmp_path
    )
    assert found["recorded"]["failovers"] == 1
    assert found["whatif"]["failovers"] == 0
    assert found["whatif"]["down_us"] == whole["whatif"]["down_us"]
    assert found["events"] < whole["events"] / 4
    same = answer("whatif", "x.db", "--incident", str(row["id"]), cwd=tmp_path)
    assert same["diverged_at"] is None
    assert same["recorded"]["digest"] == same["whatif"]["digest"]
    said = complaint(tanist("whatif", "x.db", "--incident", "1", cwd=tmp_path), 2)
    assert f"no incident 1 in the log (the last ones: {row['id']}" in said or "last ones" in said
