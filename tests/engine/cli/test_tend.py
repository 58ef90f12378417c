"""Commands that tend a fleet, on a log at rest: what each appends, and what each refuses."""

import getpass
import json
import re
from pathlib import Path
from typing import Any

import pytest

from engine.core import events as ev
from engine.core.policy import HOUR
from engine.log import open_log
from tests.engine.answers.stories import GROUP, Story, failed_over
from tests.engine.cli.shell import answer, complaint, kinds, stored, tanist


@pytest.fixture
def story() -> Story:
    """Return the story in which b took over from a, which came back and rejoined."""
    tale = failed_over()
    tale.dead.clear()
    tale.probe(20)
    return tale


@pytest.fixture
def log(story: Story, tmp_path: Path) -> Path:
    return stored(story.log, tmp_path / "x.db")


def given(log: Path, *words: str) -> Any:
    """Return the event that a command has appended, by this user and at rest."""
    found = answer(words[0], *words[1:], "--log", "x.db", cwd=log.parent)
    with open_log(log) as opened:
        (recorded,) = opened.read(found["seq"] - 1, found["seq"])
    assert getattr(recorded.event, "author", "") == getpass.getuser()
    assert getattr(recorded.event, "at_rest", False)
    return recorded


def status(log: Path) -> dict[str, Any]:
    return answer("status", "x.db", cwd=log.parent)


def test_a_switchover_is_scheduled_shown_and_taken_back(log: Path) -> None:
    recorded = given(log, "switchover", GROUP, "--to", "a", "--at", "2h")
    assert recorded.event.due_us == recorded.at_us + 2 * HOUR
    planned = status(log)["groups"][GROUP]["scheduled"]
    assert (planned["to"], planned["author"]) == ("a", getpass.getuser())
    shown = tanist("status", "x.db", cwd=log.parent).stdout
    assert "g: a switchover to a is scheduled for " in shown
    assert "tanist switchover g --cancel takes it back" in shown
    given(log, "switchover", GROUP, "--cancel")
    assert status(log)["groups"][GROUP]["scheduled"] is None
    said = complaint(tanist("switchover", "x.db", GROUP, "--cancel", cwd=log.parent), 1)
    assert said == "refused: no switchover of g is scheduled"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--at", "tomorrow"), 2, "--at: expected a time as 2026-01-31T12:00:00Z"),
        (("--at", "2020-01-01T00:00:00Z"), 1, "refused: expected a time to come"),
        (("--at", "2h", "--wait"), 2, "expected --at or --wait, found both"),
        (("--cancel", "--to", "a"), 2, "--cancel takes back what is scheduled"),
    ],
)
def test_a_schedule_that_makes_no_sense_is_one_line(
    log: Path, words: tuple[str, ...], code: int, said: str
) -> None:
    done = tanist("switchover", "--log", "x.db", GROUP, *words, cwd=log.parent)
    assert complaint(done, code).startswith(said)


def test_a_failover_is_undone_by_its_number_or_as_the_last_one(story: Story, log: Path) -> None:
    failover = story.last(ev.FailoverStarted)
    recorded = given(log, "undo")
    assert (recorded.event.failover, recorded.event.to, recorded.event.heir) == (failover, "a", "b")
    assert status(log)["groups"][GROUP]["failover"]["to"] == "a"
    said = complaint(tanist("undo", "x.db", str(failover), cwd=log.parent), 1)
    assert "is open" in said
    assert complaint(tanist("undo", "x.db", "5", cwd=log.parent), 1) == (
        "refused: event 5 begins no failover"
    )
    assert "found 'last'" in complaint(tanist("undo", "x.db", "last", cwd=log.parent), 2)


def test_an_open_failover_and_a_log_without_one_have_nothing_to_undo(tmp_path: Path) -> None:
    story = Story()
    story.probe(1)
    stored(story.log, tmp_path / "x.db")
    first = story.last(ev.FailoverStarted)
    assert first
    empty = Story(names="")
    stored(empty.log, tmp_path / "y.db")
    said = complaint(tanist("undo", "y.db", cwd=tmp_path), 1)
    assert said == "refused: no failover was completed yet"


def test_a_reset_forgets(log: Path) -> None:
    assert given(log, "reset", "a").subject == "a"
    assert given(log, "reset", GROUP).subject == GROUP
    assert "no group 'zz'" in complaint(tanist("reset", "x.db", "zz", cwd=log.parent), 1)


def test_a_master_rests_and_serves_again(log: Path) -> None:
    recorded = given(log, "master", "drain", "a", "--reason", "disks")
    assert recorded.event.reason == "disks"
    assert status(log)["masters"]["a"]["drained"] is True
    assert "a drains already" in complaint(
        tanist("master", "drain", "--log", "x.db", "a", cwd=log.parent), 1
    )
    given(log, "master", "undrain", "a")
    assert status(log)["masters"]["a"]["drained"] is False


PLANNED = ("switchover", "--to", "a", "--at", "2h")


@pytest.mark.parametrize(
    ("before", "words", "said"),
    [
        ((), ("master", "drain", "c"), "drain: accepted, event N"),
        (("master", "drain", "c"), ("master", "undrain", "c"), "undrain: accepted, event N"),
        ((), ("master", "exclude", "c"), "exclude: accepted, event N"),
        (("master", "exclude", "c"), ("master", "include", "c"), "include: accepted, event N"),
        ((), PLANNED, "switchover: accepted, event N; due in 2 h"),
        (
            (),
            ("switchover", "--to", "a", "--at", "2099-01-01T00:00:00Z"),
            "switchover: accepted, event N; due at 2099-01-01 00:00:00.000Z",
        ),
        (PLANNED, ("switchover", "--cancel"), "switchover --cancel: accepted, event N"),
        ((), ("pause", "--reason", "r"), "pause: accepted, event N; until it is resumed"),
        (
            (),
            ("pause", "--reason", "r", "--for", "90m"),
            "pause: accepted, event N; for 1 h 30 min",
        ),
    ],
)
def test_what_was_asked_for_is_said_by_its_name_and_with_its_time(
    before: tuple[str, ...], words: tuple[str, ...], said: str, log: Path
) -> None:
    for each in filter(None, (before, words)):
        done = tanist(*each, "--log", "x.db", cwd=log.parent)
        assert done.returncode == 0, done.stderr
    assert re.sub(r"event \d+", "event N", done.stdout).startswith(f"{said}; recorded")


def test_a_master_is_excluded_and_included(log: Path) -> None:
    given(log, "master", "exclude", "c")
    assert status(log)["masters"]["c"]["excluded"] is True
    given(log, "master", "include", "c")
    assert status(log)["masters"]["c"]["excluded"] is False


def test_a_master_is_added_and_removed(log: Path) -> None:
    where = ("--group", GROUP, "--address", "http://10.0.0.4:80", "--priority", "4")
    given(log, "master", "add", "d", *where)
    found = status(log)["masters"]["d"]
    assert (found["group"], found["address"]) == (GROUP, "http://10.0.0.4:80")
    assert found["by_command"] is True
    given(log, "master", "remove", "d")
    assert "d" not in status(log)["masters"]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("add", "d"), 2, "master add: expected --group and --address"),
        (("add",), 2, "master add: expected the name of a master, found none"),
        (("add", "d", "--group", "g", "--address", "10.0.0.4"), 2, "address: expected an URL"),
        (
            ("add", "4d", "--group", "g", "--address", "http://d:1"),
            2,
            "name: expected a name of at most 64 characters that starts with a letter",
        ),
        (
            ("add", "d", "--group", "g", "--address", "redis://d:1"),
            1,
            "refused: g probes by http: expected an address of http, found redis://d:1",
        ),
        (
            ("add", "d", "--group", "h", "--address", "http://d:1"),
            1,
            "refused: no group 'h': expected one of g",
        ),
        (("remove", "b"), 1, "refused: b of g is active: tanist master drain b"),
        (("remove", "z"), 1, "refused: no master 'z': expected one of a, b, c"),
        (("remove", "c", "--group", "g"), 2, "--group, --address and --region go with add"),
    ],
)
def test_what_cannot_be_done_with_a_master_is_one_line(
    log: Path, words: tuple[str, ...], code: int, said: str
) -> None:
    done = tanist("master", words[0], "--log", "x.db", *words[1:], cwd=log.parent)
    assert complaint(done, code).startswith(said)


def test_a_strategy_is_changed(log: Path) -> None:
    given(log, "strategy", "round-robin")
    assert status(log)["groups"][GROUP]["strategy"] == "round-robin"
    given(log, "strategy", GROUP, "priority")
    assert status(log)["groups"][GROUP]["strategy"] == "priority"
    said = complaint(tanist("strategy", "--log", "x.db", "luck", cwd=log.parent), 1)
    assert said.startswith("refused: expected one of ")
    assert "found none" in complaint(tanist("strategy", "--log", "x.db", cwd=log.parent), 2)


def test_a_maintenance_is_declared_before_during_and_afterwards_and_taken_back(log: Path) -> None:
    past = ("--from", "2025-01-01T00:00:00Z", "--to", "2025-01-01T01:00:00Z", "--reason", "disks")
    given(log, "maintenance", "add", "a", *past)
    recorded = given(log, "maintenance", "add", GROUP, "--from", "now", "--to", "2h")
    assert recorded.event.to_us - recorded.event.from_us == 2 * HOUR
    given(log, "maintenance", "add", "fleet", "--from", "2099-01-01T00:00:00Z", "--to", "1d")
    rows = answer("maintenance", "list", "--log", "x.db", cwd=log.parent)["maintenance"]
    assert [row["subject"] for row in rows] == ["a", GROUP, "fleet"]
    assert rows[0]["reason"] == "disks"
    given(log, "maintenance", "retract", "a", "--from", "2025-01-01T00:00:00Z")
    rows = answer("maintenance", "list", "--log", "x.db", "a", cwd=log.parent)["maintenance"]
    assert rows == []
    none = tanist("maintenance", "list", "--log", "x.db", "a", cwd=log.parent).stdout
    assert none == "no maintenance is declared\n"
    assert "fleet" in tanist("maintenance", "list", "--log", "x.db", cwd=log.parent).stdout


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (
            ("add", "a"),
            2,
            "maintenance add: expected SUBJECT, --from and --to, as in --from now",
        ),
        (("retract", "a"), 2, "maintenance retract: expected SUBJECT and --from"),
        (("add", "a", "--from", "noon", "--to", "2h"), 2, "--from: expected a time as "),
        (
            ("add", "a", "--from", "2026-01-02T00:00:00Z", "--to", "2026-01-01T00:00:00Z"),
            2,
            "--to: expected a time after 2026-01-02",
        ),
        (("add", "z", "--from", "now", "--to", "2h"), 1, "refused: no 'z': expected one of fleet"),
    ],
)
def test_a_maintenance_that_makes_no_sense_is_one_line(
    log: Path, words: tuple[str, ...], code: int, said: str
) -> None:
    done = tanist("maintenance", words[0], "--log", "x.db", *words[1:], cwd=log.parent)
    assert complaint(done, code).startswith(said)


# Apply.

FILE = """\
[engine]
preset = "bench"
[groups.g]
mode = "active-standby"
detect_within = "1s"
probe = {{ fall = {fall} }}
"""


def written(log: Path, *, fall: int = 1, names: str = "abc") -> Path:
    """Return a file that says what the story has, but for `fall` and the masters."""
    text = FILE.format(fall=fall)
    for number, name in enumerate(names, start=1):
        text += f'[[groups.g.masters]]\nid = "{name}"\naddress = "http://{name}:1"\n'
        text += f"priority = {number}\n"
    path = log.parent / "new.toml"
    path.write_text(text)
    return path


def test_what_changes_is_listed_key_by_key_and_then_adopted(log: Path) -> None:
    written(log, fall=3, names="abcd")
    found = answer("apply", "new.toml", "x.db", cwd=log.parent)
    changed = {(one["subject"], one["key"]): one for one in found["changes"]}
    fall = changed[GROUP, "probe.fall"]
    assert (fall["in_force"], fall["file"]) == (1, 3)
    assert changed["d", "master"]["file"] is True
    assert {"PolicyAdopted", "MasterAdded"} <= set(kinds(log)[-4:])
    again = tanist("apply", "new.toml", "x.db", cwd=log.parent)
    assert "nothing changes" in again.stdout
    assert "apply: accepted" in again.stdout


def test_people_see_settings_as_a_file_has_them(log: Path) -> None:
    file = written(log)
    file.write_text(file.read_text().replace("probe = {", 'probe = { slow = "5ms",'))
    before = tanist("config", "x.db", "--file", "new.toml", cwd=log.parent).stdout
    dry = tanist("apply", "new.toml", "x.db", "--dry-run", cwd=log.parent).stdout
    begun = str(answer("status", "x.db", cwd=log.parent)["seq"])
    assert tanist("apply", "new.toml", "x.db", cwd=log.parent).returncode == 0
    between = tanist("diff", "x.db", begun, cwd=log.parent).stdout
    for shown in (before, dry, between):
        assert re.search(r"probe\.slow +never +5ms", shown), shown
    assert re.search(r"probe\.interval +\d+ms ", before)


def test_a_file_that_drops_who_serves_is_refused_and_nothing_is_adopted(log: Path) -> None:
    written(log, names="ac")
    done = tanist("apply", "new.toml", "x.db", "--json", cwd=log.parent)
    assert done.returncode == 1
    assert json.loads(done.stdout)["reasons"] == ["master b of g is active"]
    assert kinds(log)[-1] == "Refused"


def test_a_dry_run_appends_nothing_and_decides_the_last_day_again(log: Path) -> None:
    written(log, fall=3)
    before = kinds(log)
    found = answer("apply", "new.toml", "x.db", "--dry-run", cwd=log.parent)
    assert (found["dry_run"], found["reasons"]) == (True, [])
    assert any(one["key"] == "probe.fall" for one in found["changes"])
    assert found["last_day"]["recorded"]["failovers"] == 1
    shown = tanist("apply", "new.toml", "x.db", "--dry-run", cwd=log.parent)
    assert "probe.fall" in shown.stdout
    written(log, names="ac")
    done = tanist("apply", "new.toml", "x.db", "--dry-run", cwd=log.parent)
    assert done.returncode == 1
    assert "refused: master b of g is active" in done.stderr
    assert kinds(log) == before


def test_a_file_that_is_none_is_one_line(log: Path) -> None:
    assert "new.toml" in complaint(tanist("apply", "new.toml", "x.db", cwd=log.parent), 2)
    (log.parent / "new.toml").write_text("[groups.g]\nmode = 1\n")
    assert tanist("apply", "new.toml", "x.db", cwd=log.parent).returncode == 2


# Going back, several groups at once.


def two_groups(tmp_path: Path) -> tuple[Path, int]:
    """Return a log of two groups that were switched over since a position; and that."""
    from tests.engine.core.test_rolling import two

    tale, position = two()
    path = tmp_path / "x.db"
    with open_log(path, mode="write", create=True) as opened:
        opened.append(tale.log)
    return path, position


def test_all_groups_go_back_at_once_also_at_rest(tmp_path: Path) -> None:
    path, position = two_groups(tmp_path)
    rehearsed = answer("rollback", "x.db", str(position), "--all", "--dry-run", cwd=tmp_path)
    assert [each["after"]["active"] for each in rehearsed["groups"]] == ["g1", "h1"]
    assert (
        "nothing was appended"
        in tanist("rollback", "x.db", str(position), "--all", "--dry-run", cwd=tmp_path).stdout
    )
    recorded = given(path, "rollback", str(position), "--all")
    assert [control.group for control in recorded.event.controls] == ["g", "h"]
    assert recorded.event.policy is not None
    found = status(path)["groups"]
    assert [found[name]["failover"]["to"] for name in "gh"] == ["g1", "h1"]
    assert answer("verify", "x.db", cwd=tmp_path)["ok"] is True


def test_named_groups_go_back_or_none_does(tmp_path: Path) -> None:
    path, position = two_groups(tmp_path)
    recorded = given(path, "rollback", str(position), "--group", "g", "--group", "h")
    assert recorded.event.policy is None
    again = tanist("rollback", "x.db", str(position), "--group", "g", "--group", "h", cwd=tmp_path)
    said = complaint(again, 1)
    assert "of g is open" in said
    assert "of h is open" in said
    words = ("rollback", "x.db", "2", "--group", "g", "--group", "z")
    assert "there was no group z at position 2" in complaint(tanist(*words, cwd=tmp_path), 2)
    both = ("rollback", "x.db", "2", "--group", "g", "--all")
    assert "found both" in complaint(tanist(*both, cwd=tmp_path), 2)


def test_a_rollback_of_several_whose_control_is_forged_does_not_verify(tmp_path: Path) -> None:
    import msgspec

    from tests.engine.core.test_rolling import back, two

    tale, position = two()
    taken = back(tale, position)
    event = taken[0].event
    assert isinstance(event, ev.FleetRollbackRequested)
    forged = msgspec.structs.replace(event, position=tale.state.seq - len(taken))
    log = [*tale.log[: -len(taken)], msgspec.structs.replace(taken[0], event=forged)]
    with open_log(tmp_path / "y.db", mode="write", create=True) as opened:
        opened.append(log)
    done = tanist("verify", "y.db", "--json", cwd=tmp_path)
    assert json.loads(done.stdout)["ok"] is False
