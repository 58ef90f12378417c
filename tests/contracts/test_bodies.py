"""What every log promises of bodies: there with what names them, gone with what removes them."""

import hashlib

import pytest

from engine.core.errors import LogError
from engine.core.events import BodiesRemoved, MessageAcked, Recorded, StateKept
from engine.log.protocol import AFTER_COMMIT, BEFORE_APPEND, BEFORE_COMMIT, Log
from engine.log.verify import verify
from tests.contracts.places import Place
from tests.engine.log.events import at, message, probe, probes

ONE, TWO = b"the first body", b"the second body"


class Killed(BaseException):
    """The process ends here."""


def digest_of(body: bytes) -> bytes:
    return hashlib.sha256(body).digest()


def removed(seq: int, *bodies: bytes, author: str = "") -> Recorded:
    event = BodiesRemoved(digests=tuple(map(digest_of, bodies)), why="a test", author=author)
    return at(seq, event, subject="fleet")


def accept(log: Log, body: bytes) -> None:
    event, bodies = message(log.head.seq + 1, body)
    log.append([event], bodies=bodies)


def there(log: Log) -> set[bytes]:
    found = set()
    for stored in log.stored_bodies():
        assert (stored.problem, stored.is_read) == ("", True)
        body = log.body(stored.digest)
        assert body is not None
        assert len(body) == stored.size
        found.add(body)
    return found


def test_a_body_goes_with_the_event_that_removes_it_and_no_other_does(place: Place) -> None:
    for body in (ONE, TWO):
        accept(place.log, body)
    place.log.append([removed(3, ONE)])
    for log in place.now_and_reopened():
        assert there(log) == {TWO}
        assert log.body(digest_of(ONE)) is None
        assert verify(log).ok


def test_the_removal_of_what_is_not_there_changes_nothing(place: Place) -> None:
    accept(place.log, TWO)
    place.log.append([removed(2, ONE)])
    assert there(place.log) == {TWO}


@pytest.mark.parametrize("author", ["", "ann"])
def test_what_is_accepted_again_after_its_removal_is_there_again(place: Place, author: str) -> None:
    accept(place.log, ONE)
    place.log.append([removed(2, ONE, author=author)])
    accept(place.log, ONE)
    for log in place.now_and_reopened():
        assert there(log) == {ONE}


def test_in_one_append_the_last_word_counts(place: Place) -> None:
    accept(place.log, ONE)
    again, bodies = message(3, ONE)
    other, more = message(4, TWO)
    place.log.append([removed(2, ONE), again, other, removed(5, TWO)], bodies={**bodies, **more})
    for log in place.now_and_reopened():
        assert there(log) == {ONE}


def test_state_that_is_kept_again_in_the_append_of_its_removal_stays(place: Place) -> None:
    kept = StateKept(key="s", size=len(ONE), digest=digest_of(ONE))
    acked = MessageAcked(key="k", epoch=1, keeps=(("t", len(TWO), digest_of(TWO)),))
    bodies = {digest_of(ONE): ONE, digest_of(TWO): TWO}
    place.log.append([at(1, kept), at(2, acked, subject="m1")], bodies=bodies)
    events = [removed(3, ONE, TWO), at(4, kept), at(5, acked, subject="m1")]
    place.log.append(events, bodies=bodies)
    assert there(place.log) == {ONE, TWO}


@pytest.mark.parametrize("failpoint", [BEFORE_APPEND, BEFORE_COMMIT, AFTER_COMMIT])
def test_event_and_body_go_together_wherever_a_crash_comes(place: Place, failpoint: str) -> None:
    accept(place.log, ONE)

    def killed(passed: str) -> None:
        if passed == failpoint:
            raise Killed

    place.log.hook = killed
    with pytest.raises(Killed):
        place.log.append([removed(2, ONE)])
    log = place.reopened()
    is_there = log.head.seq == 2
    assert is_there is (failpoint == AFTER_COMMIT)
    assert there(log) == (set() if is_there else {ONE})


def test_an_append_that_is_refused_removes_nothing(place: Place) -> None:
    accept(place.log, ONE)
    with pytest.raises(LogError):
        place.log.append([removed(3, ONE)])
    assert there(place.log) == {ONE}


def test_a_body_that_was_named_since_is_not_removable_for_its_age(place: Place) -> None:
    accept(place.log, ONE)
    accept(place.log, TWO)
    place.log.append(probes(3, 9))
    accept(place.log, ONE)
    digests = [digest_of(ONE), digest_of(TWO), bytes(32)]
    for log in place.now_and_reopened():
        assert log.removable(digests, upto=9) == {digest_of(TWO): len(TWO)}
        assert log.removable(digests, upto=10) == {
            digest_of(ONE): len(ONE),
            digest_of(TWO): len(TWO),
        }
    place.log.append([removed(11, ONE), probe(12)])
    accept(place.log, ONE)
    assert place.log.removable([digest_of(ONE)], upto=9)  # it is another one, named once


def test_what_somebody_removed_before_its_time_is_not_as_old_as_that_when_it_comes_again(
    place: Place,
) -> None:
    accept(place.log, ONE)
    place.log.append([removed(2, ONE, author="ann"), probe(3)])
    accept(place.log, ONE)
    for log in place.now_and_reopened():
        assert not log.removable([digest_of(ONE)], upto=1)
        assert log.removable([digest_of(ONE)], upto=4)


def test_nothing_lacks_a_key_and_nothing_is_left_in_the_files(place: Place) -> None:
    accept(place.log, ONE)
    assert place.log.keys_lacking([digest_of(ONE), bytes(32)]) == set()
    place.log.append([removed(2, ONE, author="ann")])
    assert place.log.erase()
    assert place.log.erase()
