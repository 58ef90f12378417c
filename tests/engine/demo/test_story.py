from engine.core import events as ev
from engine.core.events import Recorded
from engine.demo.story import Story

FAILED = ev.MasterFailed(evidence=(1,), hard=True, rule="refused-twice")
FENCED = ev.MasterFenced(
    revokes=5, confirm_at=6, requeued=3, first=1, last=3, digest="", reason="failed"
)


def batch(*events: tuple[str, ev.AnyEvent], seq: int = 10, cause: int = 0) -> tuple[Recorded, ...]:
    return tuple(
        Recorded(seq=seq + place, at_us=0, subject=subject, cause=cause, event=event)
        for place, (subject, event) in enumerate(events)
    )


def test_before_the_strike_nothing_is_told() -> None:
    story = Story()
    story.published(batch(("a", FAILED), ("b", ev.Switched(epoch=6))), 1_000)
    assert (story.lines, story.failed, story.switched) == ([], None, None)
    assert (story.detect_us, story.failover_us) == (None, None)


def test_detection_runs_from_the_strike_and_the_failover_from_the_decision() -> None:
    story = Story()
    story.strike(1_000, "a is struck")
    story.published(batch(("a", FAILED), ("a", FENCED)), 1_700)
    assert (story.detect_us, story.failover_us) == (700, None)
    story.published(batch(("b", ev.Switched(epoch=6)), seq=20), 2_900)
    assert (story.detect_us, story.failover_us) == (700, 1_200)
    assert story.lines == [
        (0, "a is struck"),
        (700, "a has failed: refused-twice (event 10)"),
        (700, "a is fenced: epoch 5 revoked, 3 messages back in the queue"),
        (1_900, "b is active, under epoch 6"),
    ]


def test_only_the_first_failure_and_the_first_switch_count() -> None:
    story = Story()
    story.strike(1, "a is struck")
    story.published(batch(("a", FAILED)), 10)
    story.published(batch(("c", FAILED), seq=11), 20)
    story.published(batch(("b", ev.Switched(epoch=6)), seq=12), 30)
    story.published(batch(("c", ev.Switched(epoch=7)), seq=13), 40)
    assert (story.detect_us, story.failover_us) == (9, 20)


def test_an_acknowledgement_that_finishes_nothing_is_one_that_was_refused() -> None:
    story = Story()
    story.strike(1, "a is struck")
    acked = batch(("a", ev.MessageAcked(key="m", epoch=5)), seq=30)
    done = batch(("g", ev.MessageDone(key="m")), seq=31, cause=30)
    story.published(acked + done, 2)
    assert story.refused_late == 0
    story.published(batch(("a", ev.MessageAcked(key="m", epoch=5)), seq=32), 3)
    assert story.refused_late == 1


def test_every_step_of_a_failover_is_a_line() -> None:
    story = Story()
    story.strike(1, "a is struck")
    story.published(
        batch(
            ("g", ev.AttemptStarted(n=1, heir="b", epoch=6, table=())),
            ("b", ev.PromotionStarted(epoch=6, digest="")),
            ("b", ev.VerificationStarted()),
            ("a", ev.MasterRejoined(epoch=6)),
            ("a", ev.ProbeOk(n=1, latency_us=1)),
        ),
        2,
    )
    assert [what for _, what in story.lines[1:]] == [
        "the heir is b, under epoch 6",
        "b confirmed the state and is promoted",
        "b was promoted and does real work",
        "a confirmed epoch 6 and stands by",
    ]


def test_a_master_that_is_slow_is_found_out_and_counted() -> None:
    story = Story()
    story.strike(1_000, "a is slow")
    slow = ev.MasterDegraded(evidence=(1,), rule="slow")
    story.published(batch(("a", slow)), 1_400)
    story.published(batch(("a", ev.MasterHealthy(evidence=(2,), rule="rise")), seq=20), 1_500)
    story.published(batch(("a", slow), seq=30), 1_600)
    assert (story.detect_us, story.failover_us) == (400, None)
    assert story.found is not None
    assert story.found.seq == 10
    assert dict(story.concluded) == {"degraded": 2, "healthy": 1}
    assert len(story.lines) == 2  # the strike, and the first time


def test_the_first_verdict_counts_whichever_it_is() -> None:
    story = Story()
    story.strike(1_000, "a is slow, then gone")
    slow = ev.MasterDegraded(evidence=(1,), rule="slow")
    story.published(batch(("a", slow), ("a", FAILED), ("b", ev.Switched(epoch=6))), 1_700)
    assert story.found is not None
    assert isinstance(story.found.event, ev.MasterDegraded)
    assert (story.detect_us, story.failover_us) == (700, 0)
