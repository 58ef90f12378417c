"""What the state owes the world, and until when."""

from engine.core import events as ev
from engine.core.events import Result
from engine.core.fleet import Mode
from engine.core.owed import Deliver, Effect, deliveries, owed
from engine.core.policy import Automation
from tests.engine.core.build import Story, made, story


def steps(tale: Story) -> list[Effect]:
    return list(owed(tale.state))


def test_a_group_at_peace_owes_nothing() -> None:
    assert steps(story()) == []


def test_a_step_carries_the_failover_and_the_epoch_of_its_attempt() -> None:
    tale = story()
    tale.crashes("a")
    saga = tale.group.saga
    assert saga is not None
    assert steps(tale) == [
        Effect(step="transfer", group="g", master="b", failover=saga.id, epoch=2),
        Effect(step="fence", group="g", master="a", failover=saga.id, epoch=3),
    ]


def test_a_fence_outlives_its_failover_and_keeps_its_key() -> None:
    tale = story()
    tale.crashes("a")
    fence = steps(tale)[1]
    tale.work()
    assert steps(tale) == [fence]
    tale.restarts("a")
    tale.ends(fence, Result.OK)
    assert steps(tale) == []


def test_a_fence_without_a_failover_has_a_key_too() -> None:
    tale = story(names="a")
    tale.restarts("a")
    tale.ok("a")
    assert steps(tale) == [Effect(step="fence", group="g", master="a", failover=0, epoch=2)]


def test_a_preflight_is_owed_once() -> None:
    tale = story()
    tale.ask(ev.SwitchoverAsked(to="b", author="x"))
    (preflight,) = steps(tale)
    assert (preflight.step, preflight.master, preflight.epoch) == ("preflight", "b", 0)
    tale.answers("preflight")
    assert "preflight" not in [effect.step for effect in steps(tale)]


def test_a_failover_that_waits_owes_nothing() -> None:
    tale = story(automation=Automation.CONFIRM)
    assert tale.group.saga is not None
    assert steps(tale) == []


def test_the_switch_is_owed_by_the_activation_until_the_next_one() -> None:
    tale = story()
    tale.crashes("a")
    for step in ("transfer", "promote", "verify"):
        tale.answers(step)
    assert ("switch", "b") in tale.owed()
    tale.crashes("b")
    assert ("switch", "b") not in tale.owed()


def test_observing_tells_nobody_an_epoch() -> None:
    tale = Story(made(automation=Automation.OBSERVE))
    tale.ok("a", role="active")
    tale.ok("b", "c")
    assert tale.group.assigned == "a"
    assert tale.master("a").promote_owed
    assert steps(tale) == []


def test_in_an_active_active_group_promotions_and_fences_are_owed() -> None:
    tale = Story(made(mode=Mode.ACTIVE_ACTIVE, effects="http"))
    tale.ok("a", "b", "c")
    assert tale.owed() == [("promote", "a"), ("promote", "b"), ("promote", "c")]
    tale.work()
    assert steps(tale) == []
    tale.crashes("a")
    assert tale.owed() == [("fence", "a")]


def test_in_each_lane_the_oldest_message_is_owed() -> None:
    tale = story()
    seqs = [
        tale.accepts("i", lane="x")[0].seq,
        tale.accepts("j", lane="x")[0].seq,
        tale.accepts("k", lane="y")[0].seq,
    ]
    first, second = deliveries(tale.group)
    assert first == Deliver(
        group="g", master="a", epoch=1, seq=seqs[0], key="i", lane="x", digest=b"i"
    )
    assert (second.seq, second.key, second.lane) == (seqs[2], "k", "y")


def test_nothing_is_delivered_under_an_activation_that_was_revoked() -> None:
    tale = story()
    tale.accepts("k")
    tale.crashes("a")
    assert list(deliveries(tale.group)) == []
    tale.work()
    assert [(deliver.master, deliver.epoch) for deliver in deliveries(tale.group)] == [("b", 2)]
