"""The answers as the command prints them: JSON in the shapes of the interface, and tables."""

import json
import os
from pathlib import Path

import pytest

from engine.answers.times import microseconds
from engine.cli.streaming import PLAIN_NAMES
from engine.core import events as ev
from engine.core import state as st
from engine.core.events import FLEET
from engine.core.policy import preset
from engine.core.replay import replay
from engine.log import open_log
from tests.engine.answers.stories import GROUP, Story, failed_over
from tests.engine.cli.shell import answer, stored, tanist


@pytest.fixture
def story() -> Story:
    told = failed_over()
    told.see(ev.Paused(until_us=0, reason="[red]racks[/]", author="me"), FLEET)
    told.see(ev.SwitchoverAsked(to="a", author="me"), GROUP)
    return told


@pytest.fixture
def log(story: Story, tmp_path: Path) -> Path:
    return stored(story.log, tmp_path / "x.db")


def test_replay_and_status_agree_at_every_position(story: Story, log: Path) -> None:
    head = story.log.head.seq
    for seq in (0, 1, head // 2, head):
        found = answer("replay", "x.db", "--to", str(seq), cwd=log.parent)
        assert found == answer("status", "x.db", "--at", str(seq), cwd=log.parent)
        assert found["digest"] == st.digest(replay(story.log.read(), until_seq=seq))
        assert (found["seq"], found["events"]) == (seq, seq)
    assert found == answer("replay", "--log", f"sqlite:///{log}", cwd=log.parent)


def test_the_log_of_the_configuration_here_is_the_default(log: Path) -> None:
    log.rename(log.parent / "tanist.db")
    assert answer("status", cwd=log.parent)["groups"][GROUP]["active"] == ["b"]


def test_events_are_json_lines_in_the_stated_shape(story: Story, log: Path) -> None:
    done = tanist("events", "x.db", "--json", cwd=log.parent)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["seq"] for row in rows] == list(range(1, story.log.head.seq + 1))
    assert all(
        list(row) == ["seq", "at", "kind", "subject", "cause", "data"] and row["at"].endswith("Z")
        for row in rows
    )


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--kind", "MasterFailed"), {"MasterFailed"}),
        (
            ("--kind", "MasterFailed", "--kind", "Switched", "--subject", "b"),
            {"Switched"},
        ),
        (("--since", "2", "--until", "2"), {"PolicyAdopted"}),
        (("--until", "2026-01-01T00:00:00Z", "--subject", "fleet"), None),
    ],
)
def test_events_are_filtered(words: tuple[str, ...], expected: set[str], log: Path) -> None:
    done = tanist("events", "x.db", "--json", *words, cwd=log.parent)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert rows
    if expected is None:
        assert {row["subject"] for row in rows} == {"fleet"}
    else:
        assert {row["kind"] for row in rows} == expected


def test_since_a_time_begins_with_the_first_event_at_it(story: Story, log: Path) -> None:
    rows = tanist("events", "x.db", "--json", cwd=log.parent).stdout.splitlines()
    at = json.loads(rows[20])["at"]
    first = next(row for row in rows if json.loads(row)["at"] == at)
    found = tanist("events", "x.db", "--json", "--since", at, cwd=log.parent).stdout
    assert found.splitlines() == rows[rows.index(first) :]


def test_tables_show_names_as_they_are(log: Path) -> None:
    shown = tanist("status", "x.db", cwd=log.parent).stdout
    first = "PAUSED until told otherwise: [red]racks[/] · no engine runs on this log"
    assert shown.splitlines()[0] == first
    assert "active-standby" in shown
    assert "not confirmed" in shown
    events = ("events", "x.db", "--all")
    for words in (events, ("why", "x.db"), ("uptime", "x.db"), ("audit", "x.db")):
        done = tanist(*words, cwd=log.parent)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.strip()


def test_status_says_whether_an_engine_runs_but_not_of_the_past(log: Path) -> None:
    assert answer("status", "x.db", cwd=log.parent)["engine"] is None
    assert "engine" not in answer("status", "x.db", "--at", "5", cwd=log.parent)
    shown = tanist("status", "x.db", "--at", "5", cwd=log.parent).stdout
    assert "engine" not in shown
    (log.parent / "x.db.engine.json").write_text(
        json.dumps({"url": "http://127.0.0.1:9", "pid": os.getpid()})
    )
    assert answer("status", "x.db", cwd=log.parent)["engine"] is None  # it is gone
    with open_log(log, mode="write"):
        done = tanist("status", "x.db", "--json", cwd=log.parent)
    assert "does not answer" in done.stderr
    assert json.loads(done.stdout)["engine"] == {"url": "http://127.0.0.1:9", "pid": os.getpid()}


def test_status_shows_what_an_observing_engine_would_have_done(tmp_path: Path) -> None:
    story = Story(preset("zone"))
    story.probe(2)
    story.n += 1
    story.see(ev.ProbeOk(n=story.n, latency_us=1, boot="a", epoch=1, role="active"), "a")
    story.kill("a")
    seq = story.last(ev.FailoverProposed)
    stored(story.log, tmp_path / "x.db")
    found = answer("status", "x.db", cwd=tmp_path)["groups"][GROUP]["proposal"]
    assert (found["seq"], found["source"], found["heir"]) == (seq, "a", "b")
    assert found == answer("replay", "x.db", cwd=tmp_path)["groups"][GROUP]["proposal"]
    shown = tanist("status", "x.db", cwd=tmp_path).stdout
    assert "g: would promote b in place of a (failed), it said at 2026-01-01" in shown
    assert f"tanist why {seq}" in shown
    assert 'automation = "auto" in its file would let it act' in shown


def test_times_are_shown_in_units_and_kept_whole_in_json(log: Path) -> None:
    for words in (("why", "x.db"), ("events", "x.db", "--all")):
        shown = tanist(*words, cwd=log.parent).stdout
        assert "_us" not in shown
        assert " ms" in shown
    rejected = answer("why", "x.db", cwd=log.parent)["rejected"]
    ranked = next(one for one in rejected if one["rule"] == "ranked")
    assert ranked["figures"]["good_age_us"] == 10_000


def test_events_for_people_leave_out_probes_and_messages_and_count_them(
    story: Story, log: Path
) -> None:
    every = [type(found.event).__name__ for found in story.log.read()]
    plain = sum(kind in PLAIN_NAMES for kind in every)
    done = tanist("events", "x.db", cwd=log.parent)
    assert len(done.stdout.splitlines()) == len(every) - plain
    assert done.stderr == (
        f"tanist: {plain} events of probes and messages were left out: --all shows them\n"
    )
    whole = tanist("events", "x.db", "--all", cwd=log.parent)
    assert (len(whole.stdout.splitlines()), whole.stderr) == (len(every), "")
    named = tanist("events", "x.db", "--kind", "ProbeFailed", cwd=log.parent)
    assert len(named.stdout.splitlines()) == every.count("ProbeFailed") > 0
    assert named.stderr == ""
    lines = tanist("events", "x.db", "--json", cwd=log.parent).stdout.splitlines()
    assert len(lines) == len(every)


def test_since_a_duration_is_that_long_before_the_end(story: Story, log: Path) -> None:
    rows = [
        json.loads(line)
        for line in tanist("events", "x.db", "--json", cwd=log.parent).stdout.splitlines()
    ]
    for option, wanted in (
        ("--since", lambda at_us: at_us >= story.state.at_us - 20_000),
        ("--until", lambda at_us: at_us <= story.state.at_us - 20_000),
    ):
        done = tanist("events", "x.db", "--json", option, "20ms", cwd=log.parent)
        found = [json.loads(line) for line in done.stdout.splitlines()]
        assert found == [row for row in rows if wanted(microseconds(row["at"]))]
        assert 0 < len(found) < len(rows)


def test_uptime_adds_up_and_judges_as_it_is_asked(story: Story, log: Path) -> None:
    for by, subjects in (("master", ["a", "b", "c"]), ("group", [GROUP]), ("fleet", ["fleet"])):
        found = answer("uptime", "x.db", "--by", by, cwd=log.parent)
        assert [row["subject"] for row in found["rows"]] == subjects
        for row in found["rows"]:
            buckets = ("up_us", "degraded_us", "down_us", "maintenance_us", "unknown_us")
            assert sum(row[bucket] for bucket in buckets) == row["elapsed_us"]
    later = "2026-01-01T01:00:00Z"
    as_of = answer("uptime", "x.db", "--to", later, cwd=log.parent)
    down = answer("uptime", "x.db", "--to", later, "--unknown", "down", cwd=log.parent)
    held = answer("uptime", "x.db", "--to", later, "--unknown", "hold", cwd=log.parent)
    rows = {name: found["rows"][1] for name, found in (("d", down), ("h", held), ("x", as_of))}
    limit_us = story.state.policy_of(story.state.groups[GROUP]).probe.unknown_after_us
    assert rows["x"]["up_us"] < 2 * limit_us  # silence since then is not time that it was up
    assert rows["d"]["availability"] < 0.01
    assert rows["h"]["availability"] == rows["x"]["availability"] == 1
    assert rows["d"]["elapsed_us"] == 3_600_000_000


def test_audit_names_the_author_and_what_came_of_it(log: Path) -> None:
    rows = answer("audit", "x.db", cwd=log.parent)["rows"]
    by_kind = {row["kind"]: row for row in rows}
    assert by_kind["Paused"]["author"] == "me"
    assert by_kind["SwitchoverAsked"]["outcome"] == "refused"
    assert by_kind["SwitchoverAsked"]["reasons"]
    assert by_kind["Failover"]["data"]["heir"] == "b"
    assert by_kind["Failover"]["outcome"] == "completed"


def test_verify_prints_the_head_that_the_log_has(story: Story, log: Path) -> None:
    found = answer("verify", "x.db", cwd=log.parent)
    assert found["head"] == story.log.chain_head().hex()
    assert found["digest"] == st.digest(story.state)
    assert (found["ok"], found["first_bad"], found["problems"]) == (True, None, [])
    assert found["events"] == story.log.head.seq


def test_init_writes_what_check_takes_and_never_replaces_it(tmp_path: Path) -> None:
    addresses = ("http://127.0.0.1:1", "http://127.0.0.1:2")
    found = answer("init", "--http", *addresses, "--preset", "lan", cwd=tmp_path)
    assert (found["file"], found["preset"]) == ("tanist.toml", "lan")
    text = (tmp_path / "tanist.toml").read_text()
    assert all(address in text for address in addresses)
    again = tanist("init", cwd=tmp_path)
    assert (again.returncode, again.stdout) == (2, "")
    assert "exists" in again.stderr
    assert (tmp_path / "tanist.toml").read_text() == text
    assert tanist("init", "other.toml", cwd=tmp_path).returncode == 0
    checked = answer("check", cwd=tmp_path)
    (group,) = checked["groups"].values()
    assert (group["preset"], group["masters"], group["promise_kept"]) == ("lan", 2, True)
    assert "worst detection" in tanist("check", "other.toml", cwd=tmp_path).stdout


@pytest.mark.parametrize("command", ["status", "events", "audit"])
def test_what_others_said_gives_no_command_to_a_terminal(
    command: str, story: Story, log: Path
) -> None:
    story.see(ev.Paused(until_us=0, reason="\x1b[31mred\x07\nnext", author="\x1b]0;me"), FLEET)
    stored(story.log, log.parent / "said.db")
    done = tanist(command, "said.db", cwd=log.parent)
    assert "?]0;me" in done.stdout or "?[31mred??next" in done.stdout
    assert all(char.isprintable() or char == "\n" for char in done.stdout)
