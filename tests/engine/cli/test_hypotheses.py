"""Questions to a log: what would have been decided, as the command answers them."""

from pathlib import Path

import msgspec
import pytest

from engine.answers.hypotheses import rehearsed
from engine.config import load
from engine.core import events as ev
from engine.core.events import Evidence, Recorded
from engine.core.policy import GroupPolicy, preset
from engine.log import open_log
from engine.whatif.given import is_input
from tests.engine.answers.stories import Story, failed_over
from tests.engine.answers.test_trials import active, answers, hangs, observing
from tests.engine.cli.shell import answer, complaint, stored, tanist
from tests.engine.log.thinned import drop, thin, world


def hung(*, rounds: int = 2, policy: GroupPolicy | None = None) -> Story:
    """Return the story in which a does not answer a few probes in a row, and b takes over."""
    story = Story(policy or preset("bench"))
    story.probe(3)
    for _ in range(rounds):
        story.n += 1
        story.at_us += 50_000
        for name in "bc":
            story.see(
                ev.ProbeOk(n=story.n, latency_us=5, boot=name, epoch=story.epochs[name]), name
            )
        overdue = ev.ProbeFailed(n=story.n, evidence=Evidence.OVERDUE, waited_us=50_000)
        story.see(overdue, "a")
    story.probe(3)
    return story


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return stored(hung().log, tmp_path / "x.db")


def test_the_recorded_policy_gives_the_recorded_log(log: Path) -> None:
    found = answer("whatif", "x.db", cwd=log.parent)
    assert found["diverged_at"] is None
    assert found["recorded"] == found["whatif"]
    assert found["whatif"]["digest"] == answer("replay", "x.db", cwd=log.parent)["digest"]
    assert (found["differences"], found["release_differs"]) == ([], False)
    assert found["says"] == "under the recorded policy this release decides the same"


def test_a_patient_policy_is_told_in_one_sentence(log: Path) -> None:
    found = answer("whatif", "x.db", "--set", "probe.fall=3", cwd=log.parent)
    assert (found["recorded"]["failovers"], found["whatif"]["failovers"]) == (1, 0)
    assert found["says"] == (
        "probe.fall=3: no failover; g down 60 ms instead of 0 s; "
        "detection 160 ms, breaks detect_within 120 ms"
    )
    (difference,) = found["differences"]
    said = [one["says"] for one in difference["recorded"]]
    assert any("a has failed" in one for one in said)
    assert difference["whatif"] == []


def test_people_see_both_timelines_side_by_side(log: Path) -> None:
    done = tanist("whatif", "x.db", "--set", "probe.fall=3", cwd=log.parent)
    assert done.returncode == 0
    for said in ("recorded", "what if", "a has failed", "failovers", "they part at event"):
        assert said in done.stdout, said


def test_what_an_observation_brought_about_is_asked_by_leaving_it_out(log: Path) -> None:
    seq = hung().last(ev.MasterFailed)
    said = complaint(tanist("whatif", "x.db", "--skip", str(seq), cwd=log.parent), 2)
    assert f"event {seq} (MasterFailed) is derived again" in said
    overdue = next(one.seq for one in hung().log.read() if isinstance(one.event, ev.ProbeFailed))
    found = answer("whatif", "x.db", "--skip", str(overdue), cwd=log.parent)
    assert found["diverged_at"] == overdue
    assert found["says"].startswith(f"without event {overdue}: ")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--set", "probe.interval=5s"), "probe.interval of g changes what is observed"),
        (("--set", "probe.timeout=5s"), "expected less than what was recorded"),
        (("--set", "effects.kind=none"), "tanist simulate can"),
        (("--set", "probe.fal=5"), "probe.fal"),
        (("--set", "probe.fall"), "expected KEY=VALUE"),
        (("--skip", "99999"), "no event 99999 in the log"),
        (("--false-within", "soon"), "--false-within: expected a duration"),
        (("--policy", "there-is-none.toml"), "there-is-none.toml"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_one_line(
    words: tuple[str, ...], says: str, log: Path
) -> None:
    assert says in complaint(tanist("whatif", "x.db", *words, cwd=log.parent), 2)


def test_a_default_that_would_follow_what_is_asked_is_left_as_it_was(log: Path) -> None:
    found = answer("whatif", "x.db", "--set", "failover.deadline=10s", cwd=log.parent)
    assert found["kept"] == ["failover.step_timeout", "messages.deliver_timeout"]


def test_the_policy_of_a_file_is_asked_about(log: Path) -> None:
    written = log.parent / "p.toml"
    written.write_text(
        '[groups.any]\nmode = "active-standby"\npreset = "bench"\nprobe = { fall = 3 }\n'
    )
    found = answer("whatif", "x.db", "--policy", "p.toml", cwd=log.parent)
    assert found["whatif"]["failovers"] == 0
    assert found["says"].startswith("the policy of the file: no failover")


def test_a_new_policy_is_rehearsed_as_far_as_the_log_can_tell(log: Path) -> None:
    written = log.parent / "p.toml"
    written.write_text(
        '[groups.g]\nmode = "active-standby"\npreset = "bench"\n'
        'probe = { fall = 3, interval = "20ms" }\n'
    )
    with open_log(log) as opened:
        found = rehearsed(opened, load(written, masters_needed=False).policy)
    assert found["kept"] == ["probe.interval"]
    assert "no failover" in str(found["says"])


def test_a_log_that_another_release_decided_says_so(tmp_path: Path) -> None:
    events = list(failed_over().log.read())
    # Some release had another rule: it ended the log with a verdict of its own.
    last = events[-1]
    odd = Recorded(
        seq=last.seq + 1,
        at_us=last.at_us,
        subject="c",
        cause=last.seq,
        event=ev.MasterUnknown(rule="mood"),
    )
    with open_log(tmp_path / "x.db", mode="write", create=True) as file:
        file.append([*events, odd])
    done = tanist("whatif", "x.db", cwd=tmp_path)
    assert done.returncode == 1
    assert f"this release decides otherwise from event {odd.seq} on" in done.stdout


def test_after_observations_were_dropped_the_answer_begins_later(tmp_path: Path) -> None:
    events = world()
    while not is_input(events[-1]):  # an engine appends an observation with all that followed
        events = events[:-1]
    path = tmp_path / "x.db"
    with open_log(path, mode="write", create=True) as log:
        log.append(events[:-1])
        log.seal(blocks_max=99)
        drop(log, 4_000)
        thin(log)
        head = log.head.seq
    found = answer("whatif", "x.db", cwd=tmp_path)
    assert found["diverged_at"] is None
    assert found["events"] == head - 4_000


def test_tune_prints_a_curve_and_writes_its_picture(log: Path) -> None:
    done = tanist(
        "tune", "x.db", "x.db", "--set", "probe.fall=1..3", "--svg", "c.svg", cwd=log.parent
    )
    assert done.returncode == 0
    for said in ("probe.fall", "mean detection", "of them false", "2 logs"):
        assert said in done.stdout, said
    assert (log.parent / "c.svg").read_text().startswith("<svg ")
    found = answer("tune", "x.db", "--set", "probe.fall=1..3", cwd=log.parent)
    assert [point["failovers"] for point in found["points"]] == [1, 1, 0]
    assert (found["never_more"], found["never_earlier"]) == (True, True)


def test_tune_refuses_what_a_log_cannot_answer(log: Path) -> None:
    words = ("tune", "x.db", "--set", "probe.interval=1s,2s")
    assert "changes what is observed" in complaint(tanist(*words, cwd=log.parent), 2)
    assert "found 0" in complaint(tanist("tune", "x.db", cwd=log.parent), 2)


def test_trial_of_nothing_is_one_line(tmp_path: Path) -> None:
    stored(failed_over().log, tmp_path / "x.db")
    done = tanist("trial", "x.db", cwd=tmp_path)
    none = "0 proposals, 0 of them false; they would have saved 0 s and cost 0 s\n"
    assert done.stdout == none


def test_trial_sums_up_what_was_proposed(tmp_path: Path) -> None:
    story = observing()
    hangs(story)
    answers(story, "bc")
    active(story, "a")
    stored(story.log, tmp_path / "x.db")
    found = answer("trial", "x.db", cwd=tmp_path)
    assert (found["proposals"], found["false"]) == (1, 1)
    done = tanist("trial", "x.db", "--false-within", "1ms", cwd=tmp_path)
    assert "1 proposal, 0 of them false" in done.stdout


def test_a_release_is_checked_against_what_was_recorded(log: Path, tmp_path: Path) -> None:
    assert answer("replay", "x.db", "--check-release", cwd=log.parent)["count"] == 0
    events = list(failed_over().log.read())
    odd = Recorded(
        seq=events[-1].seq + 1,
        at_us=events[-1].at_us,
        subject="c",
        cause=events[-1].seq,
        event=ev.MasterUnknown(rule="mood"),
    )
    with open_log(tmp_path / "odd.db", mode="write", create=True) as file:
        file.append([*events, odd])
    done = tanist("replay", "odd.db", "--check-release", cwd=tmp_path)
    assert done.returncode == 1
    assert "the log has MasterUnknown c; this release decides nothing" in done.stdout
    words = ("replay", "odd.db", "--check-release", "--to", "3")
    assert "leave out --to" in complaint(tanist(*words, cwd=tmp_path), 2)


def test_the_smallest_change_that_avoids_a_failover_is_found(log: Path) -> None:
    found = answer("whatif", "x.db", "--bisect", "probe.fall=1..50", cwd=log.parent)
    assert (found["key"], found["recorded"], found["had"]) == ("probe.fall", "1", 1)
    assert (found["value"], found["has"]) == ("3", 0)  # a missed two probes in a row
    tries = {one["value"]: one["failovers"] for one in found["tries"]}
    assert tries["2"] == 1
    assert len(tries) <= 8
    done = tanist("whatif", "x.db", "--bisect", "probe.fall=1..50", cwd=log.parent)
    assert "probe.fall=3 is the smallest change that would have avoided" in done.stdout


def test_the_smallest_change_that_causes_a_failover_is_found(tmp_path: Path) -> None:
    policy = msgspec.structs.replace(preset("bench"), detect_within_us=10_000_000)
    probe = msgspec.structs.replace(policy.probe, fall=9)
    stored(hung(policy=msgspec.structs.replace(policy, probe=probe)).log, tmp_path / "x.db")
    found = answer("whatif", "x.db", "--bisect", "probe.fall=1..20", cwd=tmp_path)
    assert (found["recorded"], found["had"], found["value"], found["has"]) == ("9", 0, "2", 1)


def test_a_range_in_which_nothing_turns_is_a_no(log: Path) -> None:
    done = tanist("whatif", "x.db", "--bisect", "failover.hold_down=0s..1s", cwd=log.parent)
    assert done.returncode == 1
    assert "no value of failover.hold_down in 0s..1s avoids the failover" in done.stdout


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ("probe.fall", "expected KEY=LOW..HIGH"),
        ("probe.fall=9..1", "expected a range as"),
        ("probe.fall=1..2s", "expected a range as"),
        ("probe.fall=one..two", "expected a count or a duration"),
        ("automation=1..2", "expected a setting with a number"),
        ("probe.timeout=1s..2s", "expected less than what was recorded"),
    ],
)
def test_what_is_no_range_is_refused(asked: str, says: str, log: Path) -> None:
    done = tanist("whatif", "x.db", "--bisect", asked, cwd=log.parent)
    assert says in complaint(done, 2)
    both = tanist("whatif", "x.db", "--bisect", asked, "--set", "probe.rise=1", cwd=log.parent)
    assert "--bisect changes one setting" in complaint(both, 2)
