"""What masters said of themselves goes with the probes, but for what a decision rests on."""

from collections.abc import Callable
from pathlib import Path

import pytest

from engine.core import events as ev
from engine.core import state as st
from engine.core.evolve import evolve
from engine.core.policy import MS, Degraded
from engine.core.state import State
from engine.log import states
from engine.log.verify import verify
from tests.contracts.places import Place, in_memory, in_sqlite
from tests.engine.core.build import story
from tests.engine.log.thinned import drop, thin


@pytest.mark.parametrize("place_in", [in_memory, in_sqlite])
def test_reports_go_and_those_that_are_evidence_stay(
    place_in: Callable[[Path], Place], tmp_path: Path
) -> None:
    tale = story(degraded=Degraded(queue=1_000, reports=2))
    for number in range(1_100):
        tale.wait(MS)
        queue = 5_000 if number in (500, 501) else number % 900
        tale.see(ev.LoadReported(queue=queue), "b")
    place = place_in(tmp_path)
    try:
        place.log.append(tale.log)
        assert place.log.seal(blocks_max=9) == 1
        digest = st.digest(states.state_at(place.log))
        drop(place.log, 1_000)
        assert thin(place.log) == [1_000]
        for log in place.now_and_reopened():
            left = {seen.seq: seen for seen in log.read(until=1_000)}
            reports = [
                seen.seq for seen in left.values() if isinstance(seen.event, ev.LoadReported)
            ]
            (degraded,) = [
                seen.event for seen in left.values() if isinstance(seen.event, ev.MasterDegraded)
            ]
            # The newest one may still be evidence that it fell silent.
            assert reports == [*degraded.evidence, 1_000]
            assert st.digest(states.state_at(log, tale.state.seq)) == digest
            state = State()
            assert verify(log, lambda recorded, to=state: evolve(to, recorded)).problems == ()
    finally:
        place.log.close()
