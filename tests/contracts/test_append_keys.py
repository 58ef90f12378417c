"""Appends under a key: once, whoever does not know whether they succeeded and repeats them."""

import hashlib

import msgspec
import pytest

from engine.core.errors import LogConflict, LogError
from engine.core.events import Recorded
from engine.core.terms import KEY_CHARACTERS_MAX, Keyed
from engine.log import Appended, MemoryLog, Writer
from engine.log.memory import Failure
from engine.log.protocol import AFTER_COMMIT, BEFORE_COMMIT, Head
from engine.log.verify import verify
from tests.contracts.places import Place
from tests.engine.log.events import START_US, message, probe, probes

DIGEST = hashlib.sha256(b"asked").digest()


def later(events: list[Recorded], by: int) -> list[Recorded]:
    """Return the same events as they would stand `by` seqs later."""
    return [
        msgspec.structs.replace(each, seq=each.seq + by, at_us=each.at_us + 1_000_000)
        for each in events
    ]


def test_an_append_says_where_its_events_are(place: Place) -> None:
    assert place.log.append(probes(1, 3)) == Appended(first=1, last=3)
    assert place.log.append([]) == Appended(first=0, last=0)
    assert place.log.append([probe(4)], key="k") == Appended(first=4, last=4)


def test_the_same_again_under_a_key_appends_nothing_and_says_where_it_is(place: Place) -> None:
    place.log.append(probes(1, 2))
    place.log.append(probes(3, 5), key="k")
    for log in place.now_and_reopened():
        for repeat in (probes(3, 5), later(probes(3, 5), 3)):
            assert log.append(repeat, key="k") == Appended(first=3, last=5, is_new=False)
        assert list(log.read()) == probes(1, 5)
        assert verify(log).ok
    assert place.log.append(probes(6, 7), key="other") == Appended(first=6, last=7)


@pytest.mark.parametrize(
    "other",
    [
        [probe(3)],
        probes(3, 5),
        [probe(3), msgspec.structs.replace(probe(4), subject="another")],
        [message(3, b"body")[0], probe(4)],
    ],
    ids=["fewer", "more", "subject", "kind"],
)
def test_other_events_under_the_same_key_are_a_conflict(
    place: Place, other: list[Recorded]
) -> None:
    place.log.append(probes(1, 2))
    place.log.append(probes(3, 4), key="k")
    for log in place.now_and_reopened():
        with pytest.raises(LogConflict, match="the key 'k': expected what is in events 3 to 4"):
            log.append(later(other, 2), key="k")
        assert log.head.seq == 4


def test_what_does_not_follow_the_head_is_refused_and_its_key_is_free(place: Place) -> None:
    place.log.append(probes(1, 2))
    with pytest.raises(LogConflict, match="expected event 3 to follow, found 4"):
        place.log.append([probe(4)], key="k")
    for log in place.now_and_reopened():
        assert log.append_keys.find("k") is None
    place.log.append([probe(3)], key="k")
    assert place.log.head.seq == 3


@pytest.mark.parametrize(("failpoint", "is_stored"), [(BEFORE_COMMIT, False), (AFTER_COMMIT, True)])
def test_events_and_their_key_are_stored_together_or_not_at_all(
    place: Place, failpoint: str, is_stored: bool
) -> None:
    def interrupt(passed: str) -> None:
        if passed == failpoint:
            raise KeyboardInterrupt

    place.log.append(probes(1, 2))
    place.log.hook = interrupt
    with pytest.raises(KeyboardInterrupt):
        place.log.append(probes(3, 4), key="k")
    place.log.hook = None
    for log in place.now_and_reopened():
        assert (log.append_keys.find("k") is not None) == is_stored == (log.head.seq == 4)
    again = place.log.append(probes(3, 4), key="k")
    assert again == Appended(first=3, last=4, is_new=not is_stored)
    assert list(place.log.read()) == probes(1, 4)


@pytest.mark.parametrize("failure", Failure)
def test_who_repeats_until_it_succeeds_has_appended_once(failure: Failure) -> None:
    log = MemoryLog()
    log.append(probes(1, 2))
    log.fail_next(failure, failure)
    found = None
    while found is None:
        try:
            found = log.append(probes(3, 4), key="k")
        except LogError:
            continue
    assert found == Appended(first=3, last=4, is_new=failure is not Failure.STORED)
    assert list(log.read()) == probes(1, 4)


def test_parts_of_an_append_may_have_their_keys(place: Place) -> None:
    parts = (
        Keyed(key="a", content=DIGEST, first=1, last=1),
        Keyed(key="b", content=DIGEST, first=3, last=4),
    )
    assert place.log.append(probes(1, 5), keyed=parts) == Appended(first=1, last=5)
    for log in place.now_and_reopened():
        assert [log.append_keys.find(key) for key in ("a", "b", "c")] == [*parts, None]
        with pytest.raises(LogConflict, match="the key 'b' is taken, by event 3"):
            log.append(probes(6, 7), keyed=[Keyed(key="b", content=DIGEST, first=6, last=6)])
        assert log.head.seq == 5


def test_what_a_writer_takes_together_has_its_keys(place: Place) -> None:
    keyed = [Keyed(key=f"k{seq}", content=DIGEST, first=seq, last=seq) for seq in range(1, 20)]
    with Writer(place.log) as writer:
        futures = [writer.submit([probe(each.first)], keyed=(each,)) for each in keyed]
        for future in futures:
            future.result(60)
    for log in place.now_and_reopened():
        assert [log.append_keys.find(each.key) for each in keyed] == keyed


@pytest.mark.parametrize("key", ["k" * (KEY_CHARACTERS_MAX + 1), "\ud800"])
def test_a_key_that_no_log_can_hold_is_refused(place: Place, key: str) -> None:
    with pytest.raises(LogError, match="the key: expected"):
        place.log.append(probes(1, 1), key=key)
    assert place.log.head == Head()


def test_a_key_without_events_is_a_bug_of_the_caller(place: Place) -> None:
    with pytest.raises(AssertionError):
        place.log.append([], key="k")


# Keys are bounded; events are not touched.


@pytest.mark.parametrize(
    ("before_seq", "keep_max", "gone"),
    [(0, 9, 0), (4, 9, 3), (1_000, 9, 9), (0, 4, 5), (0, 0, 9), (6, 6, 5), (3, 4, 5)],
)
def test_keys_that_are_too_old_or_too_many_go_the_oldest_first(
    place: Place, before_seq: int, keep_max: int, gone: int
) -> None:
    for seq in range(1, 10):
        place.log.append([probe(seq)], key=f"k{seq}")
    before_us = START_US + before_seq * 10
    assert not place.log.append_keys.drop(before_us=before_us, keep_max=keep_max)
    for log in place.now_and_reopened():
        kept = [seq for seq in range(1, 10) if log.append_keys.find(f"k{seq}") is not None]
        assert kept == list(range(gone + 1, 10))
        assert list(log.read()) == probes(1, 9)
        assert not log.append_keys.drop(before_us=before_us, keep_max=keep_max)


def test_a_log_without_keys_has_none_to_drop(place: Place) -> None:
    place.log.append(probes(1, 3))
    assert not place.log.append_keys.drop(before_us=1 << 62, keep_max=0)


def test_a_key_that_was_dropped_is_new_again(place: Place) -> None:
    place.log.append(probes(1, 2), key="k")
    place.log.append_keys.drop(before_us=0, keep_max=0)
    assert place.log.append(later(probes(1, 2), 2), key="k") == Appended(first=3, last=4)
