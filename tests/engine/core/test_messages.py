"""The ledger: accepted, assigned, done, and in which order."""

import hashlib

import pytest

from engine.core import messages
from engine.core.state import Ledger, Message


def ledger(*keys: str, lane: str = "g") -> Ledger:
    """Return a ledger that accepted `keys` as 1, 2, 3 …"""
    made = Ledger()
    for seq, key in enumerate(keys, start=1):
        messages.accept(made, seq, Message(key=key, lane=lane, digest=key.encode(), size=1))
    return made


def test_a_new_key_is_admitted() -> None:
    assert messages.admit(ledger("k"), "new", b"x") is None


def test_a_key_that_is_open_gives_its_place() -> None:
    assert messages.admit(ledger("j", "k"), "k", b"k") == 2


def test_a_key_that_is_done_gives_no_place() -> None:
    made = ledger("k")
    messages.finish(made, "k", remember_max=10)
    assert messages.admit(made, "k", b"k") == 0


@pytest.mark.parametrize("is_done", [False, True])
def test_a_key_with_another_body_is_refused(is_done: bool) -> None:
    made = ledger("k")
    if is_done:
        messages.finish(made, "k", remember_max=10)
    with pytest.raises(ValueError, match="'k': expected the body that it was first used for"):
        messages.admit(made, "k", b"other")


@pytest.mark.parametrize(("upto", "left"), [(0, [1, 2, 3]), (2, [3]), (3, []), (9, [])])
def test_assigning_takes_the_front_of_the_queue(upto: int, left: list[int]) -> None:
    made = ledger("i", "j", "k")
    messages.assign(made, "a", 5, upto)
    assert made.queue == left
    assert messages.assigned_to(made, "a") == [seq for seq in (1, 2, 3) if seq not in left]
    assert all(made.open[seq].epoch == 5 for seq in messages.assigned_to(made, "a"))


def test_what_goes_back_stands_before_what_came_meanwhile_in_accept_order() -> None:
    made = ledger("i", "j", "k")
    messages.assign(made, "a", 5, 2)
    messages.requeue(made, messages.assigned_to(made, "a"))
    assert made.queue == [1, 2, 3]
    assert (made.open[1].master, made.open[1].epoch, made.requeued) == ("", 0, 2)


def test_in_each_lane_only_the_oldest_is_under_way() -> None:
    made = ledger("i", "j")
    messages.accept(made, 3, Message(key="k", lane="other", digest=b"k", size=1))
    messages.assign(made, "a", 5, 3)
    assert [seq for seq, _ in messages.under_way(made)] == [1, 3]
    messages.finish(made, "i", remember_max=10)
    assert [seq for seq, _ in messages.under_way(made)] == [2, 3]


def test_what_nobody_has_is_not_under_way() -> None:
    assert list(messages.under_way(ledger("k"))) == []


def test_a_lane_that_is_empty_is_forgotten() -> None:
    made = ledger("k")
    messages.finish(made, "k", remember_max=10)
    assert (made.lanes, made.open, made.by_key) == ({}, {}, {})
    assert (made.accepted, made.finished) == (1, 1)


def test_only_the_newest_keys_are_remembered() -> None:
    made = ledger("i", "j", "k")
    for key in ("i", "j", "k"):
        messages.finish(made, key, remember_max=2)
    assert list(made.done) == ["j", "k"]


def test_the_digest_is_over_little_endian_u64() -> None:
    data = (3).to_bytes(8, "little") + (258).to_bytes(8, "little")
    assert messages.digest_of([3, 258]) == hashlib.sha256(data).hexdigest()
    assert messages.digest_of([]) == ""
