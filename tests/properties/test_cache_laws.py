"""What is kept beside a state for speed is what is derived from it, after whatever happened."""

from hypothesis import given
from hypothesis import strategies as st

from engine.core.decider import deadlines
from engine.core.dues import FAR_US
from engine.core.events import FLEET
from engine.core.owed import owed
from engine.core.policy import SECOND, FleetPolicy
from engine.core.state import State
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
    for part, bound_us in dues._known.items():
        assert bound_us <= firsts[part], part
    known_us = min(dues._known.values(), default=FAR_US)
    assert dues.first()[0] == known_us
    # Whoever asks for the first is told no later one.
    assert dues.next_us <= min(firsts.values())
    assert dues.stirred.are_all or firsts.keys() - dues._known.keys() <= dues.stirred.parts


class Looking(Rim):
    """Looks at all caches before whatever it does."""

    looked = 0

    def _pump(self) -> None:
        driver, state = self.driver, self.driver.durable_state
        look(driver.working)
        assert list(driver._all_owed()) == list(owed(state))
        busy = {group.id for group in driver._busy()}
        assert busy >= {group.id for group in state.groups.values() if group.saga is not None}
        Looking.looked += 1
        super()._pump()


@FAST
@given(SEEDS)
def test_the_caches_are_what_the_state_says(seed: int) -> None:
    run(swarm(seed, turns=20), engine=Looking)


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
