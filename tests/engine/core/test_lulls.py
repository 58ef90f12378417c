"""A lull taken as a whole changes what its events change."""

import msgspec
import pytest

from engine.core import events as ev
from engine.core import lulls
from engine.core import state as st
from engine.core.errors import LogCorrupted
from engine.core.events import Recorded
from engine.core.policy import MS, SECOND
from engine.core.replay import replay, replay_stretches
from tests.engine.core.build import Story, story
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
