"""A good probe that calls for nothing: `step` would append it alone."""

import pytest

from engine.core import events as ev
from engine.core import state as st
from engine.core.calm import is_quiet
from engine.core.deadlines import next_due_us, nothing_due_before
from engine.core.decider import step
from engine.core.evolve import evolve
from engine.core.fleet import Mode
from engine.core.policy import MS, SECOND, Automation
from engine.core.replay import replay
from tests.engine.core.build import Story, kinds, made, story


def calm() -> Story:
    tale = story("lan", automation=Automation.AUTO)
    for _ in range(8):
        tale.wait(100 * MS)
        tale.ok("a", "b", "c")
    return tale


def answer(tale: Story, **changes: object) -> ev.ProbeOk:
    said: dict[str, object] = {
        "n": tale.n + 1,
        "latency_us": 500,
        "boot": "b1",
        "epoch": 0,
        "role": "",
    }
    return ev.ProbeOk(**{**said, **changes})  # type: ignore[arg-type]


def asked(tale: Story, event: ev.ProbeOk, subject: str = "b") -> bool:
    return is_quiet(tale.state, event, subject=subject, at_us=tale.at_us)


def test_to_evolve_a_quiet_probe_is_what_a_step_does() -> None:
    tale = calm()
    event = answer(tale)
    assert asked(tale, event)
    other = replay(tale.log)
    (recorded,) = step(tale.state, event, subject="b", at_us=tale.at_us)
    evolve(other, recorded)
    assert other == tale.state
    assert "b" in tale.state.cache.places["b"].calm


@pytest.mark.parametrize(
    "changes", [{"boot": "b2"}, {"epoch": 7}, {"role": "active"}, {"observer": "o2"}]
)
def test_an_answer_that_says_something_new_is_not_quiet(changes: dict[str, object]) -> None:
    tale = calm()
    assert not asked(tale, answer(tale, **changes))


def test_after_a_stall_nobody_is_judged_anew_where_all_serve() -> None:
    tale = Story(made("lan", mode=Mode.ACTIVE_ACTIVE, automation=Automation.AUTO))
    for _ in range(8):
        tale.wait(100 * MS)
        tale.ok("a", "b", "c")
    tale.see(ev.EngineResumed(stall_us=2 * SECOND, stopped_at_us=tale.at_us))
    assert asked(tale, answer(tale))
    assert kinds(tale.ok("b")) == []


def test_after_a_stall_each_is_heard_where_one_serves() -> None:
    tale = calm()
    tale.see(ev.EngineResumed(stall_us=2 * SECOND, stopped_at_us=tale.at_us))
    tale.wait(MS)
    tale.ok("a")
    assert not asked(tale, answer(tale))
    tale.ok("b")
    assert asked(tale, answer(tale))


def test_nobodys_answer_is_not_quiet() -> None:
    tale = calm()
    assert not asked(tale, answer(tale), "z")


def test_while_something_is_the_matter_no_answer_is_quiet() -> None:
    tale = calm()
    tale.fails("b")
    assert not asked(tale, answer(tale))
    tale = calm()
    tale.state.cache.places["b"].is_plain = False
    assert not asked(tale, answer(tale))


def test_an_answer_that_comes_with_a_deadline_is_not_quiet() -> None:
    tale = calm()
    tale.wait(60 * SECOND)
    assert not asked(tale, answer(tale))


def test_whoever_restores_a_state_knows_of_no_calm() -> None:
    tale = calm()
    state = st.copy(tale.state)
    assert not is_quiet(state, answer(tale), subject="b", at_us=tale.at_us)


def test_when_nothing_is_due_before_moves_with_what_is_heard() -> None:
    tale = calm()
    silent_us = tale.state.policy_of(tale.group).probe.unknown_after_us
    heard_us = tale.at_us
    assert nothing_due_before(tale.state, heard_us + silent_us) == heard_us + silent_us
    tale.wait(100 * MS)
    tale.ok("a", "b", "c")
    before_us = nothing_due_before(tale.state, heard_us + silent_us)
    assert heard_us + silent_us < before_us <= tale.at_us + silent_us
    assert nothing_due_before(tale.state, tale.at_us + silent_us) == tale.at_us + silent_us


def test_whoever_is_at_peace_is_quiet_as_soon_as_all_was_done_for_its_group() -> None:
    tale = calm()
    tale.fails("b")
    assert next_due_us(tale.state)
    assert "c" not in tale.state.cache.places["c"].calm
    assert asked(tale, answer(tale, boot="c1"), "c")
    assert "c" in tale.state.cache.places["c"].calm
    assert not asked(tale, answer(tale), "b")


def test_an_answer_like_the_last_disturbs_nobody_whatever_was_decided_since() -> None:
    tale = calm()
    tale.ask(ev.ExclusionAsked(excluded=True, reason="", author="x"), "b")
    tale.ask(ev.ExclusionAsked(excluded=False, reason="", author="x"), "b")
    tale.ok("c")
    assert not tale.state.cache.places["b"].is_steady
    (recorded,) = tale.ok("b")
    assert recorded.seq == tale.state.seq
    assert tale.state.cache.places["b"].is_plain
    assert tale.state.cache.calm["g"] >= {"b", "c"}
