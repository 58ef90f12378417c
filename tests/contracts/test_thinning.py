"""What retention promises on every log: what was decided stays, with all that it rests on."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.answers.why import why
from engine.core import events as ev
from engine.core import state as st
from engine.core.detection import pending
from engine.core.errors import StateDropped
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
            with pytest.raises(StateDropped, match=rf"5000 was dropped \(event {said.seq}"):
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
    with pytest.raises(StateDropped, match="dropped"):
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


def test_in_steps_nothing_goes_that_stays_at_once_and_the_digests_fit(sealed: Place) -> None:
    at_once = in_a_memory().copy()
    drop(at_once, 6_000)
    thin(at_once)
    for until in (3_000, 6_000):
        said = drop(sealed.log, until)
        thin(sealed.log)
    left = list(sealed.log.read(until=6_000))
    more = {recorded.seq for recorded in left} - {r.seq for r in at_once.read(until=6_000)}
    assert len(left) - len(more) == sum(1 for _ in at_once.read(until=6_000))
    # At a cut, a failure that no decision names stays while one may still name it.
    assert more <= pending(states.state_at(in_a_memory(), 3_000))
    digest = bytes(32)
    for block in sealed.log.blocks(until=6_000):
        digest = thinning.stayed_digest(digest, block, block.rows())
        assert block.digest == digest
    assert digest == dropped(said).stayed


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


def test_wherever_it_is_cut_whatever_decisions_rest_on_stays() -> None:
    log = in_a_memory()
    for until in range(1_000, 9_000, 1_000):
        event = thinning.dropping(log, until, states.state_at(log, until), why="test")
        stays = {seq for _, seqs, _ in thinning.staying(log, event) for seq in seqs}
        for recorded in world():
            if _CODES[type(recorded.event)] not in PASSING:
                assert {seq for seq in rests_on(recorded) if seq <= until} <= stays


def test_the_chain_of_every_decision_is_what_it_was() -> None:
    log = in_a_memory().copy()
    seqs = [
        recorded.seq
        for recorded in world()
        if isinstance(recorded.event, ev.MasterFailed | ev.FailoverStarted | ev.Switched)
    ]
    assert len(seqs) > 50
    expected = {seq: why(log, str(seq)) for seq in seqs}
    drop(log, 6_000)
    thin(log)
    for seq in seqs:
        found, before = why(log, str(seq)), expected[seq]
        if seq < 6_000 and isinstance(before["says"], list) and not _followed(before):
            # It was told by the state of then, which cannot be had any more.
            assert isinstance(found["says"], list)
            assert not found["says"] or "what was observed was dropped" in found["says"][0]
            found["says"] = before["says"]
        assert found == before


def _followed(node: dict[str, object]) -> bool:
    assert isinstance(node["says"], list)
    return any(" followed: tanist why " in said for said in node["says"])


def test_what_is_thinned_is_not_looked_through_again(sealed: Place) -> None:
    drop(sealed.log, 5_000)
    thin(sealed.log)
    looked = []

    class Looking:
        def __getattr__(self, name: str) -> object:
            looked.append(name)
            return getattr(sealed.log, name)

    assert list(thinning.thinned(Looking())) == []  # type: ignore[arg-type]
    assert sorted(looked) == ["blocks", "may_seal", "read", "seqs_of"]
