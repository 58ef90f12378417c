"""What status says of what goes on beside the steps of a failover, and of fences."""

import msgspec

from engine.answers.status import status
from engine.core.policy import SECOND, Fence, FenceKind, Hooks, Recover
from tests.engine.core.build import Story, made, story


def test_what_goes_on_beside_the_steps_is_said() -> None:
    recover = Recover(command=("heal",), attempts=5, backoff_us=1, timeout_us=1)
    tale = story(effects="redis", recover=recover, hooks=Hooks(before_fence=("p",)))
    tale.crashes("a")
    found = status(tale.state)
    masters, groups = found["masters"], found["groups"]
    assert isinstance(masters, dict)
    assert isinstance(groups, dict)
    assert masters["c"]["follows"] == "a"
    assert masters["a"]["recovery"] == {"attempt": 1, "running": True}
    assert masters["b"]["recovery"] is None
    assert groups["g"]["failover"]["hook"] == "before-fence"
    assert {"step": "before-fence", "master": "a", "epoch": 2} in groups["g"]["owed"]


def test_a_fence_that_is_waited_for_is_said_with_what_ends_it() -> None:
    leased = Fence(kind=FenceKind.LEASE, clients="direct", lease_us=10 * SECOND)
    tale = Story(msgspec.structs.replace(made(unknown_after_us=0), fence=leased)).serve()
    tale.crashes("a")
    waits = status(tale.state)["groups"]["g"]["waits"]  # type: ignore[index]
    assert waits["reason"] == "lease"
    assert waits["until"] is not None
    assert "the lease of who was left runs out" in waits["says"]
    tale = story(fence=FenceKind.CONFIRMED)
    tale.crashes("a")
    waits = status(tale.state)["groups"]["g"]["waits"]  # type: ignore[index]
    assert (waits["reason"], waits["until"]) == ("fence", None)
    assert "a has not confirmed that it is fenced: tanist release a" in waits["says"]
    redis = Story(msgspec.structs.replace(made(effects="redis"), fence=leased)).serve()
    redis.crashes("a")
    says = status(redis.state)["groups"]["g"]["waits"]["says"]  # type: ignore[index]
    assert "because a, b, c says of none that is short" in says
