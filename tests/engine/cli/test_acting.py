"""Commands to a log at rest, and to the engine that runs it."""

import contextlib
import getpass
import json
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import pytest

from engine.core import events as ev
from engine.core import state as st
from engine.core.policy import FenceKind, preset
from engine.core.replay import control_at, replay
from engine.log import open_log
from tests.engine.answers.stories import GROUP, Story, failed_over
from tests.engine.cli.shell import COMMAND, answer, complaint, environment, kinds, stored, tanist
from tests.engine.core.build import story as told
from tests.engine.real import Fleet, fleet

__all__ = ["fleet"]


@pytest.fixture
def story() -> Story:
    """Return the story in which b took over from a, which came back and rejoined."""
    tale = failed_over()
    tale.dead.clear()
    tale.probe(20)
    assert tale.state.groups[GROUP].masters["a"].fence is None
    return tale


@pytest.fixture
def log(story: Story, tmp_path: Path) -> Path:
    return stored(story.log, tmp_path / "x.db")


def last(path: Path) -> ev.Recorded:
    with open_log(path) as opened:
        return list(opened.read())[-1]


def status(path: Path) -> dict[str, Any]:
    return answer("status", str(path), cwd=path.parent)


def test_a_pause_at_rest_is_by_the_user_and_ends_by_itself(log: Path) -> None:
    found = answer("pause", "x.db", "--for", "2h", "--reason", "racks", cwd=log.parent)
    recorded = last(log)
    assert isinstance(recorded.event, ev.Paused)
    assert recorded.event.until_us == recorded.at_us + 7_200_000_000
    assert recorded.event.author == getpass.getuser()
    assert recorded.event.at_rest
    assert (found["seq"], found["at_rest"], found["owed"]) == (recorded.seq, True, [])
    assert status(log)["paused"]["reason"] == "racks"
    assert "PAUSED until" in tanist("status", "x.db", cwd=log.parent).stdout.splitlines()[0]
    answer("resume", "x.db", cwd=log.parent)
    assert status(log)["paused"] is None


def test_a_second_pause_says_what_it_takes_the_place_of(log: Path) -> None:
    assert answer("pause", "x.db", "--reason", "racks", cwd=log.parent)["replaced"] is None
    found = answer("pause", "x.db", "--for", "2h", "--reason", "disks", cwd=log.parent)
    assert found["replaced"] == {"until": None, "reason": "racks"}
    done = tanist("pause", "x.db", "--reason", "again", cwd=log.parent)
    assert "it takes the place of a pause until 2" in done.stdout
    assert ": disks" in done.stdout
    assert (
        "takes the place"
        not in tanist("pause", "x.db", "g", "--reason", "r", cwd=log.parent).stdout
    )


def test_a_resume_of_what_is_not_paused_says_that_nothing_changed(log: Path) -> None:
    answer("pause", "x.db", "--reason", "racks", cwd=log.parent)
    done = tanist("resume", "x.db", GROUP, cwd=log.parent)
    assert "resume: nothing changed, " in done.stdout
    assert "g was not paused; the whole fleet is: tanist resume ends that" in done.stdout
    assert answer("resume", "x.db", cwd=log.parent)["changed"] is True
    assert answer("resume", "x.db", cwd=log.parent)["changed"] is False
    answer("pause", "x.db", GROUP, "--reason", "racks", cwd=log.parent)
    done = tanist("resume", "x.db", cwd=log.parent)
    assert "the fleet was not paused; g is: tanist resume g ends that" in done.stdout


def test_a_pause_of_a_group_is_its_own(log: Path) -> None:
    answer("pause", "x.db", GROUP, "--reason", "racks", cwd=log.parent)
    assert status(log)["paused"] is None
    assert status(log)["groups"][GROUP]["paused"] == {"until": None, "reason": "racks"}


def test_a_switchover_at_rest_is_owed_to_the_next_run(log: Path, tmp_path: Path) -> None:
    done = tanist("switchover", "--log", "x.db", "--to", "a", cwd=tmp_path)
    assert done.returncode == 0
    assert "recorded, no engine runs on x.db: its effects are owed to the next" in done.stdout
    assert done.stderr == "tanist: owed to the next tanist run: preflight of a\n"
    failover = status(log)["groups"][GROUP]["failover"]
    assert (failover["why"], failover["source"], failover["to"]) == ("switchover", "b", "a")
    refused = complaint(tanist("switchover", "x.db", GROUP, cwd=tmp_path), 1)
    assert "is open" in refused


def test_waiting_for_a_log_at_rest_is_refused_and_nothing_is_written(log: Path) -> None:
    before = kinds(log)
    for command in ("switchover", "failover"):
        words = (command, "x.db", GROUP, "--to", "a", "--wait")
        said = complaint(tanist(*words, cwd=log.parent), 1)
        assert "no engine runs on x.db, so there is nothing to wait for" in said
    assert kinds(log) == before


def test_a_switch_to_who_serves_is_refused_in_plain_words(story: Story, log: Path) -> None:
    epoch = story.state.groups[GROUP].masters["b"].epoch
    for command in ("switchover", "failover"):
        said = complaint(tanist(command, "x.db", GROUP, "--to", "b", cwd=log.parent), 1)
        assert said == f"refused: b is already active (epoch {epoch})"
    answer("switchover", "x.db", GROUP, "--to", "a", cwd=log.parent)
    said = complaint(tanist("switchover", "x.db", GROUP, "--to", "b", cwd=log.parent), 1)
    assert "is open" in said


def test_a_forced_failover_at_rest_takes_its_first_steps(log: Path) -> None:
    found = answer("failover", "x.db", GROUP, "--to", "c", cwd=log.parent)
    assert {"step": "transfer", "master": "c"}.items() <= found["owed"][0].items()
    assert "b" in {owed["master"] for owed in found["owed"] if owed["step"] == "fence"}


def test_a_refused_command_leaves_the_request_and_its_refusal(log: Path, tmp_path: Path) -> None:
    before = len(kinds(log))
    said = complaint(tanist("switchover", "x.db", GROUP, "--to", "zz", cwd=tmp_path), 1)
    assert "zz is no master of g" in said
    added = [kind for kind in kinds(log, after=before) if kind not in STALE]
    assert added == ["SwitchoverAsked", "Refused"]
    assert tanist("verify", "x.db", cwd=tmp_path).returncode == 0
    done = tanist("switchover", "x.db", GROUP, "--to", "zz", "--json", cwd=tmp_path)
    found = json.loads(done.stdout)
    assert (done.returncode, found["accepted"]) == (1, False)
    assert "zz is no master of g" in found["reasons"][0]


STALE = ("DeadlinePassed", "MasterUnknown")  # silence since the story was told


def test_every_reason_of_a_refusal_is_in_its_one_line(story: Story, tmp_path: Path) -> None:
    for name in ("a", "c"):
        story.see(ev.ExclusionAsked(excluded=True, reason="old", author="me"), name)
    stored(story.log, tmp_path / "y.db")
    said = complaint(tanist("switchover", "y.db", GROUP, cwd=tmp_path), 1)
    assert all(reason in said for reason in ("a: excluded", "b: serving", "c: excluded"))


def test_a_group_that_does_not_exist_is_refused_and_nothing_is_written(
    log: Path, tmp_path: Path
) -> None:
    before = kinds(log)
    for words in (
        ("pause", "x.db", "h", "--reason", "r"),
        ("approve", "x.db", "h"),
        ("failover", "x.db", "h"),
        ("rollback", "x.db", "5", "--group", "h"),
    ):
        assert "no group 'h': expected one of g" in complaint(tanist(*words, cwd=tmp_path), 1)
    assert kinds(log) == before


def test_an_approval_lets_a_waiting_failover_go(tmp_path: Path) -> None:
    story = Story(preset("zone"))
    story.probe(2)
    path = stored(story.log, tmp_path / "x.db")
    assert "no failover of g waits" in complaint(tanist("approve", "x.db", cwd=tmp_path), 1)
    assert kinds(path)[-2:] == ["Approved", "Refused"]


def test_a_checkpoint_is_a_position_and_its_name_is_never_used_twice(
    log: Path, tmp_path: Path
) -> None:
    found = answer("checkpoint", "x.db", "calm", cwd=tmp_path)
    assert answer("replay", "x.db", "--to", "calm", cwd=tmp_path)["seq"] == found["seq"]
    assert "is taken" in complaint(tanist("checkpoint", "x.db", "calm", cwd=tmp_path), 1)
    assert "starts with a letter" in complaint(tanist("checkpoint", "x.db", "1st", cwd=tmp_path), 1)


def test_a_rollback_carries_the_control_that_the_position_gives(
    story: Story, log: Path, tmp_path: Path
) -> None:
    position = story.last(ev.MasterFailed) - 1
    rehearsed = answer("rollback", "x.db", str(position), "--dry-run", cwd=tmp_path)
    assert (rehearsed["before"]["active"], rehearsed["after"]["active"]) == ("b", "a")
    assert kinds(log) == kinds(stored(story.log, tmp_path / "copy.db"))
    found = answer("rollback", "x.db", str(position), "--group", GROUP, cwd=tmp_path)
    with open_log(log) as opened:
        requested = next(opened.read(found["seq"] - 1)).event
        control = control_at(opened.read(), GROUP, position=position)
    assert isinstance(requested, ev.RollbackRequested)
    assert (requested.control, requested.position) == (control, position)
    assert control is not None
    assert requested.digest == st.control_digest(control)
    assert found["owed"][0]["step"] == "preflight"
    assert status(log)["groups"][GROUP]["rollback"] is not None
    assert answer("verify", "x.db", cwd=tmp_path)["ok"] is True


def test_a_rollback_whose_control_is_not_the_positions_does_not_verify(
    story: Story, tmp_path: Path
) -> None:
    position = story.last(ev.MasterFailed) - 1
    control = control_at(story.log.read(), GROUP, position=story.log.head.seq)
    assert control is not None
    forged = ev.RollbackRequested(
        position=position, control=control, digest=st.control_digest(control), author="me"
    )
    seq = story.see(forged, GROUP)
    stored(story.log, tmp_path / "y.db")
    done = tanist("verify", "y.db", "--json", cwd=tmp_path)
    found = json.loads(done.stdout)
    assert (done.returncode, found["ok"], found["first_bad"]) == (1, False, seq)
    assert f"position {position}" in found["problems"][0]


def test_a_rollback_to_what_is_says_that_nothing_changed(story: Story, log: Path) -> None:
    position = str(story.state.seq)
    done = tanist("rollback", "x.db", position, cwd=log.parent)
    assert "rollback: nothing changed, event " in done.stdout
    assert f"it was as at position {position} already, b active" in done.stdout
    assert answer("rollback", "x.db", position, cwd=log.parent)["changed"] is False


def test_a_rollback_to_nobody_is_refused_with_its_reason(log: Path, tmp_path: Path) -> None:
    said = complaint(tanist("rollback", "x.db", "6", "--dry-run", cwd=tmp_path), 1)
    assert "had no active master at position 6" in said


def test_a_log_that_another_process_writes_is_exit_3(log: Path, tmp_path: Path) -> None:
    before = kinds(log)
    with open_log(log, mode="write"):
        for words in (
            ("pause", "x.db", "--reason", "r"),
            ("failover", "x.db"),
            ("checkpoint", "x.db", "n"),
        ):
            said = complaint(tanist(*words, cwd=tmp_path), 3)
            assert "is being written by process" in said
    assert kinds(log) == before


CONFIGURATION = """\
[engine]
log = "live.db"
listen = "127.0.0.1:0"
preset = "bench"
[groups.g]
mode = "active-standby"
automation = "observe"
[[groups.g.masters]]
id = "a"
address = "http://127.0.0.1:9"
[[groups.g.masters]]
id = "b"
address = "http://127.0.0.1:19"
"""


@pytest.fixture
def engine(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """Yield a running engine whose masters refuse every connection."""
    (tmp_path / "tanist.toml").write_text(CONFIGURATION)
    with subprocess.Popen(
        [*COMMAND, "run", "tanist.toml"],
        cwd=tmp_path,
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stderr is not None
        line = running.stderr.readline()
        assert "watching g" in line, line
        yield running
        running.send_signal(signal.SIGTERM)
        assert running.wait(60) == 0


@pytest.mark.usefixtures("engine")
def test_commands_go_to_the_engine_that_runs_the_log(tmp_path: Path) -> None:
    paused = answer("pause", "g", "--reason", "racks", cwd=tmp_path)
    assert paused["at_rest"] is False
    url = json.loads((tmp_path / "live.db.engine.json").read_text())["url"]
    by_file = answer("status", cwd=tmp_path)
    by_engine = answer("status", url, cwd=tmp_path)
    for found in (by_file, by_engine):
        assert found["groups"]["g"]["paused"] == {"until": None, "reason": "racks"}
        assert found["seq"] >= paused["seq"]
    marked = answer("checkpoint", "live.db", "calm", cwd=tmp_path)
    token = (tmp_path / "tanist.token").read_text().strip()
    resumed = answer(
        "resume", "g", cwd=tmp_path, env=environment(TANIST_URL=url, TANIST_TOKEN=token)
    )
    assert resumed["seq"] > marked["seq"]
    done = tanist("events", url, "--json", "--since", str(paused["seq"]), cwd=tmp_path)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert rows[0]["kind"] == "Paused"
    assert rows[0]["data"]["author"] == getpass.getuser()
    ours = tanist("events", "--json", "--since", str(paused["seq"]), cwd=tmp_path)
    assert ours.stdout.splitlines()[: len(rows)] == done.stdout.splitlines()


@pytest.mark.usefixtures("engine")
def test_an_engine_refuses_as_a_log_at_rest_does(tmp_path: Path) -> None:
    for words, code, says in (
        (("switchover", "g"), 1, "no active master"),
        (("failover", "h"), 1, "no group 'h'"),
        (("rollback", "4"), 1, "had no active master at position 4"),
        (("rollback", "nowhere"), 2, "no checkpoint 'nowhere'"),
    ):
        assert says in complaint(tanist(*words, cwd=tmp_path), code)
    strange = environment(TANIST_TOKEN="not-the-token-at-all")
    said = complaint(tanist("resume", cwd=tmp_path, env=strange), 2)
    assert "401" in said
    assert said.endswith("(in $TANIST_TOKEN)")
    other = complaint(tanist("run", "tanist.toml", cwd=tmp_path), 3)
    assert "is being written by process" in other
    with open_log(tmp_path / "live.db") as log:
        assert replay(log.read()).groups["g"].pause_until_us == 0


def test_an_engine_that_is_gone_and_whose_number_somebody_has_holds_up_no_command(
    log: Path,
) -> None:
    left = {"url": "http://127.0.0.1:9", "pid": os.getpid()}
    (log.parent / "x.db.engine.json").write_text(json.dumps(left))
    found = answer("pause", "x.db", "--reason", "racks", cwd=log.parent)
    assert found["at_rest"] is True
    assert isinstance(last(log).event, ev.Paused)
    with open_log(log, mode="write"):  # who has the lock is asked, and nobody answers there
        said = complaint(tanist("resume", "x.db", cwd=log.parent), 3)
    assert said.startswith("the engine at http://127.0.0.1:9 does not answer")
    assert isinstance(last(log).event, ev.Paused)


@contextlib.contextmanager
def serving(
    directory: Path, addresses: Mapping[str, str], *, listen: str = "127.0.0.1:0"
) -> Iterator[IO[str]]:
    """Run an engine that acts on masters that are there; yield what it says."""
    lines = [f'[engine]\nlog = "t.db"\nlisten = "{listen}"\n[groups.g]\npreset = "lan"']
    lines += ['mode = "active-standby"\nautomation = "auto"']
    for name, address in addresses.items():
        lines.append(f'[[groups.g.masters]]\nid = "{name}"\naddress = "{address}"')
    (directory / "tanist.toml").write_text("\n".join(lines))
    with subprocess.Popen(
        [*COMMAND, "run", "tanist.toml"],
        cwd=directory,
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        try:
            assert running.stderr is not None
            yield running.stderr
            running.send_signal(signal.SIGTERM)
            assert running.wait() == 0
        finally:
            running.kill()


def until(lines: IO[str], word: str) -> None:
    """Read lines up to the one that has `word`."""
    while word not in (line := lines.readline()):
        assert line


def test_waiting_says_who_is_active_then_and_how_long_it_took(fleet: Fleet, tmp_path: Path) -> None:
    with serving(tmp_path, fleet.addresses) as said:
        until(said, "is completed")
        (first,) = answer("status", cwd=tmp_path)["groups"]["g"]["active"]
        found = answer("switchover", "--wait", cwd=tmp_path)
        (second,) = found["active"]
        now = answer("status", cwd=tmp_path)
        assert now["groups"]["g"]["active"] == [second] != [first]
        assert found["epoch"] == now["masters"][second]["epoch"]
        assert found["took_us"] > 0


def test_a_running_engine_says_what_a_command_did_not_change(fleet: Fleet, tmp_path: Path) -> None:
    with serving(tmp_path, fleet.addresses) as said:
        until(said, "is completed")
        now = answer("status", cwd=tmp_path)
        (active,) = now["groups"]["g"]["active"]
        epoch = now["masters"][active]["epoch"]
        refused = complaint(tanist("switchover", "g", "--to", active, cwd=tmp_path), 1)
        assert refused == f"refused: {active} is already active (epoch {epoch})"
        position = str(now["seq"])
        back = answer("rollback", position, cwd=tmp_path)
        assert (back["changed"], back["active"], back["epoch"]) == (False, [active], epoch)
        shown = tanist("rollback", position, cwd=tmp_path).stdout
        assert f"it was as at position {position} already, {active} active" in shown
        assert answer("resume", cwd=tmp_path)["changed"] is False
        answer("pause", "--reason", "racks", cwd=tmp_path)
        replaced = answer("pause", "--reason", "disks", cwd=tmp_path)["replaced"]
        assert replaced == {"until": None, "reason": "racks"}


def test_beyond_loopback_looking_needs_the_token_which_the_command_finds(tmp_path: Path) -> None:
    with serving(tmp_path, {"a": "http://127.0.0.1:9"}, listen="0.0.0.0:0") as said:
        url = said.readline().split()[-1]
        assert answer("status", cwd=tmp_path)["engine"]["url"] == url
        assert answer("pause", "--reason", "racks", cwd=tmp_path)["at_rest"] is False
        done = tanist("events", url, "--json", cwd=tmp_path)
        assert done.returncode == 0
        (tmp_path / "elsewhere").mkdir()
        for command in ("status", "events"):
            refused = complaint(tanist(command, url, cwd=tmp_path / "elsewhere"), 2)
            assert "401" in refused


def test_a_fence_that_a_person_vouches_for_is_released_also_at_rest(tmp_path: Path) -> None:
    tale = told(fence=FenceKind.CONFIRMED, effects="http", unknown_after_us=0)
    tale.crashes("a")
    path = tmp_path / "x.db"
    with open_log(path, mode="write", create=True) as log:
        log.append(tale.log)
    said = complaint(tanist("failover", "x.db", "g", "--to", "c", cwd=tmp_path), 1)
    assert "waits until a confirms its fence: release a, if it cannot act any more" in said
    assert "no group 'zz'" in complaint(tanist("release", "x.db", "zz", cwd=tmp_path), 1)
    assert "a confirms its fence" in complaint(tanist("release", "x.db", "g", cwd=tmp_path), 1)
    found = answer("release", "x.db", "a", cwd=tmp_path)
    assert (found["accepted"], found["at_rest"]) == (True, True)
    assert "FenceConfirmed" in kinds(path)
    assert "no unconfirmed fence" in complaint(tanist("release", "x.db", "a", cwd=tmp_path), 1)
