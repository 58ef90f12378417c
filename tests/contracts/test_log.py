"""What every log promises: one suite, run on each of them."""

import hashlib
import threading

import pytest

from engine.core.errors import LogConflict, LogError
from engine.core.events import Recorded
from engine.log.chain import ChainFold
from engine.log.protocol import AFTER_COMMIT, BEFORE_APPEND, BEFORE_COMMIT, Head
from engine.log.verify import verify
from tests.contracts.places import Place
from tests.engine.log.events import (
    CHAIN,
    START_US,
    SeenFold,
    approvals,
    based,
    failed,
    folded,
    message,
    probe,
    probes,
)


def test_a_new_log_is_empty(place: Place) -> None:
    log = place.log
    assert log.head == Head(seq=0, at_us=0)
    assert not [*log.read(), *log.rows()]
    assert log.chain_head() == bytes(32)
    assert log.body(bytes(32)) is None
    assert verify(log).ok


def test_what_was_appended_is_read_now_and_after_opening_again(place: Place) -> None:
    events = probes(1, 5)
    place.log.append(events[:2])
    place.log.append(events[2:])
    for log in place.now_and_reopened():
        assert list(log.read()) == events
        assert log.head == Head(seq=5, at_us=events[-1].at_us)


def test_a_log_goes_on_after_it_was_opened_again(place: Place) -> None:
    place.log.append(probes(1, 5))
    place.reopened().append(probes(6, 7))
    assert list(place.reopened().read()) == probes(1, 7)
    assert verify(place.log).ok


@pytest.mark.parametrize("chunk", [1, 2, 5, 1_000])
@pytest.mark.parametrize("after", [0, 1, 4, 9, 10, 20])
@pytest.mark.parametrize("until", [None, 0, 1, 5, 10, 20])
def test_a_range_is_open_at_its_start_and_closed_at_its_end(
    place: Place, chunk: int, after: int, until: int | None
) -> None:
    place.log.append(probes(1, 10))
    last = 10 if until is None else min(until, 10)
    assert list(place.log.read(after, until, chunk=chunk)) == probes(after + 1, last)
    assert [row[0] for row in place.log.rows(after, until, chunk=chunk)] == list(
        range(after + 1, last + 1)
    )


def test_a_read_ends_at_the_head_that_it_began_with(place: Place) -> None:
    place.log.append(probes(1, 4))
    reading = place.log.read(chunk=2)
    first = next(reading)
    place.log.append(probes(5, 6))
    assert [first, *reading] == probes(1, 4)
    assert list(place.log.read(4)) == probes(5, 6)


@pytest.mark.parametrize(
    "events",
    [
        [probe(1)],
        [probe(3)],
        [probe(5)],
        [probe(4), probe(6)],
        [Recorded(seq=4, at_us=START_US, subject="m", cause=0, event=probe(4).event)],
        [based(4)],
    ],
)
def test_what_does_not_follow_the_head_is_refused_and_changes_nothing(
    place: Place, events: list[Recorded]
) -> None:
    place.log.append(probes(1, 3))
    before = place.log.chain_head()
    with pytest.raises(LogConflict):
        place.log.append(events, bodies=message(4, b"body")[1])
    for log in place.now_and_reopened():
        assert list(log.read()) == probes(1, 3)
        assert log.chain_head() == before
        assert log.body(hashlib.sha256(b"body").digest()) is None
    place.log.append(probes(4, 4))


def test_nothing_is_appended_by_an_empty_append(place: Place) -> None:
    place.log.append([])
    assert place.log.head == Head()


def test_bodies_come_with_their_events_and_lie_under_their_digests(place: Place) -> None:
    event, bodies = message(1, b"hello")
    place.log.append([event], bodies=bodies)
    place.log.append([message(2, b"hello")[0]], bodies=bodies)
    digest = hashlib.sha256(b"hello").digest()
    for log in place.now_and_reopened():
        assert log.body(digest) == b"hello"
        assert log.body(bytes(32)) is None


def test_a_body_under_another_digest_is_a_bug_of_the_caller(place: Place) -> None:
    with pytest.raises(AssertionError):
        place.log.append([probe(1)], bodies={bytes(32): b"hello"})
    assert place.log.head.seq == 0


def test_the_chain_is_the_same_however_the_events_were_appended(place: Place) -> None:
    events = approvals(1, 2_501)
    place.log.append(events[:700])
    place.log.chain_head()
    place.log.append(events[700:])
    expected = "7a0f3da9caf7f4a0e87c41934d4ceff2120799456c4339efd187624946cbe4c8"
    assert place.log.chain_head().hex() == expected
    assert place.reopened().chain_head().hex() == expected
    assert verify(place.log).head == expected


def test_a_log_may_begin_with_a_base(place: Place) -> None:
    events = [based(1_500), *probes(1_501, 2_100)]
    place.log.append(events[:1])
    assert place.log.chain_head() == CHAIN
    place.log.append(events[1:])
    fold = ChainFold()
    fold.feed(place.log.rows())
    for log in place.now_and_reopened():
        assert log.head.seq == 2_100
        assert list(log.read()) == events
        assert list(log.read(1_600, 1_602)) == events[101:103]
        assert list(log.read(0, 1_499)) == []
        assert log.chain_head() == fold.head
        assert verify(log).ok


def test_failpoints_are_passed_in_order_and_say_what_is_stored(place: Place) -> None:
    passed = []
    log = place.log

    def note(failpoint: str) -> None:
        passed.append((failpoint, len(list(log.rows(0, 9)))))

    log.hook = note
    log.append(probes(1, 2))
    log.append(probes(3, 3))
    assert passed == [
        (BEFORE_APPEND, 0),
        (BEFORE_COMMIT, 0),
        (AFTER_COMMIT, 2),
        (BEFORE_APPEND, 2),
        (BEFORE_COMMIT, 2),
        (AFTER_COMMIT, 3),
    ]


@pytest.mark.parametrize(
    ("failpoint", "stored"), [(BEFORE_APPEND, 2), (BEFORE_COMMIT, 2), (AFTER_COMMIT, 4)]
)
def test_an_append_that_is_interrupted_is_all_or_nothing(
    place: Place, failpoint: str, stored: int
) -> None:
    def interrupt(passed: str) -> None:
        if passed == failpoint:
            raise KeyboardInterrupt

    place.log.append(probes(1, 2))
    place.log.hook = interrupt
    with pytest.raises(KeyboardInterrupt):
        place.log.append(probes(3, 4))
    place.log.hook = None
    assert place.log.head.seq == stored
    place.log.append(probes(stored + 1, 5))
    assert list(place.reopened().read()) == probes(1, 5)
    assert verify(place.log).ok


def test_one_thread_may_read_while_another_appends(place: Place) -> None:
    last, log = 300, place.log

    def append() -> None:
        for seq in range(1, last + 1):
            log.append([probe(seq)])

    thread = threading.Thread(target=append)
    thread.start()
    seen: list[Recorded] = []
    while len(seen) < last:
        seen += log.read(len(seen))
    thread.join()
    assert seen == probes(1, last)


def test_verify_sees_nothing_wrong_with_decisions_on_earlier_evidence(place: Place) -> None:
    place.log.append([*probes(1, 3), failed(4, 2, 3)])
    seen: list[Recorded] = []
    found = verify(place.log, seen.append)
    assert (found.ok, found.events, found.first_bad, found.problems) == (True, 4, None, ())
    assert seen == list(place.log.read())


def test_a_projection_is_caught_up_in_portions(place: Place) -> None:
    log = place.log
    log.append(probes(1, 25))
    log.attach(SeenFold())
    assert [log.catch_up("seen", limit_events=10) for _ in range(4)] == [10, 10, 5, 0]
    assert log.view(SeenFold()) == (folded(probes(1, 25)), 25)


def test_every_event_counts_once_however_often_the_log_is_opened(place: Place) -> None:
    for first in range(1, 40, 4):
        log = place.reopened()
        log.attach(SeenFold())
        log.append(probes(first, first + 3))
        log.catch_up("seen", limit_events=3)
        assert log.view(SeenFold()) == (folded(probes(1, first + 3)), first + 3)
    while log.catch_up("seen", limit_events=3):
        pass
    assert place.reopened().view(SeenFold()) == (folded(probes(1, 40)), 40)


def test_a_projection_rebuilt_is_the_projection_caught_up(place: Place) -> None:
    log = place.log
    log.attach(SeenFold())
    log.append(probes(1, 12))
    log.catch_up("seen")
    caught_up = log.view(SeenFold())
    reports: list[tuple[int, int]] = []
    assert log.rebuild(SeenFold(), lambda seq, head: reports.append((seq, head))) == 12
    assert reports[-1] == (12, 12)
    assert log.view(SeenFold()) == caught_up
    log.append(probes(13, 14))
    assert log.catch_up("seen") == 2
    assert place.reopened().view(SeenFold()) == (folded(probes(1, 14)), 14)


def test_a_view_that_is_handed_out_is_nobody_elses(place: Place) -> None:
    log = place.log
    log.attach(SeenFold())
    log.append(probes(1, 3))
    log.catch_up("seen")
    view, _ = log.view(SeenFold())
    view.count = 99
    log.append(probes(4, 4))
    log.catch_up("seen")
    assert log.view(SeenFold()) == (folded(probes(1, 4)), 4)


def test_a_view_of_another_version_is_folded_from_the_start(place: Place) -> None:
    place.log.append(probes(1, 5))
    place.log.attach(SeenFold(version=1))
    place.log.catch_up("seen")
    log = place.reopened()
    assert log.view(SeenFold(version=2)) == (folded(probes(1, 5), version=2), 5)
    log.attach(SeenFold(version=2))
    assert log.catch_up("seen") == 5
    assert log.catch_up("seen") == 0


def test_a_view_that_cannot_be_restored_is_folded_from_the_start(place: Place) -> None:
    class Garbled(SeenFold):
        def dump(self, view: object) -> bytes:
            return b"\xc1"

    place.log.append(probes(1, 5))
    place.log.attach(Garbled())
    place.log.catch_up("seen")
    log = place.reopened()
    assert log.view(SeenFold()) == (folded(probes(1, 5)), 5)
    log.attach(SeenFold())
    assert log.catch_up("seen") == 5


@pytest.mark.parametrize("stored", [0, 4, 9])
def test_a_view_as_of_a_position_is_the_fold_up_to_it(place: Place, stored: int) -> None:
    log = place.log
    log.attach(SeenFold())
    log.append(probes(1, stored))
    log.catch_up("seen")
    log.append(probes(stored + 1, 9))
    for seq in range(10):
        assert log.as_of(SeenFold(), seq) == folded(probes(1, seq))


def test_a_position_outside_the_log_has_no_view(place: Place) -> None:
    with pytest.raises(LogError, match="from 0 to 0, found 1"):
        place.log.as_of(SeenFold(), 1)
    place.log.append([based(1_500), *probes(1_501, 1_502)])
    for seq in (-1, 0, 1_499, 1_503):
        with pytest.raises(LogError, match=f"from 1500 to 1502, found {seq}"):
            place.log.as_of(SeenFold(), seq)
    assert place.log.as_of(SeenFold(), 1_501).count == 2


def test_a_projection_that_is_not_attached_is_named(place: Place) -> None:
    with pytest.raises(LogError, match=r"no projection 'uptime' is attached \(attached: none\)"):
        place.log.catch_up("uptime")


def test_closing_twice_is_closing_once(place: Place) -> None:
    with place.log as log:
        log.append(probes(1, 1))
    place.log.close()
