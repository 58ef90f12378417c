"""What retention promises on every log: what was decided stays, with all that it rests on."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.core import events as ev
from engine.core import state as st
from engine.core.errors import LogError
from engine.core.events import KINDS, Recorded
from engine.core.evolve import evolve
from engine.core.state import FOLD_VERSION, State
from engine.log import MemoryLog, open_log, states, thinning
from engine.log.chain import ChainFold
from engine.log.protocol import Log
from engine.log.schema import PASSING
from engine.log.snapshots import pack
from engine.log.verify import Verification, verify
from projections.audit import AUDIT
from projections.base import fold
from projections.uptime import UPTIME
from projections.weights import WEIGHTS
from tests.contracts.places import Place
from tests.engine.log.thinned import drop, in_a_file, in_a_memory, thin, world

_CODES = {kind: code for code, kind in KINDS.items()}


def dropped(recorded: Recorded) -> ev.ObservationsDropped:
    return thinning.dropped_in(recorded)


def sealed_in_memory(_: Path) -> Place:
    return Place(lambda log: log.copy() if isinstance(log, MemoryLog) else in_a_memory().copy())


def sealed_in_sqlite(directory: Path) -> Place:
    path = directory / "log.db"
    path.write_bytes(in_a_file())
    return Place(lambda _: open_log(path, mode="write"))


@pytest.fixture(params=[sealed_in_memory, sealed_in_sqlite])
def sealed(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    place = request.param(tmp_path)
    yield place
    place.log.close()


def checked(log: Log) -> tuple[Verification, str]:
    """Return what `verify` says of all of it, and the digest of the state that it folds."""
    state = State()
    found = verify(log, lambda recorded: evolve(state, recorded))
    return found, st.digest(state)


def rests_on(recorded: Recorded) -> set[int]:
    evidence = getattr(recorded.event, "evidence", ())
    seqs = set(evidence) if isinstance(evidence, tuple) else set()
    return {recorded.cause, *seqs} - {0}


def test_decisions_and_commands_stay_with_what_they_rest_on(sealed: Place) -> None:
    whole = {recorded.seq: recorded for recorded in world()}
    drop(sealed.log, 5_000)
    assert thin(sealed.log) == [1_000, 2_000, 3_000, 4_000, 5_000]
    for log in sealed.now_and_reopened():
        left = {recorded.seq: recorded for recorded in log.read(until=8_500)}
        assert left.items() <= whole.items()
        assert len(left) < len(whole) - 2_000
        for seq, recorded in whole.items():
            if _CODES[type(recorded.event)] not in PASSING:
                assert seq in left
                assert rests_on(recorded) <= left.keys()
        assert set(range(5_001, 8_501)) <= left.keys()


def test_the_state_is_what_it_was_and_that_before_is_said_to_be_gone(sealed: Place) -> None:
    expected = {seq: st.digest(states.state_at(sealed.log, seq)) for seq in (5_000, 5_001, 8_500)}
    said = drop(sealed.log, 5_000)
    for _ in range(6):
        for log in sealed.now_and_reopened():
            for seq, digest in expected.items():
                assert st.digest(states.state_at(log, seq)) == digest
            with pytest.raises(LogError, match=rf"up to event 5000 was dropped \(event {said.seq}"):
                states.state_at(log, 4_999)
        thin(sealed.log, 1)


def test_snapshots_before_it_go(sealed: Place) -> None:
    for seq in (2_000, 5_000, 6_000):
        state = states.state_at(sealed.log, seq)
        policy = state.fleet.policy_digest
        kept = pack(seq, st.dump(state), fold_version=FOLD_VERSION, policy_digest=policy)
        sealed.log.snapshots.store(kept)
    drop(sealed.log, 5_000)
    thin(sealed.log)
    assert sealed.log.snapshots.seqs() == [5_000, 6_000]
    with pytest.raises(LogError, match="dropped"):
        states.state_at(sealed.log, 3_000)


def test_the_chain_is_what_it_was_and_all_of_it_fits_at_any_moment(sealed: Place) -> None:
    drop(sealed.log, 5_000)
    chain = ChainFold()
    chain.feed(sealed.log.rows())
    digest = st.digest(states.state_at(sealed.log))
    for count in (0, 2, 3):  # nothing, half-way, everything
        assert len(thin(sealed.log, count)) == count
        found, folded = checked(sealed.reopened())
        assert found.problems == ()
        assert (found.head, folded) == (chain.head.hex(), digest)
        assert sealed.log.chain_head() == chain.head


@pytest.mark.parametrize("projection", [AUDIT, UPTIME, WEIGHTS], ids=lambda each: str(each.name))
def test_a_view_folded_from_what_is_left_is_the_same(sealed: Place, projection: object) -> None:
    assert projection is AUDIT or projection is UPTIME or projection is WEIGHTS
    said = drop(sealed.log, 6_000)
    expected = projection.dump(fold(projection, [*world(), said]))  # type: ignore[arg-type]
    for _ in range(4):
        for log in sealed.now_and_reopened():
            view, position = log.view(projection)
            assert position == said.seq
            assert projection.dump(view) == expected  # type: ignore[arg-type]
            one_by_one = fold(projection, log.read())  # type: ignore[arg-type]
            assert projection.dump(one_by_one) == expected  # type: ignore[arg-type]
        thin(sealed.log, 2)


def test_it_goes_on_from_where_it_was(sealed: Place) -> None:
    first = drop(sealed.log, 2_000)
    thin(sealed.log)
    second = drop(sealed.log, 7_000)
    assert dropped(second).after == 2_000
    thin(sealed.log, 3)
    thin(sealed.reopened())
    assert checked(sealed.log)[0].problems == ()
    left = sum(1 for _ in sealed.log.read(until=8_500))
    assert dropped(second).dropped == 8_500 - left
    assert dropped(first).dropped < dropped(second).dropped


def test_at_once_or_in_steps_the_same_stays(sealed: Place) -> None:
    at_once = in_a_memory().copy()
    drop(at_once, 6_000)
    thin(at_once)
    for until in (3_000, 6_000):
        said = drop(sealed.log, until)
        thin(sealed.log)
    assert list(sealed.log.read(until=6_000)) == list(at_once.read(until=6_000))
    digests = [block.digest for block in sealed.log.blocks(until=6_000)]
    assert digests == [block.digest for block in at_once.blocks(until=6_000)]
    assert digests[-1] == dropped(said).stayed


def test_what_is_looked_for_by_kind_is_what_is_left(sealed: Place) -> None:
    drop(sealed.log, 6_000)
    thin(sealed.log)
    for log in sealed.now_and_reopened():
        left = [(_CODES[type(recorded.event)], recorded.seq) for recorded in log.read()]
        for code in {code for code, _ in left}:
            expected = [seq for kind, seq in left if kind == code]
            assert list(log.seqs_of((code,))) == expected
            assert list(log.seqs_of((code,), newest_first=True)) == expected[::-1]


def test_any_part_of_what_is_left_can_be_read(sealed: Place) -> None:
    drop(sealed.log, 5_000)
    thin(sealed.log)
    whole = list(sealed.log.read())
    for after in (0, 1, 998, 1_000, 1_999, 4_321, 5_000, 5_500):
        for until in (1, 1_000, 2_001, 5_000, 5_001, sealed.log.head.seq):
            expected = [recorded for recorded in whole if after < recorded.seq <= until]
            assert list(sealed.log.read(after, until, chunk=7)) == expected
            rows = [row[0] for row in sealed.log.rows(after, until, chunk=7)]
            assert rows == [recorded.seq for recorded in expected]


def test_nothing_goes_without_the_event(sealed: Place) -> None:
    assert thinning.last_dropped(sealed.log) is None
    assert thin(sealed.log) == []
    assert verify(sealed.log).events == 8_500
