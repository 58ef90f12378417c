"""Several groups that go back at once: all of them, or none."""

import msgspec
import pytest

from engine.core import events as ev
from engine.core.events import Recorded, Result
from engine.core.fleet import Mode
from engine.core.owed import owed
from engine.core.policy import FleetPolicy, GroupPolicy, Policy
from engine.core.replay import controls_in, replay
from engine.core.state import active_of, control_digest
from tests.engine.core.build import Story, declared, kinds, loaded, made, only, subjects

GROUPS = ("g", "h")
SETTINGS = {"unknown_after_us": 0, "rise": 1, "fall": 2}


def policies(**changes: object) -> dict[str, GroupPolicy]:
    return dict.fromkeys(GROUPS, made(**{**SETTINGS, **changes}))  # type: ignore[arg-type]


MASTERS = (*declared(("g1", "g2")), *declared(("h1", "h2"), group="h"))
NAMES = tuple(master.id for master in MASTERS)


def work(tale: Story) -> list[Recorded]:
    """Answer whatever is owed until nothing new is."""
    taken: list[Recorded] = []
    while new := [effect for effect in owed(tale.state) if effect not in tale.answered]:
        effect = new[0]
        saga = tale.state.groups[effect.group].saga
        digest = saga.transfer_digest if saga is not None and effect.step == "transfer" else ""
        is_dead = effect.master in tale.dead
        taken += tale.ends(effect, Result.FAILED if is_dead else Result.OK, digest=digest)
    return taken


def two() -> tuple[Story, int]:
    """Return a story in which both groups were switched over since a position; and that."""
    tale = Story(policies(), masters=MASTERS)
    tale.ok(*NAMES)
    work(tale)
    tale.ok(*NAMES)
    position = tale.state.seq
    for group in GROUPS:
        tale.ask(ev.SwitchoverAsked(to=f"{group}2", author="x"), group)
        work(tale)
    tale.ok(*NAMES)
    assert [active_of(tale.state.groups[name]) for name in GROUPS] == ["g2", "h2"]
    return tale, position


def back(
    tale: Story,
    position: int,
    *groups: str,
    whole: bool = False,
    force: bool = False,
    at_rest: bool = False,
) -> list[Recorded]:
    then = replay(tale.log, until_seq=position)
    controls = controls_in(then, groups or GROUPS)
    return tale.see(
        ev.FleetRollbackRequested(
            position=position,
            controls=controls,
            digests=tuple(control_digest(control) for control in controls),
            author="x",
            policy=then.fleet.policy if whole else None,
            force=force,
            at_rest=at_rest,
        )
    )


def test_all_go_back_each_its_own_way() -> None:
    tale, position = two()
    taken = back(tale, position)
    assert subjects(taken, ev.RollbackAccepted) == ["g", "h"]
    assert subjects(taken, ev.FailoverStarted) == ["g", "h"]
    ended = [r.event for r in work(tale) if isinstance(r.event, ev.RollbackEnded)]
    assert [event.result for event in ended] == ["complete", "complete"]
    assert [active_of(tale.state.groups[name]) for name in GROUPS] == ["g1", "h1"]


def test_if_one_cannot_nobody_does_and_every_reason_is_given() -> None:
    tale, position = two()
    tale.crashes("g1")
    tale.crashes("h1")
    taken = back(tale, position)
    assert kinds(taken) == ["Refused"]
    reasons = only(taken, ev.Refused).reasons
    assert [reason.partition(":")[0] for reason in reasons] == ["g1", "h1"]
    assert all("health-failed" in reason for reason in reasons)
    assert [active_of(tale.state.groups[name]) for name in GROUPS] == ["g2", "h2"]


def test_forced_one_that_is_dead_ends_incomplete_and_the_other_goes_back() -> None:
    tale, position = two()
    tale.crashes("g1")
    taken = back(tale, position, force=True)
    assert subjects(taken, ev.RollbackAccepted) == ["g", "h"]
    ended = {r.subject: r.event for r in work(tale) if isinstance(r.event, ev.RollbackEnded)}
    assert {name: event.result for name, event in ended.items()} == {
        "g": "incomplete",
        "h": "complete",
    }


def test_a_group_that_is_gone_or_was_not_there_is_named() -> None:
    tale, position = two()
    missing = ev.GroupControl(group="z", assigned="", strategy="priority", weights=())
    event = ev.FleetRollbackRequested(
        position=position, controls=(missing,), digests=("d",), author="x"
    )
    assert only(tale.see(event), ev.Refused).reasons == ("group z does not exist any more",)
    none = ev.FleetRollbackRequested(position=1, controls=(), digests=(), author="x")
    assert only(tale.see(none), ev.Refused).reasons == ("no group of now was there at position 1",)


def test_the_policy_of_then_comes_back_and_groups_that_came_since_stay() -> None:
    tale, position = two()
    fleet = FleetPolicy(limit=1, share_ppm=0, window_us=1)
    newer = Policy(groups={**policies(fall=5), "i": made(fall=7)}, fleet=fleet)
    tale.see(loaded(newer, (*MASTERS, *declared(("i1",), group="i"))))
    tale.ask(ev.StrategyAsked(strategy="round-robin", author="x"), "i")
    taken = back(tale, position, whole=True)
    assert kinds(taken)[:2] == ["PolicyAdopted", "StrategyChanged"]
    policy = tale.state.fleet.policy
    assert (policy.groups["g"].probe.fall, policy.groups["i"].probe.fall) == (2, 7)
    assert policy.fleet is None
    assert tale.state.groups["i"].strategy == "round-robin"
    assert subjects(taken, ev.RollbackAccepted) == ["g", "h"]


def test_a_policy_that_is_in_force_is_not_adopted_anew() -> None:
    tale, position = two()
    assert "PolicyAdopted" not in kinds(back(tale, position, whole=True))


@pytest.mark.parametrize("part", ["mode", "effects"])
def test_a_policy_of_then_that_cannot_be_in_force_now_is_refused(part: str) -> None:
    tale, position = two()
    then = replay(tale.log, until_seq=position)
    g = then.fleet.policy.groups["g"]
    changes = {"mode": Mode.ACTIVE_ACTIVE} if part == "mode" else {"effects": "command"}
    groups = {**then.fleet.policy.groups, "g": msgspec.structs.replace(g, **changes)}
    odd = msgspec.structs.replace(then.fleet.policy, groups=groups)
    if part == "effects":
        tale.ask(ev.SwitchoverAsked(to="g1", author="x"), "g")
    event = ev.FleetRollbackRequested(
        position=position,
        controls=controls_in(then, ("h",)),
        digests=("d",),
        author="x",
        policy=odd,
    )
    reasons = only(tale.see(event), ev.Refused).reasons
    assert any("g is active-standby" in one or "effects and fence stay" in one for one in reasons)


def test_a_stopped_log_takes_it_and_owes_what_follows() -> None:
    tale, position = two()
    taken = back(tale, position, at_rest=True)
    assert subjects(taken, ev.FailoverStarted) == ["g", "h"]
    assert sorted(tale.owed()) == [("preflight", "g1"), ("preflight", "h1")]
