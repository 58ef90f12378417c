"""`verify`: what is wrong beside the events, and whether it is the log that it was."""

import json
from pathlib import Path
from typing import Any

import pytest

from engine.core import events as ev
from engine.core import state as st
from engine.core.replay import control_at, replay
from engine.core.state import FOLD_VERSION
from engine.log import open_log
from engine.log.connection import driver_connect
from engine.log.snapshots import pack
from engine.log.states import keep
from tests.engine.answers.stories import GROUP, Story, failed_over
from tests.engine.cli.shell import complaint, stored, tanist


@pytest.fixture
def story() -> Story:
    return failed_over()


@pytest.fixture
def log(story: Story, tmp_path: Path) -> Path:
    return stored(story.log, tmp_path / "x.db")


def change(path: Path, statement: str, *values: object) -> None:
    connection = driver_connect(path.as_uri())
    assert connection.execute(statement, values).rowcount != 0
    connection.commit()
    connection.close()


def found(path: Path, *words: str, code: int = 1) -> dict[str, Any]:
    done = tanist("verify", path.name, "--json", *words, cwd=path.parent)
    assert (done.returncode, done.stderr) == (code, "")
    answered: dict[str, Any] = json.loads(done.stdout)
    assert answered["ok"] is (code == 0)
    return answered


def test_the_head_that_is_printed_is_the_one_that_is_taken(log: Path) -> None:
    shown = tanist("verify", "x.db", cwd=log.parent).stdout
    head = shown.split()[-1]
    assert tanist("verify", "x.db", "--head", head, cwd=log.parent).returncode == 0
    seq, _, digest = head.partition(":")
    assert found(log, "--head", digest, code=0)["seq"] == int(seq)
    change(log, "DELETE FROM events WHERE seq = ?", int(seq))
    (problem,) = found(log, "--head", head)["problems"]
    assert (
        problem == f"the head that was kept is of event {seq}, and the log ends at {int(seq) - 1}"
    )


def test_a_log_that_nobody_could_write_any_more_is_none_that_fits(log: Path) -> None:
    change(log, "DELETE FROM meta")
    (problem,) = found(log)["problems"]
    assert problem.endswith("x.db: damaged: expected the epoch of its writer in the table meta")


def test_a_head_of_before_fits_the_log_that_grew(story: Story, log: Path) -> None:
    kept = found(log, code=0)
    story.probe(400)
    grown = stored(story.log, log.parent / "y.db")
    with open_log(grown, mode="write") as opened:
        assert opened.seal() == 1
    assert found(grown, "--head", f"{kept['seq']}:{kept['head'].upper()}", code=0)["ok"]


def test_a_log_that_was_changed_with_care_is_another_one(story: Story, log: Path) -> None:
    kept = found(log, code=0)
    other = Story()
    other.probe(3)
    other.kill("a")
    other.probe(90)
    replaced = stored(other.log, log.parent / "y.db")
    answered = found(replaced, "--head", f"{kept['seq']}:{kept['head']}", code=0)
    assert answered["seq"] > kept["seq"]
    forged = Story()
    forged.probe(4)
    forged.kill("b")
    forged.probe(90)
    replaced = stored(forged.log, log.parent / "z.db")
    assert found(replaced, code=0)["ok"]
    answered = found(replaced, "--head", f"{kept['seq']}:{kept['head']}")
    assert answered["first_bad"] is None
    (problem,) = answered["problems"]
    assert problem.startswith(f"the head that was kept of event {kept['seq']} is {kept['head']}, ")
    shown = tanist("verify", "z.db", "--head", f"{kept['seq']}:{kept['head']}", cwd=log.parent)
    assert (shown.returncode, shown.stdout.count("\n")) == (1, 2)


@pytest.mark.parametrize("head", ["", "x", "12", "12:ab", "-1:" + 64 * "0", "a:" + 64 * "0"])
def test_a_head_that_is_none_is_wrong_usage(head: str, log: Path) -> None:
    said = complaint(tanist("verify", "x.db", f"--head={head}", cwd=log.parent), 2)
    assert "expected SEQ:DIGEST" in said


def test_the_control_of_a_moment_without_an_active_master_fits(
    story: Story, tmp_path: Path
) -> None:
    position = story.last(ev.MasterFenced)
    before = replay(story.log.read(until=position))
    assert st.control_of(before.groups[GROUP]).assigned == "a"
    control = control_at(story.log.read(), GROUP, position=position)
    assert control is not None
    assert control.assigned == ""
    asked = ev.RollbackRequested(
        position=position, control=control, digest=st.control_digest(control), author="me"
    )
    story.see(asked, GROUP)
    assert found(stored(story.log, tmp_path / "y.db"), code=0)["problems"] == []


def test_snapshots_that_are_folds_fit_and_those_of_another_version_are_not_judged(
    story: Story, log: Path
) -> None:
    with open_log(log, mode="write") as opened:
        keep(opened, replay(opened.read(until=9)))
        keep(opened, replay(opened.read()))
        opened.snapshots.store(pack(5, b"?", fold_version=FOLD_VERSION + 1, policy_digest="?"))
    assert found(log, code=0)["digest"] == st.digest(story.state)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        ("UPDATE snapshots SET data = x'00' WHERE seq = 9", "snapshot at 9 is damaged"),
        ("UPDATE snapshots SET digest = 'x' WHERE seq = 9", "snapshot at 9 has another digest"),
        ("UPDATE snapshots SET seq = 8 WHERE seq = 9", "snapshot at 8 is not what"),
        ("UPDATE snapshots SET seq = 999 WHERE seq = 9", "snapshot at 999 is of no event"),
        ("UPDATE snapshots SET policy_digest = 'x' WHERE seq = 9", "snapshot at 9 is not what"),
    ],
)
def test_a_snapshot_that_does_not_fit_is_named_and_no_event_is(
    damage: str, says: str, log: Path
) -> None:
    with open_log(log, mode="write") as opened:
        keep(opened, replay(opened.read(until=9)))
        keep(opened, replay(opened.read(until=12)))
    change(log, damage)
    answered = found(log)
    (problem,) = answered["problems"]
    assert says in problem
    assert (answered["first_bad"], answered["digest"] is None) == (None, False)
    shown = tanist("verify", "x.db", cwd=log.parent)
    assert "no event is wrong" in shown.stdout


def test_what_no_log_may_show_is_named(tmp_path: Path) -> None:
    """Its rows and its fold are sound; but the rules that wrote it had a fault."""
    from engine.core.decider import decide
    from engine.simulation import Schedule, Setting, Turn, policy, run

    def half_hearted(step, event):  # type: ignore[no-untyped-def]
        decide(step, event)
        if isinstance(event, ev.SwitchoverAsked):
            step.emit(ev.StrategyChanged(strategy="priority"))

    turns = (Turn(kind="switchover", gap_us=50_000, subject="a"),)
    made = run(Schedule(setting=Setting(policy=policy()), turns=turns), decide=half_hearted)
    with open_log(tmp_path / "x.db", mode="write", create=True) as log:
        log.append(made.log, bodies=made.bodies)
    answered = found(tmp_path / "x.db")
    (problem,) = answered["problems"]
    assert problem.startswith(f"event {answered['first_bad']}: ")
    assert '"refusals stand alone" does not hold: StrategyChanged beside' in problem
