"""A log decided upon again: the same under the recorded policy, another under another."""

from collections.abc import Callable, Iterator

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as hs

from engine.core import events as ev
from engine.core import state as st
from engine.core.decider import decide
from engine.core.errors import LogCorrupted
from engine.core.events import Observation, Recorded, Result
from engine.core.policy import MINUTE, MS, SECOND, Automation, Policy
from engine.core.replay import decide_again, replay
from engine.core.step import Step
from engine.simulation.schedule import draw
from engine.simulation.world import run
from engine.whatif.again import Result as Answer
from engine.whatif.again import WhatIf
from engine.whatif.model import ASSUMED_US, Times, learned
from engine.whatif.spans import Item
from projections.base import fold
from projections.budgets import Spending
from projections.uptime import UPTIME
from tests.engine.core.build import Story, made, story
from tests.engine.core.test_alerts import pass_us, watched
from tests.engine.whatif.asking import changed

TIMES_US = {"fence": 2 * MS, "transfer": 3 * MS, "promote": 5 * MS, "verify": 4 * MS, "switch": MS}


def asked(tale: Story, **values: object) -> Answer:
    return WhatIf(change=changed(**values)).run(tale.log)


def names(items: tuple[Item, ...]) -> list[str]:
    return [f"{type(i.recorded.event).__name__} {i.recorded.subject}" for i in items]


def is_input(recorded: Recorded) -> bool:
    kind = type(recorded.event)
    return not recorded.cause and kind in ev.OBSERVATIONS and kind is not ev.DeadlinePassed


@pytest.mark.parametrize("seed", range(40))
def test_under_the_recorded_policy_the_log_comes_out_as_it_was(seed: int) -> None:
    made_up = run(draw(seed))
    same = WhatIf().run(made_up.log)
    assert same.diverged_at is None
    assert st.digest(same.state) == st.digest(made_up.state)
    assert same.recorded == same.whatif
    assert (same.differences, same.count, same.assumed, same.left_out) == ([], 0, 0, 0)


def test_from_any_place_on_the_log_comes_out_as_it_was() -> None:
    log = run(draw(3)).log
    for place in range(0, len(log), max(1, len(log) // 40)):  # also in the middle of a turn
        again = WhatIf(base=replay(log[:place])).run(log[place:])
        assert again.diverged_at is None
        assert again.state == replay(log)


def test_a_rule_that_is_not_the_recorded_one_is_named_where_it_differs_first() -> None:
    def deaf(step: Step, event: Observation) -> None:
        if not isinstance(event, ev.ProbeFailed):
            decide(step, event)

    tale = failed_over()
    found = WhatIf(decide=deaf).run(tale.log)
    failed = next(one for one in tale.log if isinstance(one.event, ev.MasterFailed))
    assert found.diverged_at == failed.seq
    assert (found.recorded.detections, found.whatif.detections) == (1, 0)


def failed_over() -> Story:
    """Return a story in which a times out twice, b takes over, and a answers again after 230 ms."""
    tale = story("lan", fall=2, automation=Automation.AUTO, hold_open=False)
    tale.wait(100 * MS)
    tale.fails("a")
    tale.ok("b", "c")
    tale.wait(100 * MS)
    tale.fails("a")
    tale.wait(10 * MS)
    tale.work()
    tale.wait(20 * MS)
    tale.ok("b", "c")
    tale.wait(100 * MS)
    tale.ok("a", epoch=1)
    tale.wait(100 * MS)
    tale.ok("a", "b", "c", epoch=1)
    return tale


def test_a_patient_policy_does_not_fail_over_and_is_down_for_longer() -> None:
    tale = failed_over()
    assert (tale.group.assigned, tale.group.failovers) == ("b", 1)
    found = asked(tale, probe__fall=4)
    failed = next(one for one in tale.log if isinstance(one.event, ev.MasterFailed))
    assert found.diverged_at == failed.seq
    assert found.state.groups["g"].assigned == "a"
    recorded, whatif = found.recorded, found.whatif
    assert (recorded.failovers, recorded.detections, recorded.detect_us_total) == (1, 1, 100 * MS)
    assert (whatif.failovers, whatif.detections, whatif.detect_us_total) == (0, 0, 0)
    assert (recorded.down_us, whatif.down_us) == ({"g": 110 * MS}, {"g": 230 * MS})
    # a answers again 130 ms after the verdict: to wait would have been enough.
    assert (recorded.false_failovers, recorded.false_detections) == (1, 1)
    (difference,) = found.differences
    assert "MasterFailed a" in names(difference.recorded)
    assert "Switched b" in names(difference.recorded)
    assert difference.whatif == ()
    assert found.assumed == 0  # nothing was owed that was not recorded


def test_what_only_differs_in_its_figures_is_no_difference() -> None:
    tale = failed_over()
    found = asked(tale, failover__hold_down_us=7 * SECOND)
    assert (found.diverged_at, found.differences) == (None, [])
    assert found.state.groups["g"].hold_until_us != tale.group.hold_until_us
    assert found.recorded == found.whatif


def test_an_observing_engine_that_had_acted_is_answered_by_the_model() -> None:
    tale = story("bench", automation=Automation.OBSERVE)
    for _ in range(3):
        tale.ok("a", "b", "c", epoch=None, role="")
        tale.ok("a", epoch=None, role="active")
        tale.wait(10 * MS)
    tale.crashes("a")
    assert tale.group.failovers == 0
    for _ in range(10):
        tale.wait(10 * MS)
        tale.ok("b", "c", epoch=None)
    times = Times()
    for step, took_us in TIMES_US.items():
        times.learn("g", step, took_us)
    found = WhatIf(change=changed(automation=Automation.AUTO), times=lambda: times).run(tale.log)
    assert found.state.groups["g"].assigned == "b"
    assert (found.recorded.failovers, found.whatif.failovers) == (0, 1)
    assert (found.recorded.proposals, found.whatif.proposals) == (1, 0)
    # The gate needs no fence to be confirmed: transfer, promote and verify, one after the other.
    assert found.whatif.down_us["g"] == 12 * MS
    assert found.recorded.down_us["g"] == 100 * MS
    assumed = [item for one in found.differences for item in one.whatif if item.is_assumed]
    said = [name for item in assumed for name in names((item,))]
    assert said[-5:] == [
        "PromotionStarted b",
        "VerificationStarted b",
        "Switched b",
        "FailoverEnded g",
        "SwitchDone b",
    ]
    assert found.model_us == {
        "g": {"transfer_us": 3000, "promote_us": 5000, "verify_us": 4000, "switch_us": 1000}
    }


def test_nothing_is_done_by_a_master_that_did_not_answer_then() -> None:
    tale = story("bench", names="ab", automation=Automation.OBSERVE)
    for _ in range(2):
        tale.ok("b", epoch=None)
        tale.ok("a", epoch=None, role="active")
        tale.wait(10 * MS)
    tale.crashes("a")
    tale.wait(MS)
    tale.fails("b")
    tale.wait(300 * MS)
    tale.ok("b", epoch=None)
    tale.wait(3 * SECOND)
    tale.fails("a")
    found = WhatIf(change=changed(automation=Automation.AUTO, probe__fall=3)).run(tale.log)
    outcomes: list[str] = []
    for one in found.differences:
        outcomes += names(one.whatif)
    assert outcomes.index("TransferStarted b") < outcomes.index("AttemptFailed b")
    assert found.assumed >= 1


def test_a_narrower_time_out_finds_a_hang_sooner() -> None:
    tale = story("lan", fall=1, automation=Automation.AUTO, hold_open=False)
    tale.wait(200 * MS)
    tale.n += 1
    tale.see(ev.ProbeFailed(n=tale.n, evidence=ev.Evidence.OVERDUE, waited_us=100 * MS), "a")
    tale.ok("b")  # an heir has to be heard since the failure
    tale.work()
    tale.ok("b")
    failed = next(one for one in tale.log if isinstance(one.event, ev.MasterFailed))
    found = WhatIf(change=changed(probe__timeout_us=40 * MS), narrows=True).run(tale.log)
    (difference,) = found.differences
    theirs = next(i for i in difference.recorded if names((i,)) == ["MasterFailed a"])
    ours = next(i for i in difference.whatif if names((i,)) == ["MasterFailed a"])
    assert theirs.recorded.at_us == failed.at_us
    assert ours.recorded.at_us == failed.at_us - 60 * MS


def test_a_narrower_time_out_makes_a_slow_answer_none() -> None:
    tale = story("lan", fall=1, automation=Automation.AUTO)
    tale.wait(200 * MS)
    tale.ok("a", latency_us=80 * MS)
    tale.wait(5 * MS)
    tale.ok("b", "c")
    tale.wait(200 * MS)
    tale.ok("a", "b", "c")
    same = WhatIf(change=changed(probe__timeout_us=80 * MS), narrows=True).run(tale.log)
    assert same.diverged_at is None
    found = WhatIf(change=changed(probe__timeout_us=79 * MS), narrows=True).run(tale.log)
    assert (found.recorded.detections, found.whatif.detections) == (0, 1)
    assert found.whatif.failovers == 1


def test_what_is_left_out_is_left_out() -> None:
    tale = story("bench")
    asked_seq = tale.ask(ev.SwitchoverAsked(to="b", author="x"))[0].seq
    tale.work()
    tale.ok("a", "b", "c")
    assert tale.group.assigned == "b"
    found = WhatIf(skipped=[asked_seq]).run(tale.log)
    assert found.diverged_at == asked_seq
    assert found.state.groups["g"].assigned == "a"
    assert (found.recorded.failovers, found.whatif.failovers) == (1, 0)


def test_a_rollback_keeps_the_control_that_was_recorded() -> None:
    tale = story("bench")
    control = st.control_of(tale.group)
    position = tale.state.seq
    tale.ask(ev.SwitchoverAsked(to="b", author="x"))
    tale.work()
    tale.ok("a", "b", "c")
    requested = ev.RollbackRequested(
        position=position, control=control, digest=st.control_digest(control), author="x"
    )
    tale.ask(requested)
    tale.work()
    tale.ok("a", "b", "c")
    tale.wait(SECOND)
    tale.ok("a", "b", "c")
    assert tale.group.assigned == "a"
    skipped = next(one.seq for one in tale.log if isinstance(one.event, ev.ProbeOk))
    found = WhatIf(skipped=[skipped]).run(tale.log)
    assert found.diverged_at == skipped
    assert found.state.groups["g"].assigned == "a"
    assert st.control_of(found.state.groups["g"]) == st.control_of(tale.group)


def test_messages_are_acknowledged_after_the_recorded_median() -> None:
    tale = story("bench")
    for number in range(5):
        tale.accepts(f"k{number}", lane=f"l{number}")
        tale.wait(3 * MS)
        tale.acks(f"k{number}", "a")
        tale.ok("a", "b", "c")
    skipped = tale.ok("c")[0].seq
    tale.accepts("late")
    tale.wait(10 * MS)
    tale.ok("a", "b", "c")
    tale.acks("late", "a")
    found = WhatIf(skipped=[skipped]).run(tale.log)
    ledger = found.state.groups["g"].ledger
    assert (ledger.finished, len(ledger.open)) == (6, 0)
    assert found.assumed == 1
    assert found.model_us["g"]["deliver_us"] == 3 * MS


def test_a_message_that_is_open_already_is_not_accepted_twice() -> None:
    tale = story("bench", remember_max=1)
    skipped = tale.ok("c")[0].seq
    tale.accepts("k")
    tale.acks("k", "a")
    tale.accepts("other")
    tale.acks("other", "a")
    tale.accepts("k")  # forgotten by now, and in the other run not yet done
    tale.acks("k", "a")
    found = WhatIf(skipped=[skipped]).run(tale.log)
    assert found.left_out == 1


def test_the_median_is_that_of_the_group_then_of_all_then_what_is_assumed() -> None:
    outcomes = [
        Recorded(seq=n, at_us=n, subject=who, cause=0, event=event)
        for n, (who, event) in enumerate(
            [
                *(("a", outcome("fence", took_us)) for took_us in (1, 9, 5)),
                ("a", outcome("fence", 1_000, Result.UNKNOWN)),
                ("b", outcome("promote", 7)),
            ],
            1,
        )
    ]
    times = learned(outcomes, {"a": "g", "b": "h"})
    assert times.median_us("g", "fence") == 5
    assert times.median_us("g", "promote") == 7
    assert times.median_us("g", "verify") == ASSUMED_US
    assert times.document() == {"g": {"fence_us": 5, "promote_us": 7, "verify_us": ASSUMED_US}}


def outcome(step: str, took_us: int, result: Result = Result.OK) -> ev.Outcome:
    return ev.Outcome(step=step, failover=0, epoch=1, result=result, elapsed_us=took_us)


def test_masters_report_what_they_were_told_in_the_run_that_is_asked_about() -> None:
    """After the runs part, a promotion that was only recorded is nobody's claim to be active."""
    tale = failed_over()
    for _ in range(20):
        tale.wait(100 * MS)
        tale.ok("b", epoch=tale.epochs["b"], role="active")
        tale.ok("a", epoch=tale.epochs.get("a", 0), role="standby")
    found = asked(tale, probe__fall=4)
    assert found.state.groups["g"].assigned == "a"
    assert not [name for one in found.differences for name in names(one.whatif) if "Fenced" in name]


def test_a_restart_comes_from_outside_in_both_runs() -> None:
    tale = failed_over()
    tale.wait(100 * MS)
    tale.restarts("a")
    tale.ok("a", "b", "c")
    tale.wait(100 * MS)
    tale.ok("a", "b", "c")
    found = asked(tale, probe__fall=4)
    kinds = [name for one in found.differences for name in names(one.whatif)]
    assert "ActivationLost a" in kinds  # it serves there, and knows nothing of it any more


PROBES = hs.lists(hs.tuples(hs.sampled_from("ab"), hs.booleans(), hs.integers(1, 300)), max_size=80)


def told(probes: list[tuple[str, bool, int]]) -> Story:
    tale = Story(made("lan", fall=1, rise=2, effects="none", automation=Automation.AUTO))
    tale.ok("a", "b", "c")
    for name, is_good, gap_ms in probes:
        tale.wait(gap_ms * MS)
        if is_good:
            tale.ok(name)
        else:
            tale.fails(name)
    return tale


@given(PROBES)
def test_a_higher_fall_never_detects_more(probes: list[tuple[str, bool, int]]) -> None:
    tale = told(probes)
    found = [asked(tale, probe__fall=fall).whatif.detections for fall in range(1, 6)]
    assert found == sorted(found, reverse=True)


@given(PROBES, hs.integers(1, 5))
def test_seconds_are_conserved_and_the_recorded_side_is_what_was_recorded(
    probes: list[tuple[str, bool, int]], fall: int
) -> None:
    tale = told(probes)
    alone, found = WhatIf().run(tale.log), asked(tale, probe__fall=fall)
    assert found.recorded == alone.recorded
    length_us = tale.at_us - tale.log[0].at_us
    assert all(0 <= side.down_us["g"] <= length_us for side in (found.recorded, found.whatif))


def test_no_more_of_a_log_is_read_than_was_decided_again() -> None:
    tale, held = failed_over(), 0

    def log() -> Iterator[Recorded]:
        nonlocal held
        for recorded in tale.log:
            held = recorded.seq
            yield recorded

    ask = WhatIf(change=changed(probe__fall=4))

    def stop(run: WhatIf) -> bool:
        assert run is ask
        return run.diverged_at is not None

    found = ask.run(log(), stop=stop)
    assert found.diverged_at is not None
    assert held < len(tale.log)


def test_a_log_that_begins_with_a_state_is_asked_about_from_there() -> None:
    tale = failed_over()
    cut = next(one.seq for one in tale.log if isinstance(one.event, ev.ProbeFailed)) - 1
    before = replay(tale.log[:cut])
    based = Recorded(
        seq=cut,
        at_us=before.at_us,
        subject=ev.FLEET,
        cause=0,
        event=ev.LogBased(state=st.dump(before), seq=cut, chain=bytes(32)),
    )
    log = [based, *tale.log[cut:]]
    assert WhatIf().run(log).diverged_at is None
    found = WhatIf(change=changed(probe__fall=4)).run(log)
    assert found.whatif.failovers == 0
    assert found.state.fleet.policy.groups["g"].probe.fall == 4


def test_an_engine_that_was_stopped_answers_nothing_meanwhile() -> None:
    tale = story("bench", automation=Automation.OBSERVE, names="ab")
    for _ in range(2):
        tale.ok("b", epoch=None)
        tale.ok("a", epoch=None, role="active")
        tale.wait(10 * MS)
    tale.crashes("a")
    stopped_us = tale.at_us
    tale.wait(60 * SECOND)
    tale.see(ev.EngineStarted(release="1", stopped_at_us=stopped_us))
    tale.wait(MS)
    tale.fails("a")
    tale.ok("b", epoch=None)
    tale.wait(100 * MS)
    tale.ok("b", epoch=None)
    found = WhatIf(change=changed(automation=Automation.AUTO)).run(tale.log)
    (switched,) = [
        item.recorded
        for one in found.differences
        for item in one.whatif
        if names((item,)) == ["Switched b"]
    ]
    assert switched.at_us > stopped_us + 60 * SECOND


def test_a_command_to_a_stopped_log_is_no_turn_of_an_engine() -> None:
    tale = story("bench")
    skipped = tale.ok("c")[0].seq
    tale.ask(ev.Paused(until_us=0, reason="r", author="x", at_rest=True))
    tale.ask(ev.Resumed(author="x", at_rest=True))
    tale.wait(SECOND)
    tale.see(ev.EngineStarted(release="1", stopped_at_us=tale.at_us - SECOND))
    tale.ok("a", "b", "c")
    found = WhatIf(skipped=[skipped]).run(tale.log)
    assert found.state.groups["g"].assigned == "a"
    assert found.count == 0


def test_an_observation_of_somebody_who_is_not_there_is_left_out() -> None:
    tale = Story(made("bench"), names="ab").serve()
    configured = tale.log[0]
    assert isinstance(configured.event, ev.ConfigurationLoaded)
    skipped = tale.ok("b")[0].seq
    less = msgspec.structs.replace(configured.event, masters=configured.event.masters[:1])
    tale.see(msgspec.structs.replace(less, digest="less"))
    tale.see(msgspec.structs.replace(configured.event, digest="more"))
    back = tale.log[-1].seq
    tale.ok("b")
    loaded = max(
        one.seq for one in tale.log if one.seq <= back and type(one.event) is type(configured.event)
    )
    found = WhatIf(skipped=[skipped, loaded]).run(tale.log)
    assert found.left_out == 1


def test_who_is_answered_by_one_of_two_observers_is_not_down() -> None:
    tale = story("lan", fall=2, automation=Automation.AUTO)
    tale.ok("a", "b", "c", observer="o2")
    for _ in range(3):
        tale.wait(100 * MS)
        tale.ok("a", "b", "c")
        tale.n += 1
        failed = ev.ProbeFailed(n=tale.n, evidence=ev.Evidence.OVERDUE, observer="o2")
        tale.see(failed, "a")
    assert WhatIf().run(tale.log).recorded.down_us == {"g": 0}
    tale.wait(100 * MS)
    tale.fails("a")
    tale.wait(50 * MS)
    tale.ok("a", observer="o2")
    assert WhatIf().run(tale.log).recorded.down_us == {"g": 50 * MS}


def figures_left_out(recorded: Recorded) -> tuple[object, ...]:
    event = recorded.event
    grounds = ("figures", "evidence", "table", "policy", "phases", "hold_until_us", "retry_at_us")
    said = [(name, getattr(event, name)) for name in event.__struct_fields__ if name not in grounds]
    return type(event), recorded.subject, recorded.at_us, tuple(map(str, said))


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("values", [{"probe__fall": 4}, {"probe__rise": 1}, {"probe__fall": 1}])
def test_the_runs_part_where_deciding_again_first_says_another_thing(
    seed: int, values: dict[str, object]
) -> None:
    """The recorded log with another policy in its configurations, decided again from its start."""
    log = run(draw(seed)).log
    change = changed(**values)
    other = [
        msgspec.structs.replace(
            one, event=msgspec.structs.replace(one.event, policy=change(one.event.policy))
        )
        if isinstance(one.event, ev.ConfigurationLoaded) and one.event.policy is not None
        else one
        for one in log
    ]
    first = None
    again = decide_again(other)
    for ours in log:
        try:
            theirs = next(again, None)
        except LogCorrupted:  # recorded outcomes are no answers to what was never asked
            theirs = None
        if theirs is None or figures_left_out(ours) != figures_left_out(theirs):
            first = ours.seq
            break
    assert WhatIf(change=change).run(log).diverged_at == first


def test_a_verdict_that_comes_a_probe_later_is_a_difference() -> None:
    tale = story("lan", fall=2, automation=Automation.AUTO, effects="none")
    for _ in range(4):
        tale.wait(100 * MS)
        tale.fails("c")
        tale.ok("a", "b")
    found = asked(tale, probe__fall=3)
    (difference,) = found.differences
    both = difference.recorded, difference.whatif
    assert [names(side) for side in both] == [["MasterFailed c"], ["MasterFailed c"]]
    later_us = both[1][0].recorded.at_us - both[0][0].recorded.at_us
    assert (later_us, found.shifted) == (100 * MS, 0)


def test_the_budget_of_what_was_decided_is_none_of_what_would_have_been() -> None:
    tale = story(names="abc")
    tale.fails("b")
    tale.see(ev.FiguresDerived(what="budget", figures=(("uptime_ppm", 1),)), "g")
    tale.see(ev.FiguresDerived(what="views", figures=(("behind_us", 1),)))
    same = WhatIf().run(tale.log)
    assert same.state == tale.state
    assert set(same.state.groups["g"].derived) == {"budget"}
    other = asked(tale, probe__fall=2)
    assert other.diverged_at is not None
    assert other.state.groups["g"].derived == {}
    assert set(other.state.fleet.derived) == {"views"}


# Budgets, accounted for again.


def burning() -> Story:
    """Return a log in which the only master gives no answer for three minutes, and that thrice.

    Under its policy that is no failure, so nothing was spent.
    """
    tale = watched(names="a", fall=10, automation=Automation.AUTO)
    for _ in range(3):
        for _ in range(3):
            pass_us(tale, MINUTE)
            tale.fails("a")
        tale.ok("a")
    for _ in range(40):
        pass_us(tale, MINUTE // 2)
        tale.ok("a")
    return tale


def spending(tale: Story) -> Callable[[int], Spending]:
    """Return what the groups of a log had spent up to a seq."""
    return lambda seq: Spending(fold(UPTIME, tale.log[:seq]))


def again(tale: Story, budgets: Callable[[int], Spending] | None, **values: object) -> Answer:
    return WhatIf(change=changed(**values), budgets=budgets).run(tale.log)


def test_a_budget_that_burns_only_under_another_policy_is_derived_and_told() -> None:
    tale = burning()
    assert not [r for r in tale.log if isinstance(r.event, ev.FiguresDerived)]
    found = again(tale, spending(tale), probe__fall=1)
    raised = {
        item.recorded.event.kind: item.recorded.at_us
        for difference in found.differences
        for item in difference.whatif
        if isinstance(item.recorded.event, ev.AlertRaised)
    }
    assert "burn" in raised
    derived = found.state.groups["g"].derived["budget"]
    assert dict(derived.figures)["failures_1h"] == 3
    # A minute is over after the third failure, counted from the start of the engine.
    failed_us = found.verdicts[2][2]
    assert failed_us < raised["burn"] <= failed_us + MINUTE
    assert (raised["burn"] - found.state.fleet.started_us) % MINUTE == 0


def test_where_nobody_accounts_for_budgets_they_are_left_out() -> None:
    found = again(burning(), None, probe__fall=1)
    assert found.diverged_at is not None
    assert found.state.groups["g"].derived == {}


def test_nothing_is_derived_of_a_budget_while_no_engine_runs() -> None:
    tale = burning()
    last = tale.log[-1].at_us
    tale.wait(60 * MINUTE)
    tale.see(ev.EngineStarted(release="1", stopped_at_us=last))
    asked_at: list[int] = []

    class Noting(Spending):
        def figures(self, policy: Policy, at_us: int) -> dict[str, tuple[tuple[str, int], ...]]:
            asked_at.append(at_us)
            return super().figures(policy, at_us)

    pass_us(tale, 2 * MINUTE)
    tale.ok("a")
    again(tale, lambda seq: Noting(fold(UPTIME, tale.log[:seq])), probe__fall=1)
    assert len(asked_at) > 5
    assert not [at_us for at_us in asked_at if last < at_us < last + 60 * MINUTE]
    assert asked_at[-1] > last + 60 * MINUTE


def test_under_the_recorded_policy_nothing_is_accounted_for_at_all() -> None:
    tale = burning()

    def none(_: int) -> Spending:
        raise AssertionError("the runs have not parted")

    same = WhatIf(budgets=none).run(tale.log)
    assert same.state == tale.state
