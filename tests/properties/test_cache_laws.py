"""What is kept beside a state for speed is what is derived from it, after whatever happened."""

from hypothesis import example, given
from hypothesis import strategies as st

from engine.core import events as ev
from engine.core.deadlines import deadlines
from engine.core.decider import step
from engine.core.dues import FAR_US
from engine.core.events import FLEET, Observation
from engine.core.failover import consider
from engine.core.issuing import key_of
from engine.core.owed import Effect, owed
from engine.core.policy import SECOND, FleetPolicy
from engine.core.state import State, copy, fails_softly
from engine.simulation.drawing import swarm
from engine.simulation.rim import Rim
from engine.simulation.schedule import GroupSetting, Setting
from engine.simulation.world import run
from tests.properties.test_laws import FAST, POLICIES

SEEDS = st.integers(0, 1 << 32)


def look(state: State) -> None:
    """Compare the caches of a state with what it says itself."""
    dues = state.cache.dues
    firsts = dict.fromkeys((*state.groups, FLEET), FAR_US)
    for _, due in deadlines(state):
        if due not in dues.spent.get(due[1], ()):
            firsts[due[1]] = min(firsts[due[1]], due[0])
    known = dues.bounds.known
    for part, bound_us in known.items():
        assert bound_us <= firsts[part], part
    assert dues.bounds.first()[0] == min(known.values(), default=FAR_US)
    # Whoever asks for the first is told no later one.
    assert dues.next_us <= min(firsts.values())
    places = state.cache.places.items()
    assert state.cache.failing == {name for name, it in places if fails_softly(it.master)}
    assert state.cache.sound == state.cache.places.keys() - state.cache.failing
    sagas = [group.saga for group in state.groups.values() if group.saga is not None]
    assert state.cache.idle == {saga.id for saga in sagas if not saga.attempt}
    assert dues.stirred.are_all or firsts.keys() - known.keys() <= dues.stirred.parts


def look_left(state: State) -> None:
    """Find nothing to do that the last step should have done, whichever rules it asked."""
    for group in state.groups.values():
        assert consider(state, group, state.at_us) is None, group.id


class Looking(Rim):
    """Looks at all caches before whatever it does."""

    def _pump(self) -> None:
        driver, state = self.driver, self.driver.durable_state
        look(driver.working)
        look_left(driver.working)
        next_us = driver.issuing.next_us()
        kept = sorted(driver.issuing._owing.items())
        assert [each for _, owing in kept for each in owing.effects] == list(owed(state))
        waiting_us = [us for us in map(self._may_be_issued_us, owed(state)) if us is not None]
        assert next_us == min(waiting_us, default=None)
        lists = driver.sending._masters.values()
        waiting = [first for each in lists if not each.is_full and (first := each.first())]
        sends_us = min((first.due_us for first in waiting), default=None)
        assert driver.sending.next_us() == sends_us
        super()._pump()

    def _may_be_issued_us(self, effect: Effect) -> int | None:
        """Return when an owed effect may be issued; None: it is, or is held back."""
        issuing = self.driver.issuing
        owing = issuing._owing[effect.group]
        is_held = issuing._holding.held.get(effect.group) == effect.failover
        if key_of(effect) in owing.issued or is_held:
            return None
        return owing.not_before_us(key_of(effect))


@FAST
@given(SEEDS)
def test_the_caches_are_what_the_state_says(seed: int) -> None:
    run(swarm(seed, turns=20), engine=Looking)


class Doubting(Rim):
    """Decides upon each answer twice: also on a copy of the state, which has no cache yet."""

    def heard(self, event: ev.ProbeOk, subject: str) -> bool:
        return False  # so that each comes by the other way

    def _observe(self, event: Observation, subject: str = FLEET) -> None:
        driver, expected = self.driver, None
        if isinstance(event, ev.ProbeOk):
            at_us = max(self.now_us, driver.working.at_us)
            expected = step(copy(driver.working), event, subject=subject, at_us=at_us)
        waiting = len(driver._pending)
        super()._observe(event, subject)
        assert expected in (None, driver._pending[waiting:])


@FAST
@given(SEEDS)
@example(27699)  # a master is removed while another one asks who has which data
def test_an_answer_is_decided_upon_as_it_would_be_without_any_cache(seed: int) -> None:
    run(swarm(seed, turns=20), engine=Doubting)


MANY = st.builds(
    lambda policies: Setting(
        policy=policies[0],
        masters=2,
        more=tuple(
            GroupSetting(id=f"h{index}", policy=policy, masters=2)
            for index, policy in enumerate(policies[1:])
        ),
        fleet=FleetPolicy(limit=2, share_ppm=0, window_us=SECOND),
    ),
    st.lists(POLICIES, min_size=3, max_size=6),
)


@FAST
@given(SEEDS, MANY)
def test_the_caches_of_many_groups_are_what_the_state_says(seed: int, setting: Setting) -> None:
    run(swarm(seed, turns=20, setting=setting), engine=Looking)
