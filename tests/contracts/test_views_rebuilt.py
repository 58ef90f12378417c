"""What a rebuild promises on every log: it goes on beside the live view, and ends in a swap."""

import contextlib
from collections.abc import Callable
from typing import Any

import pytest

from engine.core.errors import LogError
from engine.core.events import Recorded
from engine.log.protocol import Log, ViewParked
from engine.log.shelf import StoredView
from engine.log.views import Views
from tests.contracts.folds import Failing, parked
from tests.contracts.places import Place
from tests.engine.log.events import Seen, SeenFold, folded, probes


def portioned(log: Any, *projections: SeenFold, shelf: object = None) -> Views:
    """Return views that are rebuilt in small portions."""
    views = Views(log, shelf or log.shelf, keep_events=100)
    for projection in projections:
        views.attach(projection)
    return views


def interrupting(after: int) -> Callable[[int, int], None]:
    """Return a progress that interrupts the rebuild at that position."""

    def progress(seq: int, _: int) -> None:
        if seq >= after:
            raise KeyboardInterrupt

    return progress


class Counting(SeenFold):
    """It notes what it was made to fold."""

    def __init__(self, version: int = 1) -> None:
        super().__init__(version)
        self.seqs: list[int] = []

    def project(self, view: Seen, recorded: Recorded) -> None:
        self.seqs.append(recorded.seq)
        super().project(view, recorded)


class Delegating:
    """A shelf that does what another one does."""

    def __init__(self, shelf: Any) -> None:
        self._shelf = shelf

    def __getattr__(self, name: str) -> object:
        return getattr(self._shelf, name)


def interrupted(log: Log, after: int) -> None:
    with contextlib.suppress(KeyboardInterrupt):
        portioned(log).rebuild(SeenFold(), interrupting(after))
        pytest.fail("it was not interrupted")


def test_the_live_view_is_answered_and_kept_up_while_another_is_rebuilt(place: Place) -> None:
    log = place.log
    views = portioned(log, SeenFold())
    log.append(probes(1, 500))
    views.catch_up("seen", limit_events=1_000)
    seen: list[tuple[int, int]] = []

    def progress(seq: int, head: int) -> None:
        seen.append((seq, head))
        if log.head.seq < 900:
            first = log.head.seq + 1
            log.append(probes(first, first + 49))
            assert views.catch_up("seen", limit_events=1_000) == 50
            assert views.view(SeenFold()) == (folded(probes(1, first + 49)), first + 49)

    assert views.rebuild(SeenFold(), progress) == 900
    assert seen[-1] == (900, 900)
    assert len(seen) == 9
    assert views.catch_up("seen", limit_events=1_000) == 0
    stored = place.reopened().load_view("seen")
    assert stored is not None
    assert (SeenFold().restore(stored.data), stored.position) == (folded(probes(1, 900)), 900)


def test_a_rebuild_that_was_interrupted_goes_on_where_it_ended(place: Place) -> None:
    place.log.append(probes(1, 1_000))
    interrupted(place.log, 450)
    log = place.reopened()
    views = portioned(log, SeenFold())
    assert [each.rebuild_position for each in views.status()] == [500]
    assert views.view(SeenFold()) == (folded(probes(1, 1_000)), 1_000)
    counting = Counting()
    assert views.rebuild(counting, None) == 1_000
    assert counting.seqs == list(range(501, 1_001))
    assert views.view(SeenFold()) == (folded(probes(1, 1_000)), 1_000)
    assert [each.rebuild_position for each in views.status()] == [0]


def test_after_the_swap_the_rebuilt_view_is_what_is_folded_on(place: Place) -> None:
    class Mistaken(SeenFold):
        begins_at = 1_000

        def new(self) -> Seen:
            return Seen(count=self.begins_at)

    log, fold = place.log, Mistaken()
    log.append(probes(1, 5))
    log.attach(fold)
    log.catch_up("seen")
    fold.begins_at = 0
    assert log.rebuild(fold) == 5
    log.append(probes(6, 7))
    assert log.catch_up("seen") == 2
    assert place.reopened().view(SeenFold()) == (folded(probes(1, 7)), 7)


def test_nobody_folds_the_live_view_on_during_the_swap(place: Place) -> None:
    class Watched(Delegating):
        def swap(self, name: str, stored: StoredView) -> None:
            held.append(views._storing.locked())
            self._shelf.swap(name, stored)

    held: list[bool] = []
    place.log.append(probes(1, 300))
    views = portioned(place.log, shelf=Watched(place.log.shelf))
    assert views.rebuild(SeenFold(), None) == 300
    assert held == [True]


def test_after_the_swap_a_rebuild_begins_at_the_start(place: Place) -> None:
    place.log.append(probes(1, 300))
    portioned(place.log).rebuild(SeenFold(), None)
    counting = Counting()
    portioned(place.log).rebuild(counting, None)
    assert counting.seqs == list(range(1, 301))


def test_a_rebuild_of_another_version_begins_at_the_start(place: Place) -> None:
    place.log.append(probes(1, 500))
    interrupted(place.log, 300)
    counting = Counting(version=2)
    assert portioned(place.log).rebuild(counting, None) == 500
    assert counting.seqs == list(range(1, 501))
    assert place.log.view(SeenFold(version=2)) == (folded(probes(1, 500), version=2), 500)


def test_a_swap_that_fails_leaves_the_live_view_and_the_rebuild(place: Place) -> None:
    class Unswappable(Delegating):
        def swap(self, name: str, stored: StoredView) -> None:
            raise LogError("not now")

    log = place.log
    log.append(probes(1, 500))
    log.attach(SeenFold())
    log.catch_up("seen", limit_events=120)
    with pytest.raises(LogError, match="not now"):
        portioned(log, shelf=Unswappable(log.shelf)).rebuild(SeenFold(), None)
    stored = log.load_view("seen")
    assert stored is not None
    assert stored.position == 120
    counting = Counting()
    assert portioned(log).rebuild(counting, None) == 500
    assert counting.seqs == list(range(401, 501))


def test_a_rebuild_frees_a_parked_view(place: Place) -> None:
    fold = Failing(8)
    place.log.attach(fold)
    place.log.append(probes(1, 10))
    parked(place.log)
    fold.fails_at = ()
    assert place.log.rebuild(fold) == 10
    place.log.append(probes(11, 11))
    assert place.log.catch_up("seen") == 1
    log = place.reopened()
    log.attach(SeenFold())
    assert log.views_status()[0].parked_seq == 0
    assert log.view(SeenFold()) == (folded(probes(1, 11)), 11)


def test_a_rebuild_that_cannot_go_on_leaves_all_as_it_was_and_begins_anew(place: Place) -> None:
    log = place.log
    log.append(probes(1, 500))
    log.attach(SeenFold())
    log.catch_up("seen", limit_events=120)
    with pytest.raises(ViewParked, match="'seen' is parked before event 450: ZeroDivision"):
        portioned(log).rebuild(Failing(450), None)
    found = log.views_status()[0]
    assert (found.position, found.parked_seq, found.rebuild_position) == (120, 0, 0)
    counting = Counting()
    assert portioned(log).rebuild(counting, None) == 500
    assert counting.seqs[0] == 1


def test_a_rebuild_over_blocks_and_rows_is_the_whole_fold(place: Place) -> None:
    log = place.log
    log.append(probes(1, 2_500))
    log.seal(blocks_max=1)
    assert log.rebuild(SeenFold()) == 2_500
    assert log.view(SeenFold()) == (folded(probes(1, 2_500)), 2_500)
