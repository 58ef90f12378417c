"""Replicas leave a primary that is gone, so that it cannot come back and take their data away."""

import msgspec

from engine.core import events as ev
from engine.core.policy import SECOND, Fence, FenceKind
from tests.engine.core.build import Story, made


def confirming(effects: str = "redis", **changes: object) -> Story:
    """Return a story in which a serves, and whoever is left has to confirm its fence."""
    policy = msgspec.structs.replace(
        made(effects=effects, unknown_after_us=0, **changes),
        fence=Fence(kind=FenceKind.CONFIRMED, clients="direct"),
    )
    return Story(policy, names="abc").serve()


def test_replicas_leave_a_primary_that_is_gone_however_its_fence_is_waited_for() -> None:
    """It may be started again without its data, which they would take from it."""
    tale = confirming()
    tale.crashes("a")
    assert tale.owed() == [("fence", "a"), ("detach", "b"), ("detach", "c")]
    tale.answers("detach", master="b")
    tale.restarts("a")
    tale.ok("a", role="active")  # so it may act, and confirms nothing by that
    assert tale.owed() == [("fence", "a"), ("detach", "c")]
    tale.answers("detach", master="c")
    tale.work()
    assert tale.group.assigned == "b"
    assert tale.master("c").follows == "b"


def test_nobody_leaves_a_primary_that_may_still_send_what_it_has() -> None:
    tale = confirming()
    tale.fails("a", "a")
    assert tale.group.saga is not None
    assert tale.owed() == [("fence", "a")]
    tale.crashes("a")
    assert tale.owed() == [("fence", "a"), ("detach", "b"), ("detach", "c")]


def test_masters_that_do_not_replicate_leave_nobody() -> None:
    tale = confirming("http")
    tale.crashes("a")
    assert tale.owed() == [("fence", "a")]


def test_a_primary_that_serves_is_not_left_because_a_stray_is_gone() -> None:
    tale = confirming()
    tale.ok("c", role="active")  # nobody made it so, and it is fenced
    tale.crashes("c")
    tale.wait(SECOND)
    tale.ok("a", "b")
    tale.ask(ev.FailoverAsked(to="b", author="x"))
    while ("fence", "a") not in tale.owed():
        tale.answers(next(step for step, _ in tale.owed() if step != "fence"))
    assert ("detach", "b") not in tale.owed()


def test_nobody_leaves_a_primary_whose_fence_is_confirmed_while_that_of_a_stray_is_waited_for() -> (
    None
):
    tale = confirming()
    tale.ok("c", role="active")
    tale.crashes("a")
    assert ("detach", "b") in tale.owed()
    tale.answers("fence", master="a")
    assert tale.group.saga is not None
    assert tale.owed() == [("fence", "c")]
