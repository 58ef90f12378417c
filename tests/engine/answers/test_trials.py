"""What an engine that only observed would have done, and what that was worth."""

import msgspec
import pytest

from engine.answers.trials import trial
from engine.core import events as ev
from engine.core.events import Evidence
from engine.core.policy import SECOND, Automation, preset
from engine.whatif.model import ASSUMED_US
from tests.engine.answers.stories import Story

WOULD_US = 3 * ASSUMED_US  # nothing was recorded of such steps


def observing() -> Story:
    story = Story(msgspec.structs.replace(preset("bench"), automation=Automation.OBSERVE))
    for _ in range(3):
        answers(story, "bc")
        active(story, "a")
    return story


def answers(story: Story, names: str) -> None:
    story.n += 1
    story.at_us += 10_000
    for name in names:
        story.see(ev.ProbeOk(n=story.n, latency_us=5, boot=name, role="standby"), name)


def active(story: Story, name: str) -> None:
    story.n += 1
    story.see(ev.ProbeOk(n=story.n, latency_us=5, boot=name, role="active"), name)


def hangs(story: Story) -> None:
    story.n += 1
    story.see(ev.ProbeFailed(n=story.n, evidence=Evidence.OVERDUE), "a")


def test_a_proposal_is_worth_the_time_until_somebody_served() -> None:
    story = observing()
    hangs(story)
    began_us = story.at_us
    for _ in range(2_000):
        answers(story, "bc")
    active(story, "a")
    found = trial(story.log)
    (row,) = found.rows
    assert (row.source, row.heir, row.why) == ("a", "b", "failed")
    assert row.down_us == story.at_us - began_us == 20 * SECOND
    assert (row.would_us, row.saved_us, row.cost_us) == (WOULD_US, 20 * SECOND - WOULD_US, 0)
    assert (row.by, row.answered_again_us, row.is_false) == ("a", 20 * SECOND, False)


@pytest.mark.parametrize(("within_us", "false"), [(10 * SECOND, 1), (9_999, 0)])
def test_one_that_was_not_needed_is_false_and_costs(within_us: int, false: int) -> None:
    story = observing()
    hangs(story)
    answers(story, "bc")
    active(story, "a")
    found = trial(story.log, false_within_us=within_us)
    assert (found.proposals, found.false) == (1, false)
    assert (found.saved_us, found.cost_us) == (0, WOULD_US - 10_000)


def test_whoever_was_promoted_by_hand_ends_the_outage() -> None:
    story = observing()
    hangs(story)
    for _ in range(100):
        answers(story, "bc")
    active(story, "b")
    answers(story, "c")
    found = trial(story.log)
    (row,) = found.rows
    assert (row.by, row.answered_again_us) == ("b", None)
    assert row.down_us == SECOND


def test_an_outage_that_lasts_is_counted_up_to_the_end() -> None:
    story = observing()
    hangs(story)
    for _ in range(100):
        answers(story, "bc")
    (row,) = trial(story.log).rows
    assert (row.served_again_at, row.by, row.down_us) == (None, "", SECOND)
    assert not row.is_false


def test_the_first_activation_is_no_proposal_of_a_failover() -> None:
    story = Story(msgspec.structs.replace(preset("bench"), automation=Automation.OBSERVE))
    for _ in range(200):
        answers(story, "abc")
    assert story.last(ev.FailoverProposed)
    assert trial(story.log).rows == ()
