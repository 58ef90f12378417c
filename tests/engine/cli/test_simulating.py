"""`tanist simulate`: many seeds, one log, one bundle; and every mistake in a line."""

import json
from pathlib import Path

import pytest

from engine.simulation import bundles, swarm
from tests.engine.cli.shell import answer, complaint, observations, tanist


def test_a_few_seeds_and_what_they_exercised(tmp_path: Path) -> None:
    found = answer("simulate", "--seed", "3", "--runs", "4", cwd=tmp_path)
    assert (found["runs"], found["violations"]) == (4, [])
    assert found["steps"] > 100
    assert found["virtual_s"] > 0
    exercised = found["exercised"]
    assert exercised["turns"]
    assert exercised["rows"]["MasterHealthy: unknown → healthy"] > 0
    assert "LogBased" in exercised["never"]["events"]
    assert found == answer("simulate", "--seed", "3", "--runs", "4", cwd=tmp_path)


def test_as_people_read_it(tmp_path: Path) -> None:
    done = tanist("simulate", "--runs", "2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("2 runs, ")
    assert "never: events: " in done.stdout
    assert "moves of health" in done.stdout
    assert "in runs" in done.stdout
    assert done.stdout.endswith("every law held\n")


def test_the_log_of_a_run_is_a_log_like_any_other(tmp_path: Path) -> None:
    answer("simulate", "--seed", "7", "--into", "x.db", cwd=tmp_path)
    verified = answer("verify", "x.db", cwd=tmp_path)
    assert verified["ok"], verified["problems"]
    assert answer("replay", "x.db", cwd=tmp_path)["digest"] == verified["digest"]
    again = complaint(tanist("simulate", "--into", "x.db", cwd=tmp_path), 2)
    assert "name a new log" in again


def test_hours_of_the_policies_of_a_file(tmp_path: Path) -> None:
    words = ("--preset", "lan", "--http", "http://h:1", "--http", "http://h:2")
    tanist("init", *words, cwd=tmp_path)
    done = tanist("simulate", "--hours", "0.1", "--policy", "tanist.toml", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert 'simulated as if automation = "auto"' in done.stderr
    found = json.loads(done.stdout)
    assert found["runs"] == 1
    assert found["virtual_s"] > 360
    assert found["failovers"] > 0


def test_failures_as_another_monitor_recorded_them(tmp_path: Path) -> None:
    observations(
        tmp_path / "o.jsonl",
        [(f"2026-01-01T00:00:{second:02d}Z", "a", outcome)
         for second, outcome in ((0, "ok"), (4, "failed"), (6, "ok"))],
    )  # fmt: skip
    words = ("--hours", "0.005", "--failures", "o.jsonl", "--seed", "2")
    assert answer("simulate", *words, cwd=tmp_path)["exercised"]["turns"]


def test_a_bundle_is_run_again(tmp_path: Path) -> None:
    bundles.write(bundles.made(swarm(9), seed=9), tmp_path / "b.json")
    found = answer("simulate", "--bundle", "b.json", cwd=tmp_path)
    assert (found["verdict"], found["was"], found["same"], found["seed"]) == (
        "true", "true", True, 9,
    )  # fmt: skip
    done = tanist("simulate", "--bundle", "b.json", "--into", "b.db", cwd=tmp_path)
    assert "the log is the same, to the byte" in done.stdout


def test_what_breaks_a_law_is_kept_as_a_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The law is a planted one; in this process, so that it is known there."""
    from engine.simulation import Violation, batches, checkers

    def nothing_happens(run):  # type: ignore[no-untyped-def]
        if run.schedule.turns:
            yield Violation(law="nothing happens", seq=1, found="something did")

    laws = (*checkers.LAWS, nothing_happens)
    monkeypatch.setattr(batches, "LAWS", laws)
    monkeypatch.setattr("engine.cli.simulating._laws", lambda: laws)
    done = tanist("simulate", "--runs", "2", "--json", cwd=tmp_path)
    assert done.returncode == 1
    rows = json.loads(done.stdout)["violations"]
    assert [row["seed"] for row in rows] == [0, 1]
    for row in rows:
        assert row["invariant"] == "nothing happens"
        assert row["shrunk_steps"] == 1
        assert bundles.read(tmp_path / row["bundle"]).verdict == "false"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--runs", "0"), "--runs: expected more than 0, found 0"),
        (("--hours", "-1"), "--hours: expected more than 0, found -1"),
        (("--masters", "0"), "--masters: expected more than 0"),
        (("--failures", "x.jsonl"), "--hours"),
        (("--keep", "nowhere"), "--keep: there is no directory"),
        (("--runs", "3", "--into", "x.db"), "--into takes the log of one run, and --runs is 3"),
        (("--policy", "none.toml"), "none.toml"),
        (("--bundle", "none.json"), "none.json"),
        (("--hours", "1", "--failures", "none.db"), "expected a log, or observations"),
    ],
)
def test_a_mistake_is_one_line(tmp_path: Path, words: tuple[str, ...], says: str) -> None:
    assert says in complaint(tanist("simulate", *words, cwd=tmp_path), 2)


# The incidents.


def test_one_incident_as_people_read_it(tmp_path: Path) -> None:
    done = tanist("scenarios", "gitlab-2017-01-31", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert "an operator in the night" in done.stdout
    assert "met" in done.stdout
    assert "b was promoted" in done.stdout


def test_an_incident_as_json(tmp_path: Path) -> None:
    (row,) = answer("scenarios", "packet-loss", cwd=tmp_path)["rows"]
    assert (row["met"], row["wrong"], row["naive_fails"]) == (True, [], True)
    assert row["virtual_s"] > 600


def test_an_incident_that_there_is_not(tmp_path: Path) -> None:
    said = complaint(tanist("scenarios", "nothing", cwd=tmp_path), 2)
    assert said.startswith("expected one of all-backups-bad, ")
