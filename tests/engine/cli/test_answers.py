"""The answers as the command prints them: JSON in the shapes of the interface, and tables."""

import json
from pathlib import Path

import pytest

from engine.core import events as ev
from engine.core import state as st
from engine.core.events import FLEET
from engine.core.replay import replay
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
    assert shown.splitlines()[0] == "PAUSED until told otherwise: [red]racks[/]"
    assert "active-standby" in shown
    assert "not confirmed" in shown
    for words in (("events", "x.db"), ("why", "x.db"), ("uptime", "x.db"), ("audit", "x.db")):
        done = tanist(*words, cwd=log.parent)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.strip()


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
