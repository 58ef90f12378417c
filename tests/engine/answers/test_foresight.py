"""What would happen if a master failed now is what does happen if it fails now."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as hs

from engine.answers.foresight import (
    COPIED_MAX,
    FORESEEN_MAX,
    Foreseen,
    foresee,
    foreseen,
    with_foresight,
)
from engine.answers.status import status
from engine.core import events as ev
from engine.core import state as st
from engine.core.events import FLEET
from engine.core.fleet import Mode
from engine.core.policy import (
    SECOND,
    Automation,
    Fence,
    FenceKind,
    GroupPolicy,
    Hooks,
    Observers,
    preset,
)
from tests.engine.answers.stories import GROUP, Story, failed_over, serving


def told(story: Story, name: str) -> Foreseen:
    before = st.digest(story.state)
    found = foresee(story.state, story.state.groups[GROUP], name)
    assert st.digest(story.state) == before  # it was tried on a copy
    return found


def ready(policy: GroupPolicy | None = None, *, rounds: int = 4) -> Story:
    story = Story(policy)
    story.probe(rounds)
    return story


def with_automation(name: str, automation: Automation) -> GroupPolicy:
    return msgspec.structs.replace(preset(name), automation=automation)


@given(hs.permutations("abc"), hs.integers(1, 2))
def test_the_one_who_is_foreseen_takes_over(order: list[str], kills: int) -> None:
    story = ready()
    if order[0] != "a":
        story.see(ev.SwitchoverAsked(to=order[0], author="x"), GROUP)
        story.probe(3)
    for _ in range(kills):
        active = story.active
        found = told(story, active)
        assert (found.ends, found.role) == ("served", "active")
        story.kill(active)
        story.probe(2)
        assert story.active == found.heir


def test_the_last_one_leaves_nobody() -> None:
    story = failed_over()
    story.kill("c")
    story.probe()
    found = told(story, "b")
    assert (found.ends, found.heir) == ("nobody", "")
    assert "nobody is fit to take over" in found.says
    story.kill("b")
    story.probe(3)
    assert not [name for name in "ac" if story.active == name]


def test_a_standby_leaves_the_active_alone_and_says_who_is_left() -> None:
    story = ready()
    assert told(story, "b").says == "a serves on; c would take over from it"
    story.see(ev.ExclusionAsked(excluded=True, reason="disk", author="x"), "b")
    assert told(story, "c").says == "a serves on, and nobody could take over from it"
    assert (told(story, "c").ends, told(story, "c").heir) == ("served", "")


def test_a_delay_is_waited_for() -> None:
    story = ready(with_automation("region", Automation.AUTO))
    found = told(story, "a")
    assert (found.ends, found.heir, found.after_us) == ("served", "b", 10 * SECOND)
    assert found.says == "b takes over after 10 s"


def test_a_person_is_waited_for() -> None:
    story = ready(with_automation("bench", Automation.CONFIRM))
    story.see(ev.Approved(author="x"), GROUP)
    story.probe(3)
    assert story.active == "a"
    found = told(story, "a")
    assert (found.ends, found.heir) == ("waits", "b")
    assert "tanist approve g; then b takes over" in found.says


def test_an_observing_engine_would_propose() -> None:
    story = Story(with_automation("bench", Automation.OBSERVE))
    for _ in range(3):
        story.n += 1
        story.at_us += 10_000
        for name in "abc":
            role = "active" if name == "a" else "standby"
            story.see(ev.ProbeOk(n=story.n, latency_us=5, boot=name, role=role), name)
    found = told(story, "a")
    assert (found.ends, found.heir) == ("proposed", "b")
    assert found.says == "it only observes: it would propose b"


def test_a_fence_that_nobody_confirms_is_waited_for() -> None:
    fence = Fence(kind=FenceKind.CONFIRMED, clients="direct")
    story = ready(msgspec.structs.replace(preset("bench"), fence=fence))
    found = told(story, "a")
    assert (found.ends, found.heir) == ("waits", "b")
    assert "tanist release a" in found.says


def test_all_who_watch_a_master_see_it_fail_and_one_alone_may_not_be_enough() -> None:
    policy = msgspec.structs.replace(
        preset("bench"), observers=Observers(quorum=2, vote_ttl_us=5 * SECOND)
    )
    story = ready(policy)
    found = told(story, "a")
    assert (found.ends, found.heir) == ("waits", "b")
    assert "this engine of the 2 observers that are needed" in found.says
    for name in "abc":
        seen = ev.ProbeOk(n=1, latency_us=5, boot=name, epoch=story.epochs[name], observer="o2")
        story.see(seen, name)
    found = told(story, "a")
    assert (found.ends, found.heir) == ("served", "b")


def test_a_pause_is_said() -> None:
    story = ready()
    story.see(ev.Paused(until_us=0, reason="racks", author="x"), FLEET)
    found = told(story, "a")
    assert (found.ends, found.heir) == ("waits", "b")
    assert "racks" in found.says


def test_in_a_group_whose_masters_all_serve_the_others_go_on() -> None:
    story = serving()
    found = told(story, "a")
    assert (found.ends, found.says) == ("served", "b, c serve on")
    story.kill("b")
    story.kill("c")
    story.probe(2)
    assert told(story, "a").says == "nobody serves"


def test_messages_of_the_one_that_fails_are_counted() -> None:
    story = ready()
    for number in range(3):
        accepted = ev.MessageAccepted(key=f"k{number}", lane="l", size=1, digest=b"d")
        story.see(accepted, GROUP)
    assert told(story, "a").requeued == 3


def test_the_status_has_it_for_each_master_and_bounds_it() -> None:
    story = ready()
    found = with_foresight(status(story.state), story.state)
    assert list(found["groups"][GROUP]["if_failed"]) == ["a", "b", "c"]
    assert foreseen(story.state, story.state.groups[GROUP], 1)[0].master == "a"


def test_of_a_large_group_only_a_few_are_tried_those_that_serve_first() -> None:
    story = Story(names="".join(chr(0x4E00 + number) for number in range(500)))
    story.probe(4)
    found = foreseen(story.state, story.state.groups[GROUP])
    assert len(found) == COPIED_MAX // 500 < FORESEEN_MAX
    assert (found[0].master, found[0].ends) == (story.active, "served")


def test_programs_around_the_steps_are_assumed_to_do_their_work() -> None:
    hooks = Hooks(before_fence=("true",), after_fence=("true",), before_switch=("true",))
    story = ready(msgspec.structs.replace(preset("bench"), hooks=hooks))
    found = told(story, "a")
    assert (found.ends, found.heir) == ("served", "b")


@pytest.mark.parametrize("mode", list(Mode))
def test_a_group_of_one_has_nobody_else(mode: Mode) -> None:
    story = Story(preset("bench", mode=mode), names="a")
    story.probe(4)
    assert told(story, "a").ends == "nobody"
