"""Every reason to wait as a sentence, with the command that ends it."""

import msgspec
import pytest

from engine.answers.waiting import sentence, wait_of
from engine.answers.words import moment
from engine.core import events as ev
from engine.core.blocking import Block
from engine.core.events import FLEET, Evidence
from engine.core.policy import SECOND, Automation, GroupPolicy, Observers, preset
from tests.engine.answers.stories import GROUP, Story, failed_over

LATER_US = 3_600_000_000


def said(story: Story) -> str:
    """Return what the group of the story waits for."""
    group = story.state.groups[GROUP]
    block = wait_of(story.state, group)
    assert block is not None
    return sentence(story.state, group, block)


def policy(automation: Automation) -> GroupPolicy:
    return msgspec.structs.replace(preset("bench"), automation=automation)


def calm(automation: Automation = Automation.AUTO) -> Story:
    story = Story(policy(automation))
    story.probe(3)
    return story


def test_a_group_that_is_served_waits_for_nothing() -> None:
    story = failed_over()
    assert wait_of(story.state, story.state.groups[GROUP]) is None


def test_a_pause_is_named_with_its_reason_and_the_command_that_ends_it() -> None:
    story = calm()
    until_us = story.at_us + LATER_US
    story.see(ev.Paused(until_us=until_us, reason="racks", author="me"), FLEET)
    story.kill("a")
    lead = "a has failed and nobody takes over yet: "
    fleet = f"the fleet is paused until {moment(until_us)} (racks): tanist resume ends it"
    assert said(story) == lead + fleet
    story.see(ev.Paused(until_us=0, reason="disks", author="me"), GROUP)
    own = "g is paused until told otherwise (disks): tanist resume g ends it"
    assert said(story) == f"{lead}{fleet} and {own}"
    story.see(ev.Resumed(author="me"), FLEET)
    assert said(story) == lead + own


def test_an_approval_is_named_with_the_command_that_gives_it() -> None:
    story = calm(Automation.CONFIRM)
    saga = story.state.groups[GROUP].saga
    assert saga is not None
    assert said(story) == f"failover {saga.id} waits: for an approval: tanist approve g"


def test_a_group_that_only_observes_says_what_would_let_it_act() -> None:
    story = calm(Automation.OBSERVE)
    assert said(story).startswith("nobody is active yet: it only observes: automation = ")


def test_where_nobody_is_fit_the_rules_are_named() -> None:
    story = failed_over()
    story.kill("c")
    story.kill("b")
    assert "b has failed and nobody takes over yet: nobody is fit to take over (" in said(story)
    assert "a: fenced" in said(story)
    assert "c: health-failed" in said(story)


def test_of_many_masters_that_are_not_fit_three_are_named_and_the_rest_counted() -> None:
    story = Story(names="abcdefgh")
    story.probe(3)
    for name in "bcdefgha":
        story.kill(name)
    unfit = ", ".join(f"{name}: health-failed" for name in "bcd")
    lead = "a has failed and nobody takes over yet: nobody is fit to take over"
    assert said(story) == f"{lead} ({unfit} and 4 more)"


def test_soft_evidence_in_a_hold_down_names_its_end_and_the_approval() -> None:
    held = msgspec.structs.replace(preset("bench").failover, hold_down_us=60 * SECOND)
    story = Story(msgspec.structs.replace(preset("bench"), failover=held))
    story.probe(3)
    story.kill("a")
    story.probe(2)
    for _ in range(5):
        story.n += 1
        story.see(ev.ProbeFailed(n=story.n, evidence=Evidence.OVERDUE), "b")
    until = moment(story.state.groups[GROUP].hold_until_us)
    assert said(story).endswith(
        f"held down after the last failover, until {until}: tanist approve g lets it go"
    )


def test_who_is_blind_is_told_that_it_may_be_cut_off_itself() -> None:
    story = calm()
    story.at_us += 1_000
    story.n += 1
    story.see(ev.ProbeFailed(n=story.n, evidence=Evidence.OVERDUE), "a")
    assert said(story).startswith(
        "a has failed and nobody takes over yet: nobody else was heard since it began to fail, so "
    )


def test_a_quorum_that_is_not_there_is_named() -> None:
    both = msgspec.structs.replace(
        policy(Automation.AUTO), observers=Observers(quorum=2, vote_ttl_us=5 * SECOND)
    )
    story = Story(both)
    story.probe(3)
    story.at_us += 1_000
    story.n += 1
    failed = ev.ProbeFailed(n=story.n, evidence=Evidence.OVERDUE)
    seen = ev.ProbeOk(n=1, latency_us=1, observer="o2")
    story.see(seen, "b")
    story.see(failed, "a")
    says = "this engine of the 2 observers that are needed says that the active has failed"
    assert said(story) == f"a: {says}: no verdict before the others do"
    story.probe()
    assert wait_of(story.state, story.state.groups[GROUP]) is None
    # Nobody else is there to say so.
    story.at_us += 5 * SECOND + 1
    story.probe()
    story.n += 1
    story.see(msgspec.structs.replace(failed, n=story.n), "a")
    saga = story.state.groups[GROUP].saga
    assert saga is not None
    assert said(story) == (
        f"failover {saga.id} waits: {says}: it goes on when the others do, and tanist approve "
        f"{GROUP} lets it go"
    )


def test_observers_that_contradict_are_named_although_nothing_is_wanted() -> None:
    story = calm()
    story.at_us += 1_000
    story.n += 1
    failed = ev.ProbeFailed(n=1, evidence=Evidence.OVERDUE, observer="o2")
    story.see(failed, "a")
    story.at_us += 1_000
    story.probe()
    story.see(msgspec.structs.replace(failed, n=2), "a")
    assert said(story) == (
        "a: some observers say that the active has failed and at least as many hear it: no verdict "
        "until they agree (tanist why a)"
    )


@pytest.mark.parametrize("reason", ["grace", "delay", "retry", "limit", "it answers again", "new"])
def test_no_reason_goes_without_words(reason: str) -> None:
    story = calm()
    story.see(ev.Paused(until_us=0, reason="racks", author="me"), FLEET)
    story.kill("a")
    block = Block(reason=reason, until_us=story.at_us + LATER_US)
    words = sentence(story.state, story.state.groups[GROUP], block)
    assert words.startswith("a has failed and nobody takes over yet: ")
    is_timed = reason != "it answers again"
    assert (moment(story.at_us + LATER_US) in words) is is_timed
