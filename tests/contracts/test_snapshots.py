"""What snapshots promise on every log: they change how long an answer takes, and nothing else."""

from functools import cache

import msgspec
import pytest

from engine.core import state as st
from engine.core.events import Recorded
from engine.core.replay import replay
from engine.log import states
from engine.log.protocol import Log
from engine.log.snapshots import Snapshot, spare
from engine.simulation.schedule import draw
from engine.simulation.world import run
from tests.contracts.places import Place
from tests.engine.log.events import probes


@cache
def told() -> tuple[Recorded, ...]:
    """Return a log with a bit of everything."""
    return tuple(run(draw(34, turns=60), within_us=3_000_000).log)


def filled(log: Log, *at: int) -> list[Recorded]:
    """Fill `log` and keep snapshots at these positions; return its events."""
    events = list(told())
    log.append(events)
    for seq in at:
        states.keep(log, replay(events, until_seq=seq))
    return events


def changed(log: Log, seq: int, **changes: object) -> None:
    snapshot = log.snapshots.newest(seq)
    assert snapshot is not None
    assert snapshot.seq == seq
    log.snapshots.store(msgspec.structs.replace(snapshot, **changes))


@pytest.mark.parametrize("until", [0, 1, 99, 100, 101, 700, 800, 1_000, None])
def test_the_state_of_any_position_is_the_fold_up_to_there(place: Place, until: int | None) -> None:
    events = filled(place.log, 800)
    place.log.seal(blocks_max=9)
    expected = st.digest(replay(events[:until]))
    for log in place.now_and_reopened():
        assert log.snapshots.seqs() == [800]
        assert st.digest(states.state_at(log, until)) == expected


def test_what_lies_before_a_snapshot_is_not_read(place: Place) -> None:
    events = filled(place.log, 800)
    read = []

    class Counting:
        snapshots, head = place.log.snapshots, place.log.head

        def read(self, after: int = 0, until: int | None = None) -> object:
            read.append((after, until))
            return place.log.read(after, until)

    states.state_at(Counting(), 900)  # type: ignore[arg-type]
    assert read == [(800, 900)]
    assert len(events) > 900


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"data": b"nonsense"}, "damaged"),
        ({"digest": "0" * 64}, "another digest"),
        ({"fold_version": 0}, "fold version 0"),
        ({"policy_digest": "other"}, "another position"),
    ],
)
def test_one_that_cannot_be_believed_is_said_and_changes_no_answer(
    place: Place, changes: dict[str, object], says: str
) -> None:
    events = filled(place.log, 700)
    changed(place.log, 700, **changes)
    said: list[str] = []
    assert st.digest(states.state_at(place.log, say=said.append)) == st.digest(replay(events))
    assert len(said) == 1
    assert says in said[0]
    assert "700" in said[0]


def test_the_one_before_a_damaged_one_is_taken(place: Place) -> None:
    events = filled(place.log, 700)
    whole = place.log.snapshots.newest(700)
    assert whole is not None
    place.log.snapshots.store(msgspec.structs.replace(whole, seq=900))
    said: list[str] = []
    assert st.digest(states.state_at(place.log, say=said.append)) == st.digest(replay(events))
    assert len(said) == 1


def test_without_any_every_answer_is_the_same(place: Place) -> None:
    events = filled(place.log, 500, 900)
    place.log.snapshots.drop(place.log.snapshots.seqs())
    assert place.log.snapshots.seqs() == []
    assert st.digest(states.state_at(place.log)) == st.digest(replay(events))


def test_the_newest_takes_the_place_of_one_that_is_near(place: Place) -> None:
    filled(place.log, 500, 900)
    assert place.log.snapshots.seqs() == [500, 900]
    states.keep(place.log, replay(told(), until_seq=1_000))
    assert place.log.snapshots.seqs() == [500, 1_000]


def test_one_in_each_span_stays_and_the_newest() -> None:
    assert spare([5, 9, 12, 14, 27, 31, 35], each=10) == [9, 14]
    assert spare([5, 9], each=10) == []
    assert spare([], each=10) == []


def test_a_snapshot_is_due_when_enough_was_appended(place: Place) -> None:
    place.log.append(probes(1, states.EACH_EVENTS - 1))
    assert not states.is_due(place.log)
    place.log.append(probes(states.EACH_EVENTS, states.EACH_EVENTS))
    assert states.is_due(place.log)
    place.log.snapshots.store(
        Snapshot(seq=2, fold_version=1, policy_digest="", digest="", data=b"")
    )
    assert not states.is_due(place.log)
