"""The limit of the fleet: how many failovers of all groups go on by themselves."""

import pytest

from engine.core import events as ev
from engine.core.blocking import Block, waiting
from engine.core.events import Recorded, Result
from engine.core.fleet import Master
from engine.core.owed import owed
from engine.core.policy import MINUTE, MS, FleetPolicy, Policy
from engine.core.replay import replay
from tests.engine.core.build import Story, declared, kinds, made, only, subjects

GROUPS = ("g", "h", "i", "j")


def masters() -> tuple[Master, ...]:
    return tuple(
        master
        for group in GROUPS
        for master in declared((f"{group}1", f"{group}2", f"{group}3"), group=group)
    )


def fleet(*, limit: int = 2, share_ppm: int = 0) -> Story:
    """Return a story of four groups, the first master of each serving."""
    policy = Policy(
        groups=dict.fromkeys(GROUPS, made(unknown_after_us=0, rise=1)),
        fleet=FleetPolicy(limit=limit, share_ppm=share_ppm, window_us=10 * MINUTE),
    )
    tale = Story(policy, masters=masters())
    names = [master.id for master in masters()]
    tale.ok(*names)
    work(tale)
    tale.ok(*names)
    assert tale.state.fleet.counted == []  # the first activation replaces nobody
    return tale


def work(tale: Story) -> None:
    """Answer whatever is owed until nothing new is."""
    while new := [effect for effect in owed(tale.state) if effect not in tale.answered]:
        effect = new[0]
        saga = tale.state.groups[effect.group].saga
        digest = saga.transfer_digest if saga is not None and effect.step == "transfer" else ""
        is_dead = effect.master in tale.dead
        tale.ends(effect, Result.FAILED if is_dead else Result.OK, digest=digest)


def wait_of(tale: Story, group: str) -> Block | None:
    part = tale.state.groups[group]
    assert part.saga is not None
    return waiting(tale.state, part, part.saga, tale.at_us)


def spent() -> Story:
    """Return a story in which two groups have failed over, which spends the limit."""
    tale = fleet()
    for name in ("g1", "h1"):
        tale.crashes(name)
        work(tale)
        tale.wait(MS)
    assert len(tale.state.fleet.counted) == 2
    return tale


def test_a_spent_limit_waits_in_every_other_group_even_on_hard_evidence() -> None:
    tale = spent()
    taken = tale.crashes("i1")
    assert only(taken, ev.FailoverStarted).waits == "fleet-limit"
    assert "AttemptStarted" not in kinds(taken)
    first_us, _ = tale.state.fleet.counted[0]
    assert wait_of(tale, "i") == Block(reason="fleet-limit", until_us=first_us + 10 * MINUTE)


def test_it_goes_on_when_the_window_has_passed() -> None:
    tale = spent()
    tale.crashes("i1")
    ends_us = tale.state.fleet.counted[0][0] + 10 * MINUTE
    tale.at_us = ends_us - MS
    tale.ok("i2", "i3")
    tale.wait(MS)
    taken = tale.tick()
    assert taken[0].event == ev.DeadlinePassed(what="fleet-limit")
    assert (taken[0].at_us, taken[0].subject) == (ends_us, "i")
    assert "AttemptStarted" in kinds(taken)


def test_an_approval_lets_one_group_go_and_a_release_all() -> None:
    tale = spent()
    tale.crashes("i1")
    tale.crashes("j1")
    assert subjects(tale.ask(ev.Approved(author="x"), "i"), ev.AttemptStarted) == ["i"]
    taken = tale.see(ev.Released(scope="any", author="x"))
    assert subjects(taken, ev.AttemptStarted) == ["j"]
    assert tale.state.fleet.counted == []


def test_what_failed_at_one_moment_is_counted_in_its_order() -> None:
    tale = fleet()
    tale.see(ev.Paused(until_us=0, reason="r", author="x"))
    for group in GROUPS:
        tale.crashes(f"{group}1")
    taken = tale.see(ev.Resumed(author="x"))
    assert len({recorded.at_us for recorded in taken}) == 1
    assert subjects(taken, ev.AttemptStarted) == ["g", "h"]
    waits = [recorded.event.waits for recorded in taken if is_start(recorded)]  # type: ignore[union-attr]
    assert waits == ["", "", "fleet-limit", "fleet-limit"]


def is_start(recorded: Recorded) -> bool:
    return isinstance(recorded.event, ev.FailoverStarted)


def test_one_that_was_abandoned_does_not_count() -> None:
    tale = spent()
    tale.fails("i1")
    tale.ok("i2")  # an heir has to be heard since the failure
    assert len(tale.state.fleet.counted) == 3
    assert only(tale.ok("i1"), ev.FailoverEnded).result == "abandoned"
    assert len(tale.state.fleet.counted) == 2


def test_a_share_of_the_groups_counts_where_that_is_more() -> None:
    tale = fleet(limit=1, share_ppm=750_000)
    for group in GROUPS:
        tale.wait(MS)
        taken = tale.crashes(f"{group}1")
        assert ("AttemptStarted" in kinds(taken)) == (group != "j")
        work(tale)


def test_a_policy_without_a_limit_of_the_fleet_counts_nothing() -> None:
    tale = Story(dict.fromkeys(GROUPS, made()), masters=masters())
    tale.ok("g1", "g2", "g3")
    tale.crashes("g1")
    assert tale.state.fleet.counted == []


def test_a_limit_of_none_brakes_nothing() -> None:
    tale = fleet(limit=0)
    for group in GROUPS:
        assert "AttemptStarted" in kinds(tale.crashes(f"{group}1"))


def test_those_that_waited_for_one_moment_do_not_go_on_all_at_once() -> None:
    tale = fleet(limit=1)
    for group in GROUPS:
        tale.crashes(f"{group}1")
    work(tale)
    begun: list[list[str]] = []
    for _ in range(4):
        tale.wait(10 * MINUTE - MS)
        tale.ok(*(f"{group}{rank}" for group in GROUPS for rank in (2, 3)))
        tale.wait(MS)
        begun.append(subjects(tale.tick(), ev.AttemptStarted))
        work(tale)
    assert begun == [["h"], ["i"], ["j"], []]
    assert replay(tale.log) == tale.state


@pytest.mark.parametrize(("scope", "told"), [("fence", ["Refused"]), ("hold-down", [])])
def test_a_release_of_something_else_lifts_no_limit(scope: str, told: list[str]) -> None:
    tale = spent()
    assert kinds(tale.see(ev.Released(scope=scope, author="x"))) == told
    assert len(tale.state.fleet.counted) == 2
