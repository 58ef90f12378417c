import gzip
from pathlib import Path

import pytest

from engine.core import events as ev
from engine.core import state as st
from engine.core.events import Evidence
from engine.core.replay import decide_again, replay
from engine.log import open_log
from tests.engine.cli.shell import answer, complaint, kinds, minute, observations, tanist

ROWS = [minute(second, master) for second in range(0, 50, 5) for master in "ba"]


def bring(path: Path, *more: str, group: str = "g") -> dict[str, object]:
    words = ("import", path.name, "--into", "x.db", "--group", group, *more)
    return answer(*words, cwd=path.parent)


def test_an_import_is_decided_by_the_engine_and_ends_where_the_file_ends(tmp_path: Path) -> None:
    down = [minute(50 + number, "a", "failed") for number in range(4)]
    found = bring(observations(tmp_path / "o.jsonl", [*ROWS, *down]))
    assert (found["observations"], found["duplicates"], found["masters"]) == (24, 0, 2)
    assert found["at"] == "2026-01-01T00:00:53.000000Z"
    with open_log(tmp_path / "x.db") as log:
        events = list(log.read())
        assert events[-1].at_us == log.head.at_us
    assert events[0].at_us == 1_767_225_600_000_000  # the policy comes at the first observation
    assert len(events) == found["seq"] == found["events"]
    assert st.digest(replay(events)) == found["digest"]
    assert list(decide_again(events)) == events
    status = answer("status", "x.db", cwd=tmp_path)
    group = status["groups"]["g"]
    assert (group["mode"], group["active"]) == ("active-active", ["a", "b"])
    assert status["masters"]["a"]["health"] == "failed"
    assert status["masters"]["b"]["address"] == "observed://b"


def test_masters_are_ranked_as_they_appear_and_counted_each_for_itself(tmp_path: Path) -> None:
    bring(observations(tmp_path / "o.jsonl", ROWS))
    with open_log(tmp_path / "x.db") as log:
        events = list(log.read())
    masters = [found.event for found in events if isinstance(found.event, ev.MasterAdded)]
    assert [(found.master.id, found.master.priority) for found in masters] == [("b", 1), ("a", 2)]
    counts = [f.event.n for f in events if isinstance(f.event, ev.ProbeOk) and f.subject == "a"]
    assert counts == list(range(1, 11))


def test_what_a_line_says_is_what_the_event_says(tmp_path: Path) -> None:
    (tmp_path / "o.jsonl").write_text(
        '{"at":"2026-01-01T00:00:00Z","master":"a","outcome":"up","latency_ms":12.5,'
        '"observer":"o1"}\n'
        '{"at":"2026-01-01T00:00:01Z","master":"a","outcome":"degraded","detail":"slow disk"}\n'
        '{"at":"2026-01-01T00:00:02Z","master":"a","outcome":"failed","failure":"refused"}\n'
        '{"at":"2026-01-01T00:00:03Z","master":"a","outcome":"down","latency_ms":500}\n'
    )
    bring(tmp_path / "o.jsonl")
    with open_log(tmp_path / "x.db") as log:
        seen = [found.event for found in log.read() if type(found.event) in PROBES]
    assert seen == [
        ev.ProbeOk(n=1, latency_us=12_500, observer="o1"),
        ev.ProbeDegraded(n=1, latency_us=0, reason="slow disk"),
        ev.ProbeFailed(n=2, evidence=Evidence.REFUSED),
        ev.ProbeFailed(n=3, evidence=Evidence.REPORTED, waited_us=500_000),
    ]


PROBES = (ev.ProbeOk, ev.ProbeDegraded, ev.ProbeFailed)


def test_silence_makes_unknown_after_three_usual_gaps_and_it_says_so(tmp_path: Path) -> None:
    observations(tmp_path / "o.jsonl", ROWS)
    done = tanist("import", "o.jsonl", "--into", "x.db", "--group", "g", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stderr.startswith("tanist: g: silence makes unknown after 15s, three usual gaps")
    status = answer("uptime", "x.db", "--to", "2026-01-01T00:02:00Z", cwd=tmp_path)
    assert {row["unknown_us"] for row in status["rows"]} == {60_000_000}  # from 00:01:00 on


@pytest.mark.parametrize("silence", ["never", "20s"])
def test_a_silence_that_was_said_is_taken(silence: str, tmp_path: Path) -> None:
    observations(tmp_path / "o.jsonl", ROWS)
    found = bring(tmp_path / "o.jsonl", "--set", f"probe.unknown_after={silence}")
    expected = {"never": 0, "20s": 20_000_000}[silence]
    assert found["unknown_after_us"] == {"g": expected}


def test_changes_hold_for_the_decisions(tmp_path: Path) -> None:
    rows = [*ROWS, minute(50, "a", "failed")]
    observations(tmp_path / "o.jsonl", rows)
    bring(tmp_path / "o.jsonl", "--set", "probe.fall=1")
    assert "MasterFailed" in kinds(tmp_path / "x.db")
    said = complaint(
        tanist(
            *("import", "o.jsonl", "--into", "y.db", "--group", "g", "--set", "probe.fal=1"),
            cwd=tmp_path,
        ),
        2,
    )
    assert "probe.fal" in said
    assert not (tmp_path / "y.db").exists()


def test_a_policy_file_holds_for_the_group_whatever_it_calls_it(tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text(
        '[groups.any]\nmode = "active-standby"\nautomation = "auto"\n'
        'preset = "lan"\nprobe = { unknown_after = "1h" }\n'
    )
    observations(tmp_path / "o.jsonl", ROWS)
    found = bring(tmp_path / "o.jsonl", "--policy", "p.toml")
    assert found["unknown_after_us"] == {"g": 3_600_000_000}
    group = answer("status", "x.db", cwd=tmp_path)["groups"]["g"]
    assert (group["mode"], group["active"], group["failovers"]) == ("active-standby", ["b"], 0)
    assert group["owed"] == []
    assert "Outcome" in kinds(tmp_path / "x.db")  # assumed: nothing was sent to anybody


def test_a_failover_of_recorded_masters_is_explained(tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text('[groups.g]\nmode = "active-standby"\nautomation = "auto"\n')
    steady = [minute(second, master) for second in range(40) for master in "ab"]
    down = [minute(second, "a", "failed") for second in range(40, 50)]
    fine = [minute(second, "b") for second in range(40, 50)]
    observations(tmp_path / "o.jsonl", sorted([*steady, *down, *fine]))
    bring(tmp_path / "o.jsonl", "--policy", "p.toml", "--set", "failover.hold_down=0s")
    found = answer("why", "x.db", cwd=tmp_path)
    assert (found["kind"], found["subject"], found["heir"]) == ("FailoverStarted", "g", "b")
    assert [one["master"] for one in found["rejected"]] == ["a"]
    shown = tanist("why", "x.db", cwd=tmp_path).stdout
    assert "not chosen (the heir is b)" in shown
    assert shown.count("ProbeFailed") == 4


def test_a_second_file_goes_on_where_the_first_ended(tmp_path: Path) -> None:
    bring(observations(tmp_path / "one.jsonl", ROWS))
    observations(tmp_path / "two.jsonl", [minute(second, "a") for second in (55, 56)])
    found = answer("import", "two.jsonl", "--into", "x.db", cwd=tmp_path)
    assert found["events"] == 2  # the policy holds already, and the master is known
    with open_log(tmp_path / "x.db") as log:
        last = list(log.read())[-1].event
    assert isinstance(last, ev.ProbeOk)
    assert last.n == 12
    said = complaint(tanist("import", "two.jsonl", "--into", "x.db", cwd=tmp_path), 2)
    assert "ends later, at 2026-01-01T00:00:56" in said


def test_a_new_master_joins_the_group_that_is_named(tmp_path: Path) -> None:
    bring(observations(tmp_path / "one.jsonl", ROWS))
    bring(observations(tmp_path / "two.jsonl", [minute(55, "c"), minute(56, "a")]), group="h")
    masters = answer("status", "x.db", cwd=tmp_path)["masters"]
    assert {name: found["group"] for name, found in masters.items()} == {
        "a": "g",
        "b": "g",
        "c": "h",
    }


def test_columns_are_mapped_and_duplicates_skipped_in_csv_and_gzip(tmp_path: Path) -> None:
    text = "t,target,status,rt_ms\n" + "".join(
        f"2026-01-01T00:00:0{second}Z,a,up,12\n" for second in (1, 2, 2, 3)
    )
    (tmp_path / "o.csv.gz").write_bytes(gzip.compress(text.encode()))
    columns = "at=t,master=target,outcome=status,latency_ms=rt_ms"
    found = bring(tmp_path / "o.csv.gz", "--map", columns)
    assert (found["observations"], found["duplicates"]) == (3, 1)
    for bad, says in (("at", "expected at=t"), ("att=t", "att"), ("at=t,master=t", "two fields")):
        words = ("import", "o.csv.gz", "--into", "y.db", "--group", "g", "--map", bad)
        assert says in complaint(tanist(*words, cwd=tmp_path), 2)


def test_a_master_and_a_group_never_share_a_name(tmp_path: Path) -> None:
    observations(tmp_path / "o.jsonl", [minute(1, "g")])
    words = ("import", "o.jsonl", "--into", "x.db", "--group", "g")
    assert "'g' is the name of a master and of a group" in complaint(
        tanist(*words, cwd=tmp_path), 2
    )


def test_an_import_is_in_batches_that_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    observations(tmp_path / "o.jsonl", ROWS)
    digest = bring(tmp_path / "o.jsonl")["digest"]
    monkeypatch.setattr("engine.cli.importing.BATCH_EVENTS", 3)
    words = ("import", "o.jsonl", "--into", "y.db", "--group", "g")
    assert answer(*words, cwd=tmp_path)["digest"] == digest


@pytest.mark.parametrize("asked", ["", "set", "file"])
def test_what_was_recorded_flaps_only_where_that_is_asked_for(tmp_path: Path, asked: str) -> None:
    rows = [minute(number, "a", "failed" if number % 2 else "ok") for number in range(40)]
    (tmp_path / "p.toml").write_text(
        '[groups.g]\nmode = "active-active"\nprobe = { rise = 1, fall = 1'
        + (", flap_high = 40" if asked == "file" else "")
        + " }\n"
    )
    more = ("--set", "probe.flap_high=30") if asked == "set" else ("--policy", "p.toml")
    bring(observations(tmp_path / "o.jsonl", rows), *more)
    with open_log(tmp_path / "x.db") as log:
        found = {type(recorded.event) for recorded in log.read()}
    assert (ev.FlappingStarted in found) is bool(asked)
