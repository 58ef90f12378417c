"""What views promise on every log: one that cannot go on is parked, and how far each is told."""

import pytest

from engine.core.errors import LogError
from engine.core.events import Recorded
from engine.log.protocol import ViewParked, ViewStatus
from engine.log.shelf import StoredView
from tests.contracts.folds import Failing, damage, parked
from tests.contracts.places import Place
from tests.engine.log.events import Seen, SeenFold, based, folded, probes


class Named(SeenFold):
    """The same projection under another name."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name


class Sometimes(SeenFold):
    """A projection that fails at the first event it sees after so many, whatever that is."""

    def __init__(self, *after: int) -> None:
        super().__init__()
        self.after = list(after)

    def project(self, view: Seen, recorded: Recorded) -> None:
        if self.after and view.count == self.after[0]:
            del self.after[0]
            raise RuntimeError
        super().project(view, recorded)


def test_a_projection_that_raises_is_parked_before_the_event(place: Place) -> None:
    log, fold = place.log, Failing(8)
    log.attach(fold)
    log.append(probes(1, 10))
    log.catch_up("seen", limit_events=5)
    with pytest.raises(ViewParked) as found:
        log.catch_up("seen", limit_events=5)
    assert (found.value.name, found.value.seq) == ("seen", 8)
    assert str(found.value) == (
        "the view 'seen' is parked before event 8: ZeroDivisionError: no masters"
    )
    assert found.value.__cause__ is fold.error
    stored = log.load_view("seen")
    assert stored is not None
    assert (fold.restore(stored.data), stored.position) == (folded(probes(1, 7)), 7)


def test_a_parked_event_is_not_tried_again(place: Place) -> None:
    fold = Failing(8)
    place.log.attach(fold)
    place.log.append(probes(1, 10))
    first = parked(place.log)
    tried = len(fold.tried)
    assert str(parked(place.log)) == str(first)
    place.log.append(probes(11, 12))
    assert str(parked(place.log)) == str(first)
    assert len(fold.tried) == tried


def test_that_a_view_is_parked_is_known_to_the_next_process(place: Place) -> None:
    place.log.attach(Failing(8))
    place.log.append(probes(1, 10))
    first = parked(place.log)
    log, mended = place.reopened(), Failing()
    log.attach(mended)
    assert [(each.parked_seq, each.reason) for each in log.views_status()] == [(8, first.reason)]
    assert str(parked(log)) == str(first)


def test_what_was_mended_is_tried_again_when_that_is_asked_for(place: Place) -> None:
    fold = Failing(8)
    place.log.attach(fold)
    place.log.append(probes(1, 10))
    parked(place.log)
    place.log.retry("seen")
    assert parked(place.log).seq == 8
    fold.fails_at = ()
    place.log.retry("seen")
    assert place.log.catch_up("seen") == 3
    assert place.log.views_status()[0].parked_seq == 0
    assert place.reopened().view(SeenFold()) == (folded(probes(1, 10)), 10)


def test_to_try_again_what_is_not_parked_changes_nothing(place: Place) -> None:
    place.log.attach(SeenFold())
    place.log.append(probes(1, 3))
    place.log.retry("seen")
    assert place.log.catch_up("seen") == 3
    with pytest.raises(LogError, match="no projection 'uptime' is attached"):
        place.log.retry("uptime")


def test_another_version_is_free_to_try(place: Place) -> None:
    place.log.attach(Failing(8))
    place.log.append(probes(1, 10))
    parked(place.log)
    log = place.reopened()
    log.attach(SeenFold(version=2))
    assert log.views_status()[0].parked_seq == 0
    assert log.catch_up("seen") == 10
    assert log.view(SeenFold(version=2)) == (folded(probes(1, 10), version=2), 10)
    log.attach(SeenFold())  # and so is the first one, if that is what comes back
    assert log.catch_up("seen") == 10


def test_the_others_go_on_beside_a_parked_one(place: Place) -> None:
    log = place.log
    log.attach(Failing(2))
    log.attach(Named("other"))
    log.append(probes(1, 3))
    parked(log)
    assert log.catch_up("other") == 3
    log.append(probes(4, 4))
    assert log.catch_up("other") == 1


def test_a_projection_that_fails_at_the_first_event_has_an_empty_view(place: Place) -> None:
    place.log.attach(Failing(1))
    place.log.append(probes(1, 3))
    assert parked(place.log).seq == 1
    stored = place.log.load_view("seen")
    assert stored is not None
    assert stored.position == 0


def test_a_projection_that_fails_now_here_now_there_is_parked_all_the_same(place: Place) -> None:
    place.log.attach(Sometimes(8, 5, 3))
    place.log.append(probes(1, 10))
    assert parked(place.log).seq == 4
    place.log.retry("seen")
    assert place.log.catch_up("seen") == 7
    assert place.log.view(SeenFold()) == (folded(probes(1, 10)), 10)


@pytest.mark.parametrize("error", [LogError("of its own"), AssertionError(), OSError("disk")])
def test_whatever_a_projection_raises_parks_it(place: Place, error: Exception) -> None:
    place.log.attach(Failing(2, error=error))
    place.log.append(probes(1, 3))
    found = parked(place.log)
    assert found.seq == 2
    assert found.reason.startswith(type(error).__name__)


def test_an_event_that_cannot_be_read_parks_what_gets_to_it(place: Place) -> None:
    log = place.log
    log.append(probes(1, 10))
    log.attach(SeenFold())
    damage(log, 7)
    found = parked(log)
    assert (found.seq, found.reason.startswith("LogCorrupted: event 7")) == (7, True)
    assert log.as_of(SeenFold(), 6) == folded(probes(1, 6))
    stored = log.load_view("seen")
    assert stored is not None
    assert stored.position == 6


@pytest.mark.parametrize(("begun", "seq"), [(0, 1_001), (1_001, 1_002), (1_500, 1_501)])
def test_a_damaged_block_parks_before_its_first_event_or_where_the_view_is(
    place: Place, begun: int, seq: int
) -> None:
    log = place.log
    log.append(probes(1, 2_500))
    log.attach(SeenFold())
    if begun:
        log.catch_up("seen", limit_events=begun)
    log.seal(blocks_max=9)
    damage(log, 1_700)
    assert parked(log).seq == seq
    stored = log.load_view("seen")
    assert stored is not None
    assert stored.position == seq - 1


def test_a_view_that_cannot_be_written_down_is_parked_where_it_was_stored(place: Place) -> None:
    class Unwritable(SeenFold):
        def dump(self, view: Seen) -> bytes:
            if view.count > 5:
                raise OverflowError("too large")
            return super().dump(view)

    log = place.log
    log.attach(Unwritable())
    log.append(probes(1, 10))
    assert log.catch_up("seen", limit_events=4) == 4
    found = parked(log)
    assert (found.seq, found.reason) == (5, "OverflowError: too large")
    assert parked(place.log).seq == 5
    stored = log.load_view("seen")
    assert stored is not None
    assert stored.position == 4


def test_who_asks_a_view_is_told_what_its_projection_cannot_apply(place: Place) -> None:
    fold = Failing(8)
    place.log.append(probes(1, 10))
    for ask in (lambda: place.log.view(fold), lambda: place.log.as_of(fold, 8)):
        with pytest.raises(ViewParked, match="'seen' is parked before event 8: ZeroDivision"):
            ask()
    assert place.log.as_of(fold, 7) == folded(probes(1, 7))
    assert place.log.load_view("seen") is None


def test_the_reason_is_one_line_and_not_a_long_one(place: Place) -> None:
    place.log.attach(Failing(1, error=ValueError("x" * 10_000)))
    place.log.append(probes(1, 1))
    assert parked(place.log).reason == "ValueError: " + 188 * "x"
    place.log.attach(Failing(1, error=ValueError(), version=2))
    assert parked(place.log).reason == "ValueError"


def test_how_far_each_view_is_behind_is_told(place: Place) -> None:
    log = place.log
    assert log.views_status() == []
    log.attach(Named("other"))
    log.attach(Failing(8))
    log.append(probes(1, 10))
    parked(log)
    log.catch_up("other", limit_events=6)
    log.append(probes(11, 11))
    for log in place.now_and_reopened():
        log.attach(SeenFold())
        log.attach(Named("other"))
        assert log.views_status() == [
            ViewStatus(
                name="other",
                version=1,
                position=6,
                head=11,
                lag_events=5,
                parked_seq=0,
                reason="",
                rebuild_position=0,
            ),
            ViewStatus(
                name="seen",
                version=1,
                position=7,
                head=11,
                lag_events=4,
                parked_seq=8,
                reason="ZeroDivisionError: no masters",
                rebuild_position=0,
            ),
        ]


@pytest.mark.parametrize(
    ("events", "lag_events"), [([], 0), (probes(1, 4), 4), ([based(9), *probes(10, 11)], 3)]
)
def test_a_view_that_was_never_stored_lags_by_the_whole_log(
    place: Place, events: list[Recorded], lag_events: int
) -> None:
    place.log.attach(SeenFold())
    if events:
        place.log.append(events)
    assert [each.lag_events for each in place.log.views_status()] == [lag_events]
    place.log.catch_up("seen")
    assert [each.lag_events for each in place.log.views_status()] == [0]


@pytest.mark.parametrize("events", [probes(1, 2_100), [based(4_000), *probes(4_001, 6_100)]])
def test_how_far_a_view_is_behind_is_told_of_sealed_and_of_damaged_logs(
    place: Place, events: list[Recorded]
) -> None:
    place.log.attach(SeenFold())
    place.log.append(events)
    assert place.log.seal(blocks_max=9) == 2
    damage(place.log, events[500].seq)
    assert [each.lag_events for each in place.log.views_status()] == [len(events)]


def test_a_view_of_another_version_lags_by_the_whole_log(place: Place) -> None:
    place.log.attach(SeenFold())
    place.log.append(probes(1, 4))
    place.log.catch_up("seen")
    place.log.attach(SeenFold(version=2))
    found = place.log.views_status()[0]
    assert (found.version, found.position, found.lag_events) == (2, 0, 4)


def test_a_view_ahead_of_the_log_lags_by_the_whole_log(place: Place) -> None:
    place.log.attach(SeenFold())
    place.log.append(probes(1, 4))
    place.log.shelf.store("seen", StoredView(version=1, position=5, data=b""))
    found = place.log.views_status()[0]
    assert (found.position, found.lag_events) == (0, 4)
    assert place.log.catch_up("seen") == 4
