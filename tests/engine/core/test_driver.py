"""The order of duty: decide, evolve, append, durable, publish, effects, acknowledge."""

import pytest

from engine.core import events as ev
from engine.core import state as st
from engine.core.driver import Batch, Driver, refusal
from engine.core.errors import CommandRefused
from engine.core.events import Evidence, Recorded, Result
from engine.core.evolve import evolve
from engine.core.issuing import BACKOFF_US, BACKOFF_US_MAX
from engine.core.policy import SECOND, FenceKind, Policy
from engine.core.replay import replay
from tests.engine.core.build import START_US, declared, story
from tests.engine.core.drive import FLUSH_US, MEMBERS, Engine, serving

# The order.


def test_what_is_decided_is_not_durable_until_it_is_said_to_be() -> None:
    engine = Engine()
    driver = engine.driver
    assert driver.working.seq > 0
    assert driver.durable_state.seq == 0
    batch = driver.take_batch(engine.at_us)
    assert isinstance(batch, Batch)
    was_appending = driver.is_appending
    assert driver.durable_state.seq == 0
    assert driver.durable() == batch.events
    assert (was_appending, driver.is_appending) == (True, False)
    assert driver.durable_state == driver.working


def test_there_is_one_append_at_a_time() -> None:
    engine = serving()
    engine.crashes("a")
    assert engine.driver.take_batch(engine.at_us) is not None
    engine.crashes("b")
    assert engine.driver.take_batch(engine.at_us) is None
    engine.driver.durable()
    assert engine.driver.take_batch(engine.at_us) is not None


def test_an_observation_is_given_its_seq_at_once() -> None:
    engine = serving()
    seq = engine.see(ev.ConnectionClosed(evidence=Evidence.CLOSED), "a")
    assert engine.driver.working.seq == seq


def test_deadlines_may_come_before_the_observation_in_one_batch() -> None:
    engine = Engine(unknown_after_us=SECOND)
    engine.ok("a", "b", "c")
    engine.append()
    engine.at_us += 2 * SECOND
    engine.n += 1
    seq = engine.see(ev.ProbeOk(n=engine.n, latency_us=1), "a")
    (found,) = [seen for seen in engine.append() if seen.seq == seq]
    assert isinstance(found.event, ev.ProbeOk)


def test_time_never_goes_back() -> None:
    engine = serving()
    engine.at_us -= SECOND
    engine.crashes("a")
    engine.at_us += SECOND
    assert replay([*engine.log, *engine.append()]) == engine.driver.durable_state


def test_the_log_folds_to_both_states() -> None:
    engine = serving()
    engine.crashes("a")
    engine.work()
    assert replay(engine.log) == engine.driver.durable_state == engine.driver.working


# Quiet probes wait for company.


def test_good_probes_that_change_nothing_wait_for_the_flush() -> None:
    engine = serving()
    engine.ok("a")
    engine.at_us += FLUSH_US - 1
    engine.ok("b")
    assert engine.append() == ()
    engine.at_us += 1
    assert len(engine.append()) == 2


def test_anything_else_goes_at_once_and_takes_them_along() -> None:
    engine = serving()
    engine.ok("a")
    engine.see(ev.ConnectionClosed(evidence=Evidence.CLOSED), "b")
    assert len(engine.append()) == 2


def test_answers_are_no_append_of_their_own_while_something_else_is_waited_for() -> None:
    engine = serving()
    engine.crashes("a")
    engine.append()
    driver, after = engine.driver, engine.driver.working.seq
    engine.ok("b")  # of a group that is not calm it would go at once
    engine.see(ev.LoadReported(queue=2, active=1), "b")
    assert driver.working.seq == after + 2
    assert driver.take_batch(engine.at_us, is_patient=True) is None
    engine.ends(engine.effects()[0])
    batch = driver.take_batch(engine.at_us, is_patient=True)
    assert batch is not None
    kinds = [type(seen.event).__name__ for seen in batch.events]
    assert kinds[:3] == ["ProbeOk", "LoadReported", "Outcome"]


def test_nobody_wakes_for_answers_that_wait_for_something_else() -> None:
    engine = serving()
    engine.ok("a")
    assert engine.driver.wake_at_us(is_patient=True) is None
    engine.see(ev.ConnectionClosed(evidence=Evidence.CLOSED), "b")
    assert engine.driver.wake_at_us(is_patient=True) == engine.at_us


def test_a_deadline_goes_at_once() -> None:
    engine = serving(unknown_after_us=10 * SECOND)
    engine.at_us += 10 * SECOND
    engine.driver.tick(engine.at_us)
    assert len(engine.append()) == 8


def test_the_timer_may_find_nothing() -> None:
    engine = serving()
    engine.driver.tick(engine.at_us)
    assert engine.append() == ()


# Effects.


def test_an_effect_is_owed_only_when_it_is_durable_and_issued_once() -> None:
    engine = serving()
    engine.crashes("a")
    assert engine.effects() == []
    engine.append()
    assert [effect.step for effect in engine.effects()] == ["transfer", "fence"]
    assert engine.effects() == []


def test_the_outcome_of_what_was_not_issued_is_nobodys() -> None:
    engine = serving()
    engine.crashes("a")
    engine.append()
    transfer, fence = engine.effects()
    engine.ends(transfer)
    engine.ends(transfer)
    assert [type(seen.event).__name__ for seen in engine.append()] == [
        "Outcome",
        "PromotionStarted",
    ]
    engine.driver.reset(replay(engine.log))
    engine.ends(fence)
    assert engine.append() == ()


def test_a_repeat_that_changes_nothing_is_no_event() -> None:
    engine = serving()
    engine.crashes("a")
    engine.append()
    _, fence = engine.effects()
    engine.ends(fence, Result.FAILED)
    assert len(engine.append()) == 1
    for result, events in ((Result.FAILED, 0), (Result.UNKNOWN, 1), (Result.UNKNOWN, 0)):
        engine.at_us += BACKOFF_US_MAX
        assert engine.effects() == [fence]
        engine.ends(fence, result)
        assert len(engine.append()) == events


def test_a_failed_effect_is_tried_again_later_and_later() -> None:
    engine = serving()
    engine.crashes("a")
    engine.append()
    fence = engine.effects()[1]
    pauses = []
    for _ in range(10):
        engine.ends(fence, Result.FAILED)
        engine.append()
        failed_us = engine.at_us
        while not engine.effects():
            wake_us = engine.driver.wake_at_us()
            assert wake_us is not None
            assert wake_us > engine.at_us
            engine.at_us = wake_us
        pauses.append(engine.at_us - failed_us)
    assert pauses[:3] == [BACKOFF_US, 2 * BACKOFF_US, 4 * BACKOFF_US]
    assert pauses[-1] == BACKOFF_US_MAX


def test_a_master_that_answers_need_not_be_waited_for() -> None:
    engine = serving()
    engine.crashes("a")
    engine.append()
    fence = engine.effects()[1]
    engine.ends(fence, Result.FAILED)
    engine.append()
    engine.driver.answered("b")
    assert engine.effects() == []
    engine.driver.answered("a")
    assert engine.effects() == [fence]


def test_how_long_a_master_did_not_answer_says_nothing_of_what_it_does_now() -> None:
    engine = serving()
    engine.crashes("a")
    engine.append()
    fence = engine.effects()[1]
    for _ in range(8):  # by now the pause is as long as half of the longest
        engine.ends(fence, Result.FAILED)
        engine.append()
        engine.at_us += BACKOFF_US_MAX
        assert engine.effects() == [fence]
    engine.driver.answered("a")
    engine.ends(fence, Result.REFUSED)
    engine.append()
    assert engine.effects() == []
    engine.at_us += BACKOFF_US
    assert engine.effects() == [fence]


def test_what_is_still_owed_keeps_its_pause_when_the_failover_ends() -> None:
    engine = serving()
    engine.crashes("a")
    engine.append()
    transfer, fence = engine.effects()
    engine.ends(fence, Result.FAILED)
    engine.ends(transfer)
    engine.append()
    for step in ("promote", "verify", "switch"):
        (effect,) = engine.effects()
        assert effect.step == step
        engine.ends(effect)
        engine.append()
    assert engine.effects() == []
    engine.at_us += BACKOFF_US
    assert engine.effects() == [fence]


def test_the_outcome_of_a_master_that_was_removed_is_dropped() -> None:
    engine = serving()
    engine.see(ev.SwitchoverAsked(to="b", author="x"), "g")
    engine.append()
    (preflight,) = engine.effects()
    engine.see(ev.FailoverAsked(to="c", author="x"), "g")
    masters = tuple(master for master in MEMBERS if master.id != "b")
    policy = engine.driver.working.fleet.policy
    engine.see(
        ev.ConfigurationLoaded(
            digest="new",
            policy=Policy(groups=policy.groups),
            masters=(*masters, *declared("x", group="h")),
        )
    )
    assert "b" not in engine.driver.working.cache.places
    engine.append()
    engine.ends(preflight)
    assert engine.append() == ()


# A working state that is thrown away.


def test_what_was_not_durable_never_happened() -> None:
    engine = serving()
    before = st.digest(engine.driver.durable_state)
    engine.crashes("a")
    assert engine.driver.take_batch(engine.at_us) is not None
    engine.driver.reset(replay(engine.log))
    assert st.digest(engine.driver.working) == before
    assert (engine.append(), engine.effects(), engine.driver.is_appending) == ((), [], False)


def test_after_a_reset_every_owed_effect_counts_as_not_issued() -> None:
    engine = serving()
    engine.accepts("k")
    engine.append()
    assert len(engine.driver.due_deliveries(engine.at_us)) == 1
    engine.crashes("a")
    engine.append()
    owed = engine.effects()
    engine.ends(owed[1], Result.FAILED)
    engine.driver.reset(replay(engine.log))
    assert engine.effects() == owed


def test_a_driver_takes_up_where_the_log_ends() -> None:
    engine = serving()
    engine.crashes("a")
    engine.append()
    owed = engine.effects()
    assert Driver(replay(engine.log)).due_effects(engine.at_us) == owed


def test_a_reset_forgets_the_bodies_of_what_never_happened() -> None:
    engine = serving()
    event = ev.MessageAccepted(key="k", lane="g", size=1, digest=b"k")
    engine.driver.observe(event, subject="g", at_us=engine.at_us, bodies={b"k": b"body"})
    engine.driver.reset(replay(engine.log))
    engine.see(ev.ConnectionClosed(evidence=Evidence.CLOSED), "b")
    batch = engine.driver.take_batch(engine.at_us)
    assert batch is not None
    assert batch.bodies == {}


# When to wake.


def test_nothing_pending_nothing_owed_nothing_to_wake_for() -> None:
    assert serving().driver.wake_at_us() is None


def test_a_batch_wakes_at_its_flush_and_an_urgent_one_at_once() -> None:
    engine = serving()
    engine.ok("a")
    assert engine.driver.wake_at_us() == engine.at_us + FLUSH_US
    engine.see(ev.ConnectionClosed(evidence=Evidence.CLOSED), "b")
    assert engine.driver.wake_at_us() == engine.at_us
    engine.driver.take_batch(engine.at_us)
    assert engine.driver.wake_at_us() is None


def test_a_deadline_wakes() -> None:
    engine = serving(delay_crash_us=SECOND)
    ends_us = engine.at_us + SECOND
    engine.crashes("a")
    engine.append()
    assert engine.driver.wake_at_us() == ends_us
    engine.at_us = ends_us
    engine.ok("b", "c")
    assert "FailoverStarted" in [type(seen.event).__name__ for seen in engine.append()]


def test_an_effect_that_is_owed_and_not_issued_wakes_at_once() -> None:
    engine = serving()
    engine.crashes("a")
    engine.append()
    wake_us = engine.driver.wake_at_us()
    assert wake_us is not None
    assert wake_us <= engine.at_us
    engine.effects()
    assert engine.driver.wake_at_us() is None


# Refusals.


def test_a_command_learns_its_refusal_from_what_is_durable() -> None:
    engine = serving()
    seq = engine.see(ev.SwitchoverAsked(to="z", author="x"), "g")
    other = engine.see(ev.Paused(until_us=0, reason="", author="x"), "g")
    events = tuple(engine.append())
    assert refusal(events, seq) == ("z is no master of g: expected one of a, b, c",)
    assert refusal(events, other) == ()


def test_mutants_come_in_as_arguments() -> None:
    seen: list[Recorded] = []

    def noting(state: st.State, recorded: Recorded) -> None:
        seen.append(recorded)
        evolve(state, recorded)

    driver = Driver(story().state, evolve=noting, decide=lambda _step, _event: None)
    driver.observe(
        ev.ProbeFailed(n=900, evidence=Evidence.REFUSED), subject="a", at_us=START_US + SECOND
    )
    driver.take_batch(START_US + SECOND)
    driver.durable()
    assert [type(recorded.event).__name__ for recorded in seen] == ["ProbeFailed"] * 2


@pytest.mark.parametrize(
    ("event", "subject"),
    [
        (ev.ProbeOk(n=1, latency_us=1), "nobody"),
        (ev.ProbeOk(n=1, latency_us=1), "g"),
        (ev.SwitchoverAsked(to="", author="x"), "a"),
        (ev.SwitchoverAsked(to="", author="x"), ev.FLEET),
        (ev.Paused(until_us=0, reason="r", author="x"), "a"),
        (ev.CheckpointMarked(name="here", author="x"), "g"),
    ],
)
def test_what_is_about_nobody_is_refused_and_nothing_is_recorded(
    event: ev.Observation, subject: str
) -> None:
    driver = Driver(story().state)
    before = st.digest(driver.working)
    with pytest.raises(CommandRefused, match="expected a"):
        driver.observe(event, subject=subject, at_us=driver.working.at_us)
    assert st.digest(driver.working) == before


@pytest.mark.parametrize("step", ["detach", "follow"])
def test_a_standby_that_is_another_process_since_is_told_again_under_the_same_key(
    step: str,
) -> None:
    engine = serving(effects="redis", fence=FenceKind.LEASE)
    engine.ok("b", "c", boot="1")
    engine.work()
    if step == "detach":
        engine.crashes("a")
        engine.append()
    for boot in "23":
        engine.ok("b", boot=boot)
        engine.at_us += SECOND
        engine.append()
        told = [effect for effect in engine.effects() if effect.step == step]
        assert "b" in [effect.master for effect in told]
        for effect in told:
            engine.ends(effect)
        engine.append()
        owed = engine.driver.due_effects(engine.at_us + SECOND)
        assert step not in [effect.step for effect in owed]
