"""Fences by lease: who was left has stopped by itself when its lease has run out."""

import msgspec
import pytest

from engine.core import events as ev
from engine.core.blocking import Block, fence_waits
from engine.core.events import Result
from engine.core.leasing import REDIS_SLACK_US, lease_ends_us, unleased
from engine.core.policy import ALERTS, SECOND, Fence, FenceKind, Hooks, fresh_us
from tests.engine.core.build import Story, declared, kinds, loaded, made, only, refused, subjects

LEASE_US = 10 * SECOND
DRIFT_US = SECOND


def leasing(effects: str = "http", *, names: str = "abc", says: int = 5 * SECOND) -> Story:
    """Return a story in which a serves; everybody says that it keeps a lease of `says`."""
    policy = msgspec.structs.replace(
        made(effects=effects, unknown_after_us=0),
        fence=Fence(kind=FenceKind.LEASE, clients="direct", lease_us=LEASE_US),
    )
    tale = Story(policy, names=names)
    for name in names:
        tale.see(ev.LoadReported(lease_us=says), name)
    return tale.serve()


def passes(tale: Story, us: int) -> list[ev.AnyEvent]:
    """Return what time brings, with the standbys heard until the end."""
    tale.wait(us - 1)
    tale.ok(*(name for name in tale.group.masters if name not in tale.dead))
    tale.wait(1)
    return [seen.event for seen in tale.tick()]


def test_nobody_is_promoted_before_the_lease_of_who_was_left_has_run_out() -> None:
    tale = leasing()
    left_us = tale.at_us
    tale.crashes("a")
    assert tale.owed() == [("fence", "a")]
    assert tale.group.saga is not None
    assert passes(tale, LEASE_US + DRIFT_US - 1) == []
    assert tale.owed() == [("fence", "a")]
    tale.wait(1)
    taken = tale.tick()
    confirmed = only(taken, ev.FenceConfirmed)
    assert (confirmed.epoch, confirmed.how) == (3, "lease")
    assert taken[0].event == ev.DeadlinePassed(what="lease")
    assert taken[0].at_us == left_us + LEASE_US + DRIFT_US
    assert ("transfer", "b") in tale.owed()
    tale.work()
    assert tale.group.assigned == "b"


@pytest.mark.parametrize("how", ["command", "file"])
@pytest.mark.parametrize("effects", ["redis", "http"])
def test_nobody_joins_who_would_make_a_lease_endless(how: str, effects: str) -> None:
    tale = leasing(effects)
    now = tale.state.policy_of(tale.group)
    joining = ev.MasterAddAsked(master=declared("abcd")[3], author="x")
    join = joining if how == "command" else loaded(now, declared("abcd"))
    tale.crashes("a")
    if effects == "http":  # its masters renew nothing for one another
        assert "MasterAdded" in kinds(tale.see(join))
        return
    (reason,) = refused(tale.see(join))
    assert reason.startswith("the lease of a of g is waited for, and d may renew it")
    tale.ask(ev.Released(scope="fence", author="x"), "a")
    assert "MasterAdded" in kinds(tale.see(join))


@pytest.mark.parametrize("subject", ["a", "g"])
def test_a_reset_ends_no_lease(subject: str) -> None:
    tale = leasing()
    left_us = tale.at_us
    tale.crashes("a")
    tale.wait(SECOND)
    tale.ok("b", "c")
    assert kinds(tale.ask(ev.ResetAsked(author="x"), subject)) == []
    ends_us = left_us + LEASE_US + DRIFT_US
    assert lease_ends_us(tale.state, tale.group, tale.master("a")) == ends_us
    passes(tale, ends_us - tale.at_us)
    assert ("transfer", "b") in tale.owed()


def test_no_file_makes_a_lease_shorter_that_is_waited_for() -> None:
    tale = leasing()
    tale.crashes("a")
    now = tale.state.policy_of(tale.group)
    fence = msgspec.structs.replace(now.fence, lease_us=SECOND)
    taken = tale.see(loaded(msgspec.structs.replace(now, fence=fence), declared("abc")))
    assert any("effects and fence stay" in one for one in only(taken, ev.Refused).reasons)
    assert tale.state.policy_of(tale.group) == now


@pytest.mark.parametrize("effects", ["http", "redis"])
def test_a_lease_counts_anew_for_an_engine_that_begins(effects: str) -> None:
    """What time passed while none ran is what the wall clock says, and somebody may have set it."""
    tale = leasing(effects)
    tale.crashes("a")
    if effects == "redis":
        tale.answers("detach", master="b")
        tale.answers("detach", master="c")
    stopped_us = tale.at_us
    tale.wait(100 * LEASE_US)
    started_us = tale.at_us
    begun = tale.see(ev.EngineStarted(release="x", stopped_at_us=stopped_us))
    assert ev.FenceConfirmed not in {type(one.event) for one in begun}
    ends_us = started_us + LEASE_US + DRIFT_US
    assert lease_ends_us(tale.state, tale.group, tale.master("a")) == ends_us


@pytest.mark.parametrize("effects", ["http", "redis"])
def test_a_lease_runs_on_while_an_engine_stands_still(effects: str) -> None:
    """Stalls that come more often than a lease lasts must not make it endless."""
    tale = leasing(effects)
    tale.crashes("a")
    left_us = tale.at_us
    if effects == "redis":
        tale.answers("detach", master="b")
        tale.answers("detach", master="c")
    for _ in range(5):
        stopped_us = tale.at_us
        tale.wait(2 * SECOND)
        tale.see(ev.EngineResumed(stall_us=2 * SECOND, stopped_at_us=stopped_us))
        tale.ok("b", "c")
    ends_us = left_us + LEASE_US + DRIFT_US
    assert lease_ends_us(tale.state, tale.group, tale.master("a")) == ends_us
    passes(tale, ends_us - tale.at_us)
    assert ("transfer", "b") in tale.owed()


def test_after_a_stall_that_outlasts_the_lease_everybody_is_heard_first() -> None:
    tale = leasing("redis")
    tale.crashes("a")
    tale.answers("detach", master="b")
    tale.answers("detach", master="c")
    stopped_us = tale.at_us
    tale.wait(2 * LEASE_US)
    tale.see(ev.EngineResumed(stall_us=2 * LEASE_US, stopped_at_us=stopped_us))
    looked_us = tale.at_us + fresh_us(tale.state.policy_of(tale.group))
    assert lease_ends_us(tale.state, tale.group, tale.master("a")) == looked_us
    tale.restarts("b")  # and may follow a again, for all that is known
    tale.ok("b")
    assert lease_ends_us(tale.state, tale.group, tale.master("a")) == 0


def test_a_lease_that_no_engine_lives_to_see_run_out_is_told_and_released() -> None:
    tale = leasing()
    tale.state.fleet.policy = msgspec.structs.replace(tale.state.fleet.policy, alerts=ALERTS)
    tale.crashes("a")
    told: set[str] = set()
    for _ in range(10):
        stopped_us = tale.at_us
        tale.wait(LEASE_US // 2)
        taken = tale.see(ev.EngineStarted(release="x", stopped_at_us=stopped_us))
        taken += tale.ok("b", "c")
        told |= {one.event.kind for one in taken if isinstance(one.event, ev.AlertRaised)}
    assert "fence" in told
    assert tale.owed() == [("fence", "a")]
    tale.ask(ev.Released(scope="fence", author="x"), "a")
    assert ("transfer", "b") in tale.owed()


def test_a_fence_that_is_answered_is_not_waited_for() -> None:
    tale = leasing()
    tale.crashes("a")
    tale.restarts("a")
    assert only(tale.answers("fence"), ev.FenceConfirmed).how == "answered"
    assert ("transfer", "b") in tale.owed()


def test_replicas_leave_first_and_the_lease_counts_from_the_last_of_them() -> None:
    tale = leasing("redis")
    tale.crashes("a")
    assert tale.owed() == [("fence", "a"), ("detach", "b"), ("detach", "c")]
    tale.wait(SECOND)
    tale.answers("detach", master="b")
    assert lease_ends_us(tale.state, tale.group, tale.master("a")) == 0
    tale.wait(SECOND)
    tale.ok("b", "c")
    last_us = tale.at_us
    assert only(tale.answers("detach", master="c"), ev.FollowChanged).active == ""
    assert tale.owed() == [("fence", "a")]
    ends_us = last_us + LEASE_US + DRIFT_US
    assert lease_ends_us(tale.state, tale.group, tale.master("a")) == ends_us
    passes(tale, ends_us - tale.at_us)
    assert ("transfer", "b") in tale.owed()
    tale.work()
    assert tale.master("c").follows == "b"


def test_a_replica_that_cannot_be_reached_may_renew_and_is_waited_for() -> None:
    tale = leasing("redis")
    tale.crashes("a")
    tale.answers("detach", master="b")
    tale.answers("detach", Result.UNKNOWN, master="c")
    tale.fails("c")  # it is silent, which is not gone
    passes_us = 3 * LEASE_US
    tale.wait(passes_us)
    tale.ok("b")
    tale.tick()
    assert ("detach", "c") in tale.owed()
    assert ("transfer", "b") not in tale.owed()
    tale.crashes("c")  # now it is gone, and renews nothing: it did so until a moment ago
    assert tale.owed() == [("fence", "a")]
    ends_us = tale.at_us + LEASE_US + DRIFT_US
    assert lease_ends_us(tale.state, tale.group, tale.master("a")) == ends_us
    tale.wait(SECOND)
    tale.refuses("c")  # it is no more gone than before
    assert lease_ends_us(tale.state, tale.group, tale.master("a")) == ends_us
    passes(tale, ends_us - tale.at_us)
    assert ("transfer", "b") in tale.owed()


def test_a_replica_that_was_gone_before_renewed_nothing_since() -> None:
    tale = leasing("redis")
    tale.crashes("c")
    tale.wait(SECOND)
    tale.ok("a", "b")
    tale.refuses("c")
    tale.crashes("a")
    tale.answers("detach", master="b")
    ends_us = tale.at_us + LEASE_US + DRIFT_US
    assert lease_ends_us(tale.state, tale.group, tale.master("a")) == ends_us


def test_a_replica_that_failed_softly_and_is_refused_since_is_gone() -> None:
    tale = leasing("redis")
    tale.fails("c", "c")
    tale.crashes("a")
    tale.answers("detach", master="b")
    tale.wait(SECOND)
    tale.ok("b")
    tale.refuses("c")
    assert tale.owed() == [("fence", "a"), ("detach", "c")]
    tale.wait(SECOND)
    tale.refuses("c")
    assert tale.owed() == [("fence", "a")]
    ends_us = tale.at_us + LEASE_US + DRIFT_US
    assert lease_ends_us(tale.state, tale.group, tale.master("a")) == ends_us
    tale.fails("c")  # something is there again, or was in the way
    assert ("detach", "c") in tale.owed()
    tale.see(ev.ResetAsked(author="x"), "c")
    tale.wait(SECOND)
    tale.refuses("c", "c")
    tale.dead.add("c")
    ends_us = tale.at_us + LEASE_US + DRIFT_US
    assert lease_ends_us(tale.state, tale.group, tale.master("a")) == ends_us
    passes(tale, ends_us - tale.at_us)
    assert ("transfer", "b") in tale.owed()


def test_a_replica_that_renewed_a_lease_is_not_lost_sight_of() -> None:
    tale = leasing("redis", names="abcd")
    tale.crashes("d")
    tale.wait(SECOND)
    tale.ok("a", "b", "c")
    tale.crashes("a")
    tale.answers("detach", master="b")
    tale.answers("detach", Result.UNKNOWN, master="c")
    reason = (
        "c of g may have renewed the lease of a, which is waited for: "
        "release a, if it cannot act any more"
    )
    policy = tale.state.policy_of(tale.group)
    members = {each.id: each for each in declared("abcd")}
    moved = msgspec.structs.replace(members["c"], address="http://elsewhere:1")
    tale.wait(SECOND)
    tale.ok("b")
    for state_of_c in ("it cannot be told", "it is gone since"):
        assert refused(tale.ask(ev.MasterRemoveAsked(author="x"), "c")) == (reason,), state_of_c
        for others in ("abd", "abc"):
            file = loaded(policy, tuple(members[name] for name in others if name != "c"))
            assert reason in refused(tale.see(file)), state_of_c
        file = loaded(policy, (members["a"], members["b"], moved, members["d"]))
        assert refused(tale.see(file)) == (reason,), state_of_c
        tale.crashes("c")
    # Who was gone before has renewed nothing.
    assert kinds(tale.ask(ev.MasterRemoveAsked(author="x"), "d")) == ["MasterRemoved"]
    passes(tale, LEASE_US + DRIFT_US)
    assert ("transfer", "b") in tale.owed()
    assert kinds(tale.ask(ev.MasterRemoveAsked(author="x"), "c")) == ["MasterRemoved"]


@pytest.mark.parametrize(
    ("says", "is_short"),
    [
        (0, False),
        (-1, False),
        (LEASE_US - REDIS_SLACK_US, True),
        (LEASE_US - REDIS_SLACK_US + 1, False),
    ],
)
def test_a_redis_that_says_of_no_lease_that_is_short_enough_is_not_believed_to_stop(
    says: int, is_short: bool
) -> None:
    tale = leasing("redis", says=says)
    assert unleased(tale.state, tale.group) == ([] if is_short else ["a", "b", "c"])
    tale.crashes("a")
    for name in "bc":
        tale.answers("detach", master=name)
    passes(tale, 3 * LEASE_US)
    assert (("transfer", "b") in tale.owed()) == is_short
    if not is_short:
        taken = tale.ask(ev.Released(scope="fence", author="x"), "a")
        assert "TransferStarted" in kinds(taken)


def test_one_of_which_nothing_was_heard_says_of_no_lease() -> None:
    policy = msgspec.structs.replace(
        made(effects="redis"),
        fence=Fence(kind=FenceKind.LEASE, clients="direct", lease_us=LEASE_US),
    )
    tale = Story(policy, masters=declared("ab"))
    assert unleased(tale.state, tale.group) == ["a", "b"]


def test_one_that_is_well_and_does_not_confirm_renews_its_lease_and_is_waited_for() -> None:
    tale = leasing()
    tale.ask(ev.FailoverAsked(to="b", author="x"))
    while ("fence", "a") not in tale.owed():
        tale.answers(tale.owed()[0][0])
    tale.answers("fence", Result.REFUSED)
    passes(tale, 3 * LEASE_US)
    assert tale.owed() == [("fence", "a")]
    assert lease_ends_us(tale.state, tale.group, tale.master("a")) == 0


def test_every_lease_has_to_run_out() -> None:
    tale = leasing(names="abcd")
    tale.crashes("a")
    passes(tale, LEASE_US + DRIFT_US)
    tale.work()
    assert tale.group.assigned == "b"
    left_us = tale.at_us
    tale.crashes("b")
    assert lease_ends_us(tale.state, tale.group, tale.master("a")) == 0  # it is confirmed
    passes(tale, LEASE_US + DRIFT_US)
    assert tale.at_us == left_us + LEASE_US + DRIFT_US
    tale.work()
    assert tale.group.assigned == "c"


def test_who_left_for_an_attempt_that_is_over_is_told_to_follow_again() -> None:
    tale = leasing("redis")
    tale.crashes("a")
    tale.answers("detach", master="c")
    late = ev.Outcome(step="detach", failover=1, epoch=1, result=Result.OK)
    assert kinds(tale.see(late, "b")) == []
    tale.answers("detach", master="b")
    passes(tale, LEASE_US + DRIFT_US)
    tale.work()
    assert (tale.master("c").follows, tale.master("c").follow_epoch) == ("b", 2)
    assert kinds(tale.see(late, "c")) == []


def test_the_longest_of_several_leases_is_waited_for() -> None:
    tale = leasing()
    tale.ok("c", role="active")  # nobody made it so, and it is fenced
    assert tale.owed() == [("fence", "c")]
    tale.crashes("c")
    tale.wait(SECOND)
    tale.ok("a", "b")
    tale.crashes("a")
    first_us, second_us = (
        lease_ends_us(tale.state, tale.group, tale.master(name)) for name in "ca"
    )
    assert second_us - first_us == SECOND
    assert fence_waits(tale.state, tale.group) == Block(reason="lease", until_us=second_us)
    passes(tale, second_us - tale.at_us)
    assert ("transfer", "b") in tale.owed()


@pytest.mark.parametrize("result", [Result.OK, Result.REFUSED])
def test_a_lease_runs_out_while_a_program_before_another_fence_runs(result: Result) -> None:
    policy = msgspec.structs.replace(
        made(unknown_after_us=0, hooks=Hooks(before_fence=("notify",))),
        fence=Fence(kind=FenceKind.LEASE, clients="direct", lease_us=LEASE_US),
    )
    groups = {"g": policy, "h": made(unknown_after_us=0)}
    tale = Story(groups, masters=(*declared("abcd"), *declared("xy", group="h")))
    tale.serve()
    tale.ok("x", "y")
    tale.ok("c", role="active")  # nobody made it so, and it is fenced
    tale.crashes("c")
    ends_us = lease_ends_us(tale.state, tale.group, tale.master("c"))
    tale.wait(SECOND)
    tale.ok("a", "b", "d")
    tale.crashes("a")
    assert tale.owed()[0] == ("before-fence", "a")
    tale.wait(ends_us - tale.at_us - 1)
    tale.ok("b", "d")
    tale.wait(1)
    taken = tale.ok("x")  # of another group, which goes on
    assert (taken[0].event, taken[0].at_us) == (ev.DeadlinePassed(what="lease"), ends_us)
    assert kinds(taken) == ["FenceConfirmed"]
    assert subjects(taken, ev.FenceConfirmed) == ["c"]
    took = kinds(tale.answers("before-fence", result))
    assert ("MasterFenced" in took) == (result is Result.OK)
    if result is Result.OK:
        passes(tale, LEASE_US + DRIFT_US)
        assert ("transfer", "b") in tale.owed()
