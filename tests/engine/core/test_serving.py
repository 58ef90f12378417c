import msgspec
import pytest

from engine.core import events as ev
from engine.core.balancing.priority import Priority
from engine.core.balancing.smooth_weighted import SmoothWeighted
from engine.core.decider import step
from engine.core.events import Evidence
from engine.core.fleet import Master, Mode
from engine.core.policy import EJECTION, Balance, Policy, preset
from engine.core.serving import picker, shares, weights
from engine.core.state import GroupState, State


class Tale:
    """An active-active group of masters with these weights, and what happens to it."""

    def __init__(self, strategy: str, **masters: tuple[int, int]) -> None:
        self.state = State()
        self.at_us = 1_000_000
        policy = msgspec.structs.replace(
            preset("bench", mode=Mode.ACTIVE_ACTIVE), strategy=strategy
        )
        declared = tuple(
            Master(id=name, group="g", address=name, weight=weight, priority=priority)
            for name, (weight, priority) in masters.items()
        )
        self.take(
            ev.ConfigurationLoaded(
                digest="d", policy=Policy(groups={"g": policy}), masters=declared
            ),
            "fleet",
        )
        self.n = 0

    def take(self, event: ev.Observation, subject: str) -> None:
        self.at_us += 1_000
        step(self.state, event, subject=subject, at_us=self.at_us)

    def answers(self, *names: str) -> None:
        for _ in range(2):
            for name in names:
                self.n += 1
                self.take(ev.ProbeOk(n=self.n, latency_us=10, boot=name), name)

    @property
    def group(self) -> GroupState:
        return self.state.groups["g"]


def test_who_was_never_activated_has_no_weight_and_nobody_is_picked() -> None:
    tale = Tale("round-robin", a=(3, 1), b=(1, 1))
    assert weights(tale.state, tale.group) == {"a": 0, "b": 0}
    assert picker(tale.group, weights(tale.state, tale.group)).pick() == ""


def test_who_serves_has_its_base_weight() -> None:
    tale = Tale("round-robin", a=(3, 1), b=(1, 1))
    tale.answers("a", "b")
    assert weights(tale.state, tale.group) == {"a": 3, "b": 1}


def test_who_has_failed_has_none() -> None:
    tale = Tale("round-robin", a=(3, 1), b=(1, 1))
    tale.answers("a", "b")
    tale.n += 1
    tale.take(ev.ProbeFailed(n=tale.n, evidence=Evidence.REFUSED), "a")
    assert weights(tale.state, tale.group) == {"a": 0, "b": 1}
    assert {picker(tale.group, weights(tale.state, tale.group)).pick() for _ in range(3)} == {"b"}


def test_a_weight_of_nought_is_never_picked_in_a_group_whose_masters_all_serve() -> None:
    tale = Tale("round-robin", a=(0, 1), b=(1, 1))
    tale.answers("a", "b")
    chosen = picker(tale.group, weights(tale.state, tale.group))
    assert [chosen.pick() for _ in range(3)] == ["b", "b", "b"]


def test_round_robin_spreads_by_weight_whatever_the_priorities() -> None:
    tale = Tale("round-robin", a=(5, 2), b=(1, 1), c=(1, 1))
    tale.answers("a", "b", "c")
    chosen = picker(tale.group, weights(tale.state, tale.group))
    assert isinstance(chosen, SmoothWeighted)
    assert "".join(chosen.pick() for _ in range(7)) == "aabacaa"


def test_priority_gives_all_to_the_best_that_can_serve() -> None:
    tale = Tale("priority", a=(1, 1), b=(1, 2), c=(1, 2))
    tale.answers("a", "b", "c")
    chosen = picker(tale.group, weights(tale.state, tale.group))
    assert isinstance(chosen, Priority)
    assert [chosen.pick() for _ in range(3)] == ["a", "a", "a"]
    tale.n += 1
    tale.take(ev.ProbeFailed(n=tale.n, evidence=Evidence.REFUSED), "a")
    chosen = picker(tale.group, weights(tale.state, tale.group))
    assert [chosen.pick() for _ in range(4)] == ["b", "c", "b", "c"]


@pytest.mark.parametrize("strategy", ["round-robin", "priority"])
def test_the_strategy_in_force_is_the_commanded_one(strategy: str) -> None:
    tale = Tale("priority", a=(1, 1), b=(1, 2))
    tale.answers("a", "b")
    tale.take(ev.StrategyAsked(strategy=strategy, author="ann"), "g")
    chosen = picker(tale.group, weights(tale.state, tale.group))
    expected = {"round-robin": {"a", "b"}, "priority": {"a"}}[strategy]
    assert {chosen.pick() for _ in range(4)} == expected


def test_who_begins_to_serve_gets_a_part_that_grows() -> None:
    tale = Tale("round-robin", a=(3, 1), b=(1, 1))
    policy = tale.state.policy_of(tale.group)
    slow = msgspec.structs.replace(policy, balance=Balance(slow_start_us=1_000_000))
    tale.state.fleet.policy = Policy(groups={"g": slow})
    tale.answers("a", "b")
    a, b = (tale.group.masters[name].active_us for name in "ab")
    assert shares(tale.state, tale.group, b) == ({"a": 30, "b": 10}, b + 10_000)
    assert shares(tale.state, tale.group, b + 500_000)[0] == {"a": 150, "b": 50}
    assert shares(tale.state, tale.group, a + 1_000_000)[0]["a"] == 300
    assert shares(tale.state, tale.group, b + 1_000_000) == ({"a": 3, "b": 1}, 0)
    picked = picker(tale.group, {"a": 30, "b": 10})
    assert [picked.pick() for _ in range(4)].count("b") == 1


def test_a_rejoined_one_starts_slowly_again_and_one_active_alone_never_does() -> None:
    tale = Tale("round-robin", a=(1, 1), b=(1, 1))
    tale.answers("a", "b")
    assert shares(tale.state, tale.group, tale.at_us) == ({"a": 1, "b": 1}, 0)
    policy = preset("zone")
    assert policy.balance is None
    web = preset("zone", mode=Mode.ACTIVE_ACTIVE)
    assert web.balance == Balance(slow_start_us=60_000_000, ejection=EJECTION, panic_ppm=300_000)
    one = Policy(groups={"g": msgspec.structs.replace(policy, balance=Balance(slow_start_us=9))})
    tale.state.fleet.policy = one
    assert shares(tale.state, tale.group, tale.at_us)[1] == 0
