"""Programs of the operator around the steps of a failover."""

import itertools

import pytest

from engine.core import events as ev
from engine.core.errors import LogCorrupted
from engine.core.events import Recorded, Result
from engine.core.evolve import evolve
from engine.core.policy import MINUTE, MS, SECOND, Hooks
from tests.engine.core.build import Story, kinds, only, story, subjects, switch

STEPS = ("fence", "transfer", "promote", "verify", "switch")
ALL = Hooks(
    **{f"{when}_{step}": (f"{when}-{step}",) for when in ("before", "after") for step in STEPS}
)


def hooked(**hooks: tuple[str, ...]) -> Story:
    return story(hooks=Hooks(**hooks))


def ran(tale: Story, *, since: int = 0) -> list[str]:
    """Return the programs and steps that ended well, in their order."""
    return [
        seen.event.step
        for seen in tale.log
        if isinstance(seen.event, ev.Outcome) and seen.seq > since
    ]


def test_every_program_is_run_where_it_belongs() -> None:
    tale = story(hooks=ALL)
    since = tale.state.seq
    tale.crashes("a")
    tale.dead.clear()  # it hangs, so that its fence has an answer
    assert tale.owed() == [("before-fence", "a")]
    tale.work()
    order = ran(tale, since=since)
    assert len(order) == len(set(order)) == 15
    for step in STEPS:
        place = order.index(step)
        assert order.index(f"before-{step}") < place < order.index(f"after-{step}")
    for step, then in itertools.pairwise(STEPS[1:]):
        assert order.index(step) < order.index(f"before-{then}")
    assert tale.group.assigned == "b"
    assert tale.owed() == []


def test_the_first_activation_has_them_but_for_its_fence() -> None:
    tale = story(hooks=ALL)
    assert {step for step in ran(tale) if step.endswith("fence")} == set()
    assert "before-transfer" in ran(tale)


def test_who_is_trusted_again_while_the_program_before_its_fence_runs_keeps_its_place() -> None:
    hooks = Hooks(before_fence=("say",))
    tale = story(unknown_after_us=0, rise=1, hooks=hooks, interval_us=MINUTE)
    tale.fails("a")
    tale.wait(MS)
    tale.ok("b", "c")
    assert tale.owed() == [("before-fence", "a")]
    tale.ok("a")
    taken = tale.answers("before-fence")
    assert "MasterFenced" not in kinds(taken)
    ended = only(taken, ev.FailoverEnded)
    assert (ended.result, ended.reason) == ("abandoned", "the active recovered")
    assert (ended.retry_at_us, tale.group.failed_id) == (0, 0)
    assert "MasterFenced" not in kinds(tale.ok("a", "b", "c"))


def test_nothing_is_taken_from_the_source_before_the_program_has_let_it() -> None:
    tale = hooked(before_fence=("p",))
    taken = tale.crashes("a")
    assert only(taken, ev.HookStarted) == ev.HookStarted(
        hook="before-fence",
        failover=tale.group.saga.id,
        epoch=2,  # type: ignore[union-attr]
    )
    assert "MasterFenced" not in kinds(taken)
    assert kinds(tale.refuses("a")) == []
    taken = tale.answers("before-fence")
    assert kinds(taken) == ["HookEnded", "MasterFenced", "TransferStarted"]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("result", [Result.REFUSED, Result.UNKNOWN, Result.FAILED])
def test_a_program_before_a_step_that_does_not_end_well_fails_the_attempt(
    step: str, result: Result
) -> None:
    tale = hooked(**{f"before_{step}": ("p",)})
    while (f"before-{step}") not in [owed for owed, _ in tale.owed()]:
        if not [seen for seen in tale.log if isinstance(seen.event, ev.MasterFailed)]:
            # The first activation was let.
            tale.crashes("a")
            continue
        tale.answers(next(name for name, _ in tale.owed() if name != "fence"))
    taken = tale.answers(f"before-{step}", result)
    failed = only(taken, ev.AttemptFailed)
    assert failed.reason == f"before-{step}: {result.value}"
    assert failed.maybe_active == (step in ("verify", "switch"))
    assert subjects(taken, ev.AttemptFailed) == ["b"]
    assert only(taken, ev.HookEnded).result == result.value
    assert [each.heir for each in attempts(tale)][-2:] == ["b", "c"]


def attempts(tale: Story) -> list[ev.AttemptStarted]:
    return [seen.event for seen in tale.log if isinstance(seen.event, ev.AttemptStarted)]


def test_a_program_that_always_says_no_to_the_fence_is_asked_less_and_less_often() -> None:
    tale = hooked(before_fence=("p",))
    tale.crashes("a")
    for _ in range(2):
        tale.answers("before-fence", Result.REFUSED)
    assert tale.group.saga is None
    assert tale.group.retry_us == SECOND
    tale.wait(SECOND // 2)
    tale.ok("b", "c")
    assert tale.group.saga is None
    tale.wait(SECOND // 2)
    tale.ok("b", "c")
    tale.tick()
    assert tale.group.saga is not None
    for _ in range(2):
        tale.answers("before-fence", Result.REFUSED)
    assert tale.group.retry_us == 2 * SECOND


def test_after_the_switch_there_is_no_way_back() -> None:
    tale = hooked(after_switch=("p",), after_verify=("p",))
    tale.crashes("a")
    for step in ("transfer", "promote", "verify", "switch"):
        tale.answers(step)
    assert tale.group.assigned == "b"
    assert ("after-switch", "b") in tale.owed()
    for hook in ("after-switch", "after-verify"):
        taken = tale.answers(hook, Result.UNKNOWN)
        assert only(taken, ev.HookEnded).result == "unknown"
    assert tale.owed() == [("fence", "a")]
    assert tale.group.assigned == "b"


def test_nobody_waits_for_a_program_after_a_step() -> None:
    tale = hooked(after_transfer=("p",))
    tale.crashes("a")
    tale.answers("transfer")
    assert tale.owed() == [("promote", "b"), ("after-transfer", "b"), ("fence", "a")]
    tale.answers("promote")
    tale.answers("verify")
    assert tale.group.assigned == "b"
    assert ("after-transfer", "b") in tale.owed()


def test_an_heir_that_fails_while_a_program_is_run_is_given_up() -> None:
    tale = hooked(before_transfer=("p",))
    tale.crashes("a")
    assert ("before-transfer", "b") in tale.owed()
    taken = tale.crashes("b")
    assert "unfit" in only(taken, ev.AttemptFailed).reason
    assert ("before-transfer", "c") in tale.owed()
    tale = hooked(before_promote=("p",))
    tale.crashes("a")
    tale.answers("transfer")
    assert only(tale.crashes("b"), ev.AttemptFailed).reason == "the heir failed while transferring"


def test_a_late_answer_of_a_program_changes_nothing() -> None:
    tale = hooked(before_transfer=("p",))
    tale.crashes("a")
    saga = tale.group.saga
    assert saga is not None
    late = ev.Outcome(
        step="before-transfer", failover=saga.id, epoch=saga.epoch, result=Result.REFUSED
    )
    tale.crashes("b")  # another attempt, with another epoch
    assert kinds(tale.see(late, "b")) == []
    tale.work()
    assert kinds(tale.see(late, "b")) == []
    # A step that was taken is not taken again while a program is waited for.
    tale = hooked(before_promote=("p",))
    tale.crashes("a")
    saga = tale.group.saga
    assert saga is not None
    tale.answers("transfer")
    again = ev.Outcome(
        step="transfer", failover=saga.id, epoch=saga.epoch, result=Result.OK,
        digest=saga.transfer_digest,
    )  # fmt: skip
    assert kinds(tale.see(again, "b")) == []


def test_a_silent_heir_is_waited_for_after_a_start_while_a_program_is_run() -> None:
    tale = story(hooks=Hooks(before_transfer=("p",)), grace_us=SECOND)
    tale.crashes("a")
    assert ("before-transfer", "b") in tale.owed()
    tale.wait(SECOND)
    stopped_us = tale.at_us - SECOND
    tale.see(ev.EngineStarted(release="2", stopped_at_us=stopped_us))
    assert ("before-transfer", "b") in tale.owed()
    tale.ok("b", "c")
    tale.work()
    assert tale.group.assigned == "b"


def test_a_planned_change_has_them_before_its_source_drains() -> None:
    tale = hooked(before_fence=("p",))
    switch(tale, "b")
    tale.answers("preflight")
    assert tale.master("a").role.value == "active"
    assert kinds(tale.answers("before-fence", Result.REFUSED))[-1] == "FailoverEnded"
    assert tale.master("a").role.value == "active"
    assert tale.group.retry_at_us == 0
    switch(tale, "b")
    tale.work()
    assert tale.group.assigned == "b"


def test_a_fence_outside_of_failovers_has_none() -> None:
    tale = hooked(before_fence=("p",), after_fence=("p",))
    tale.ok("c", role="active", epoch=0)
    assert ("fence", "c") in tale.owed()
    assert "HookStarted" not in kinds(tale.answers("fence"))


@pytest.mark.parametrize(
    "event",
    [
        ev.HookStarted(hook="before-fence", failover=99, epoch=2),
        ev.HookEnded(hook="before-fence", failover=99, epoch=2, result="ok"),
    ],
)
def test_a_program_of_no_failover_is_a_corrupt_log(event: ev.HookStarted | ev.HookEnded) -> None:
    tale = story()
    recorded = Recorded(seq=tale.state.seq + 1, at_us=tale.at_us, subject="a", cause=0, event=event)
    with pytest.raises(LogCorrupted, match="before-fence"):
        evolve(tale.state, recorded)
