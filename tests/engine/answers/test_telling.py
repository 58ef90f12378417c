from engine.answers.telling import line, sentence
from engine.answers.words import moment
from engine.core import events as ev
from engine.core.events import FLEET, OBSERVATIONS, Evidence, Recorded
from engine.core.policy import preset
from tests.engine.answers.stories import BEGIN_US, GROUP, Story, failed_over

SILENT = (
    ev.ProbeOk,
    ev.ProbeDegraded,
    ev.ProbeFailed,
    ev.ConnectionClosed,
    ev.MessageAccepted,
    ev.MessageAcked,
    ev.MessagesAssigned,
    ev.MessageDone,
    ev.StateKept,
    ev.DeadlinePassed,
)


def recorded(event: ev.AnyEvent, subject: str = "a") -> Recorded:
    return Recorded(seq=7, at_us=BEGIN_US, subject=subject, cause=0, event=event)


def test_a_failover_is_told_from_the_verdict_to_its_end_and_nothing_else() -> None:
    story = failed_over()
    told = [
        (type(found.event).__name__, sentence(found))
        for found in story.log.read()
        if found.seq >= story.last(ev.MasterFailed) and sentence(found)
    ]
    started = story.last(ev.FailoverStarted)
    assert [said for kind, said in told if kind != "Outcome"] == [
        "a has failed: closed-then-refused (failures 2, fall 1, probes 4, blips 0, blip_max 0, "
        "verdicts 0)",
        f"failover {started} from a begins: failed",
        "the heir is b, under epoch 2",
        "a is fenced: epoch 1 revoked",
        "b gets the state that is kept (0 pieces)",
        "b confirmed the state and is promoted",
        "b was promoted and does real work",
        "b is active, under epoch 2",
        f"failover {started} is completed after 0 s",
    ]
    assert {said for kind, said in told if kind == "Outcome"} == {"fence of a: failed"}


def test_probes_and_messages_are_no_news() -> None:
    for found in failed_over().log.read():
        if isinstance(found.event, SILENT):
            assert line(found, GROUP) == ""


def test_a_line_has_the_time_the_group_and_the_seq_to_ask_about() -> None:
    failed = ev.MasterFailed(evidence=(), hard=False, rule="fall", figures=(("silent_us", 9_100),))
    said = "a has failed: fall (silent 9.1 ms)"
    assert line(recorded(failed), "g") == f"{moment(BEGIN_US)} g: {said} [why 7]"
    paused = ev.Paused(until_us=0, reason="x\x1b[31m", author="me")
    said = "paused until told otherwise: x?[31m (by me)"
    assert line(recorded(paused, FLEET), "") == f"{moment(BEGIN_US)} fleet: {said} [why 7]"


def test_a_proposal_says_who_in_place_of_whom_and_that_nothing_is_done() -> None:
    named = ev.FailoverProposed(why="failed", source="a", heir="b", table=())
    assert sentence(recorded(named, GROUP)) == (
        "would promote b in place of a (failed); it only observes"
    )
    first = ev.FailoverProposed(why="first", source="", heir="b", table=())
    assert sentence(recorded(first, GROUP)) == (
        "would promote b first (nobody is active); it only observes"
    )


def test_a_failover_that_waits_says_what_to_type() -> None:
    for waits in ("approval", "hold-down", "limit"):
        started = ev.FailoverStarted(
            id=7, why="failed", source="a", to="", planned=False, waits=waits, counts=True
        )
        said = sentence(recorded(started, GROUP))
        assert said.startswith("failover 7 from a begins: failed: ")
        assert "tanist approve g" in said


def test_commands_name_their_author_and_refusals_every_reason() -> None:
    for event in (
        ev.Paused(until_us=0, reason="racks", author="me"),
        ev.Resumed(author="me"),
        ev.Approved(author="me"),
        ev.Released(scope="fence", author="me"),
        ev.SwitchoverAsked(to="b", author="me"),
        ev.FailoverAsked(to="", author="me"),
        ev.CheckpointMarked(name="calm", author="me"),
        ev.MaintenanceDeclared(from_us=1, to_us=2, reason="racks", author="me"),
        ev.BodiesRemoved(digests=(b"d",), why="purge of k", author="me"),
    ):
        assert "(by me)" in sentence(recorded(event, GROUP))
    by_age = ev.BodiesRemoved(digests=(b"d",), why="keep_bodies")
    assert sentence(recorded(by_age, FLEET)) == ""
    refused = ev.Refused(what="switchover", reasons=("one", "two"))
    assert sentence(recorded(refused, GROUP)) == "switchover is refused: one; two"


def test_a_full_disk_says_how_much_is_left_and_what_is_left_out() -> None:
    short = ev.SpaceShort(left=12 << 20, reserve=64 << 20)
    assert sentence(recorded(short, FLEET)) == (
        "disk full: 12 of 64 MiB of the reserve left; "
        "good probes that change nothing are not recorded"
    )
    assert sentence(recorded(ev.SpaceReturned(reserve=64 << 20), FLEET)) == (
        "there is space again: 64 MiB of it in reserve, and every probe is recorded"
    )


def test_every_decision_is_news_but_for_what_serves_messages_and_traffic() -> None:
    story = Story(preset("zone"))
    story.probe(2)
    seen = {type(found.event): sentence(found) for found in story.log.read()}
    for log in (failed_over().log,):
        seen |= {type(found.event): sentence(found) for found in log.read()}
    mute = {kind for kind, said in seen.items() if not said and kind not in OBSERVATIONS}
    assert mute <= {ev.SwitchDone, ev.MessagesAssigned, ev.StateKept, ev.MessageDone}
    probe = ev.ProbeFailed(n=1, evidence=Evidence.REFUSED)
    assert sentence(recorded(probe)) == ""
