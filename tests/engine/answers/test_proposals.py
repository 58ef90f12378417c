from typing import Any

from engine.answers.proposals import in_log, with_proposals
from engine.answers.status import status
from engine.answers.times import iso
from engine.core import events as ev
from engine.core.policy import preset
from tests.engine.answers.stories import GROUP, Story, failed_over


def proposal(story: Story) -> dict[str, Any] | None:
    found = with_proposals(status(story.state), in_log(story.log))
    newest: dict[str, Any] | None = found["groups"][GROUP]["proposal"]
    return newest


def observed() -> Story:
    """Return the story of an engine that only observes how a serves."""
    story = Story(preset("zone"))
    story.probe(2)
    story.n += 1
    story.see(ev.ProbeOk(n=story.n, latency_us=1, boot="a", epoch=1, role="active"), "a")
    story.epochs["a"] = 1
    return story


def test_a_group_that_acts_has_no_proposal() -> None:
    assert proposal(failed_over()) is None


def test_the_newest_proposal_is_found_with_its_time_until_another_is_active() -> None:
    story = observed()
    assert proposal(story) is None
    story.kill("a")
    story.probe(3)
    seq = story.last(ev.FailoverProposed)
    (recorded,) = (found for found in story.log.read() if found.seq == seq)
    found = {"seq": seq, "at": iso(recorded.at_us), "why": "failed", "source": "a", "heir": "b"}
    assert proposal(story) == found
    story.dead.clear()
    story.n += 1
    story.see(ev.ProbeOk(n=story.n, latency_us=1, boot="a", epoch=1, role="active"), "a")
    assert proposal(story) == found  # what it would have done stays said
    story.n += 1
    story.see(ev.ProbeOk(n=story.n, latency_us=1, boot="a", epoch=1, role="standby"), "a")
    story.see(ev.ProbeOk(n=story.n, latency_us=1, boot="b", epoch=2, role="active"), "b")
    assert story.active == "b"
    assert proposal(story) is None
