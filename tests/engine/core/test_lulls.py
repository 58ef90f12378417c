"""A lull taken as a whole changes what its events change."""

import msgspec
import pytest

from engine.core import events as ev
from engine.core import lulls
from engine.core import state as st
from engine.core.errors import LogCorrupted
from engine.core.events import Recorded
from engine.core.evolve import evolve
from engine.core.policy import MS, SECOND, Phi
from engine.core.replay import replay, replay_stretches
from tests.engine.core.build import Story, declared, story
from tests.engine.core.columns import stretches

ROUNDS = 60


def calm(tale: Story, rounds: int = ROUNDS) -> None:
    for _ in range(rounds):
        tale.wait(10 * MS)
        tale.ok(*tale.group.masters)


def eventful() -> Story:
    """Return a story of lulls, between them a blip, a failover and a pause of all probes."""
    tale = story("bench")
    calm(tale)
    tale.fails("b", late_us=SECOND)
    calm(tale)
    tale.crashes("a")
    tale.work()
    for _ in range(ROUNDS):
        tale.wait(10 * MS)
        tale.ok("b", "c")
    tale.restarts("a")
    calm(tale)
    tale.wait(60 * SECOND)
    calm(tale)
    return tale


def test_what_is_folded_in_columns_is_what_is_folded_one_by_one() -> None:
    tale = eventful()
    for each in (len(tale.log), 200, 70, 7):
        folded = replay_stretches(stretches(tale.log, each=each))
        assert st.digest(folded) == st.digest(tale.state)
        assert folded.cache.places["c"].is_plain


def test_it_goes_on_from_a_state() -> None:
    tale = eventful()
    for cut in range(0, len(tale.log), 37):
        before = replay(tale.log[:cut])
        folded = replay_stretches(stretches(tale.log[cut:]), state=before)
        assert folded is before
        assert folded == tale.state


def counted(tale: Story, monkeypatch: pytest.MonkeyPatch) -> int:
    """Return how many events of a story are folded in lulls."""
    taken = 0
    take = lulls.take

    def noted(state: st.State, lull: lulls.Lull) -> None:
        nonlocal taken
        taken += lull.count
        take(state, lull)

    monkeypatch.setattr(lulls, "take", noted)
    assert replay_stretches(stretches(tale.log)) == tale.state
    return taken


def test_most_of_a_log_is_taken_in_lulls(monkeypatch: pytest.MonkeyPatch) -> None:
    tale = eventful()
    assert counted(tale, monkeypatch) > len(tale.log) // 2


def test_where_each_master_is_heard_seldom_a_log_is_folded_one_by_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tale = Story(masters=declared([f"m{number:02}" for number in range(lulls.EVENTS_MIN)]))
    calm(tale, lulls.EACH_EVENTS + 1)  # the first round is no lull
    assert counted(tale, monkeypatch) == 0
    calm(tale, lulls.EACH_EVENTS + 1)
    assert counted(tale, monkeypatch) > 0


@pytest.mark.parametrize(
    "said", [{"observer": "o2"}, {"boot": "b9"}, {"epoch": 7}, {"role": "standby"}, {"n": 1}]
)
def test_who_says_another_thing_ends_a_lull(
    said: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    tale = story("bench")
    calm(tale)
    tale.wait(MS)
    tale.ok("b", **said)
    calm(tale, 8)
    assert counted(tale, monkeypatch) < len(tale.log) - 30


def test_a_probe_of_nobody_is_corrupt_in_a_lull_too() -> None:
    tale = story("bench")
    calm(tale)
    strange = [
        msgspec.structs.replace(one, subject="z") if one.seq == 100 else one for one in tale.log
    ]
    with pytest.raises(LogCorrupted, match="no master 'z'"):
        replay_stretches(stretches(strange))


def test_a_gap_is_corrupt_in_a_lull_too() -> None:
    tale = story("bench")
    calm(tale)
    (whole,) = stretches(tale.log)
    events = whole.recorded(0, len(tale.log))
    assert events == tale.log

    class Gapped:
        """The same, but that a seq is left out."""

        seqs = (*whole.seqs[:100], *(seq + 1 for seq in whole.seqs[100:]))
        times = whole.times
        good_until, masters, lull = whole.good_until, whole.masters, whole.lull

        def recorded(self, begin: int, end: int) -> list[Recorded]:
            return [
                msgspec.structs.replace(one, seq=seq)
                for one, seq in zip(events[begin:end], self.seqs[begin:end], strict=True)
            ]

    with pytest.raises(LogCorrupted, match="expected seq 101"):
        replay_stretches([Gapped()])


def test_a_probe_that_a_decision_caused_is_none_of_a_lull() -> None:
    tale = story("bench")
    calm(tale)
    caused = [
        msgspec.structs.replace(one, cause=one.seq - 1)
        if one.seq == 100 and type(one.event) is ev.ProbeOk
        else one
        for one in tale.log
    ]
    assert caused != tale.log
    (stretch,) = stretches(caused)
    known = lulls.known_of(tale.state, "abc")
    assert known is not None
    known = {name: (0, said) for name, (_, said) in known.items()}
    assert stretch.lull(99, 140, known) is None
    assert stretch.lull(100, 140, known) is not None


def settled(tale: Story, cut: int) -> st.State:
    """Return the fold of the first events of a story as who restores it takes it up."""
    state = st.restore(st.dump(replay(tale.log[:cut])))
    lulls.settle(state)
    return state


def plain_of(tale: Story) -> set[str]:
    state = settled(tale, len(tale.log))
    return {name for name, place in state.cache.places.items() if place.is_plain}


def test_a_restored_state_folds_on_alike_whoever_is_settled_in_it() -> None:
    tale = eventful()
    folded = st.State()
    dumps = [st.dump(folded)]
    for recorded in tale.log:
        evolve(folded, recorded)
        dumps.append(st.dump(folded))
    found = set()
    for cut in range(len(tale.log)):
        state = st.restore(dumps[cut])
        lulls.settle(state)
        found.add(sum(place.is_plain for place in state.cache.places.values()))
        # What it was settled for tells at the next answers; of some cuts all that follows is tried.
        until = len(tale.log) if cut % 8 == 0 else min(cut + 60, len(tale.log))
        assert st.dump(replay(tale.log[cut:until], state=state)) == dumps[until]
    assert found == {0, 1, 2, 3}


def test_the_next_answer_of_who_is_settled_moves_nothing_but_counters() -> None:
    tale = eventful()
    asked = 0
    for cut in range(0, len(tale.log), 3):
        state, other = settled(tale, cut), replay(tale.log[:cut])
        for name, place in state.cache.places.items():
            if place.is_plain:
                asked += 1
                other.cache.places[name].is_plain = other.cache.places[name].is_steady = False
                master = place.master
                same = ev.ProbeOk(
                    n=master.observers[""] + 1,
                    latency_us=1,
                    boot=master.boot,
                    epoch=master.reported_epoch,
                    role=master.reported_role,
                )
                recorded = Recorded(state.seq + 1, state.at_us, name, 0, same)
                evolve(state, recorded)
                evolve(other, recorded)
                assert state == other
    assert asked > len(tale.log) // 3


def test_whoever_answers_as_before_is_settled() -> None:
    tale = Story()
    assert plain_of(tale) == set()
    calm(tale)
    assert plain_of(tale) == {"a", "b", "c"}


def test_who_answers_next_settles_what_is_open() -> None:
    tale = story("bench")
    calm(tale)
    tale.fails("b")
    tale.closes("c")
    assert plain_of(tale) == {"a"}
    tale.ok("b", "c")
    assert "c" not in tale.state.cache.failing
    tale.ok("b", "c")
    assert plain_of(tale) == {"a", "b", "c"}
    tale.degraded("b")
    assert plain_of(tale) == {"a", "c"}


def test_nobody_is_settled_who_was_not_heard_since_a_start_or_whom_only_others_heard() -> None:
    tale = story("bench")
    calm(tale)
    tale.wait(MS)
    tale.see(ev.EngineStarted(release="2", stopped_at_us=tale.at_us))
    assert plain_of(tale) == set()
    tale.wait(MS)
    tale.ok("a")
    tale.ok("b", observer="o2")
    assert plain_of(tale) == {"a"}


PHI = Phi(threshold_milli=8_000, deviation_us_min=5 * MS, warm_up=10)


@pytest.mark.parametrize("setting", [{"phi": PHI}, {"slow_us": 50 * MS}])
def test_where_the_policy_asks_more_of_an_answer_nobody_is_settled(
    setting: dict[str, object],
) -> None:
    tale = story("bench", **setting)
    calm(tale)
    assert plain_of(tale) == set()
