"""Schedules and states that once broke a law; each stays for ever."""

import msgspec
import pytest

from engine.core import events as ev
from engine.core import messages
from engine.core.fleet import Mode
from engine.core.policy import MS, Automation
from engine.core.replay import replay
from engine.core.state import GroupState, Message, State, copy, digest
from engine.simulation.checkers import violations
from engine.simulation.runs import Run
from engine.simulation.schedule import Schedule, Setting, Turn, draw, policy
from engine.simulation.world import run


def state_with_messages(count: int) -> State:
    state = State()
    state.groups["g"] = GroupState(id="g")
    for seq in range(1, count + 1):
        message = Message(key=f"k{count - seq}", lane="g", digest=b"d", size=1)
        messages.accept(state.groups["g"].ledger, seq, message)
    return state


def test_a_state_with_open_messages_can_be_stored_in_the_order_of_their_seqs() -> None:
    state = state_with_messages(12)
    again = copy(state)
    assert list(again.groups["g"].ledger.open) == list(range(1, 13))
    assert digest(again) == digest(state)


def test_the_same_keys_are_forgotten_after_the_state_was_stored() -> None:
    state = state_with_messages(4)
    for key in ("k3", "k2", "k1"):  # in the order of acceptance, not of the alphabet
        messages.finish(state.groups["g"].ledger, key, remember_max=3)
    again = copy(state)
    for one in (state, again):
        messages.finish(one.groups["g"].ledger, "k0", remember_max=3)
    assert list(again.groups["g"].ledger.done) == ["k2", "k1", "k0"]
    assert again == state


def test_masters_are_kept_by_id_whatever_the_order_of_their_declarations() -> None:
    """Else a state that was stored decides in another order than one that was folded."""
    made = run(Schedule(setting=Setting(policy=policy(mode=Mode.ACTIVE_ACTIVE))))
    assert [r.subject for r in made.log if isinstance(r.event, ev.MasterAdded)] == ["c", "b", "a"]
    assert list(made.state.groups["g"].masters) == ["a", "b", "c"]
    assert list(copy(replay(made.log)).groups["g"].masters) == ["a", "b", "c"]


def turns(*told: tuple[int, str, str, int]) -> tuple[Turn, ...]:
    return tuple(
        Turn(gap_us=gap * MS, kind=kind, subject=subject, count=count)
        for gap, kind, subject, count in told
    )


def observing(*told: tuple[int, str, str, int]) -> Run:
    setting = Setting(policy=policy(automation=Automation.OBSERVE, rise=1), masters=2)
    return run(Schedule(setting=setting, turns=turns(*told)))


@pytest.mark.parametrize("brake", [(20, "stall", "", 20 * MS), (0, "pause", "b", 300 * MS)])
def test_an_engine_that_only_observes_fences_nobody(brake: tuple[int, str, str, int]) -> None:
    """A lost activation met a grace or a pause, and the fence was owed before `observing`."""
    made = observing((200, "rest", "", 0), brake, (0, "claim", "a", 0), (400, "rest", "", 0))
    kinds = {type(recorded.event) for recorded in made.log}
    assert ev.ActivationLost in kinds
    assert ev.MasterFenced not in kinds
    assert made.issued == []


def test_an_active_that_claims_its_role_anew_serves_again_where_the_engine_only_observes() -> None:
    made = observing((200, "claim", "a", 0), (400, "rest", "", 0))
    master = made.state.groups["g"].masters["a"]
    assert (master.role.value, master.epoch, master.lost_seq) == ("active", 2, 0)
    assert violations(made) == []


def test_the_end_of_a_maintenance_is_a_deadline_of_its_own() -> None:
    """It was acted upon with whatever came next: a command that was refused."""
    setting = Setting(policy=policy(mode=Mode.ACTIVE_ACTIVE), masters=2, message_every_us=0)
    told = turns((101, "maintain", "a", 50 * MS), (50, "switchover", "b", 0))
    made = run(Schedule(setting=setting, turns=told))
    assert violations(made) == []
    fired = [r for r in made.log if r.event == ev.DeadlinePassed(what="maintenance")]
    since = [r for r in made.log if r.cause == fired[-1].seq]
    (activated,) = [r for r in since if isinstance(r.event, ev.Activated)]
    assert activated.at_us == fired[-1].at_us == 1_000_000 + 151 * MS


def test_what_if_knows_that_a_deadline_was_acted_upon_before_a_command_at_rest() -> None:
    setting = Setting(policy=policy(), masters=2, message_every_us=0)
    told = turns(
        (101, "maintain", "b", 20 * MS), (25, "engine-crash", "", 0), (5, "strategy", "", 3),
    )  # fmt: skip
    made = run(Schedule(setting=setting, turns=told))
    assert [r.event.at_rest for r in made.log if isinstance(r.event, ev.StrategyAsked)] == [True]
    assert any(r.event == ev.DeadlinePassed(what="maintenance") for r in made.log)
    assert violations(made) == []


def test_a_message_of_a_master_that_was_left_does_not_keep_the_timer_awake() -> None:
    setting = msgspec.structs.replace(Setting(policy=policy(fall=1)), masters=1)
    made = run(Schedule(setting=setting, turns=turns((100, "hang", "a", 0), (400, "rest", "", 0))))
    assert violations(made) == []


@pytest.mark.parametrize(
    ("seed", "turns"),
    [
        (218, 200),  # a rollback whose heir failed: another took over, and it said incomplete
        (294, 200),  # a refused command to a stopped log went on with the drain of a switchover
        (464, 200),  # two declarations of maintenance with one beginning: the second one counts
        (184, 60),  # a delay that was under way at a start ended with the grace
        (320, 60),  # two that somebody had promoted by hand: nobody was ever chosen
    ],
)
def test_a_seed_that_once_broke_a_law_breaks_none(seed: int, turns: int) -> None:
    assert violations(run(draw(seed, turns=turns), compare_every=20)) == []
