"""The digest of kept state, from its definition."""

import hashlib

from engine.core.transfer import kept_digest

ONE, TWO = hashlib.sha256(b"1").digest(), hashlib.sha256(b"2").digest()


def test_nothing_kept_has_the_digest_of_nothing() -> None:
    assert kept_digest({}) == hashlib.sha256(b"").hexdigest()


def test_the_sum_is_over_length_key_and_digest_in_the_order_of_keys() -> None:
    data = b"\x01\x00\x00\x00a" + ONE + b"\x02\x00\x00\x00\xc3\xa9" + TWO
    assert kept_digest({"é": TWO, "a": ONE}) == hashlib.sha256(data).hexdigest()


def test_a_key_cannot_be_moved_into_its_neighbour() -> None:
    assert kept_digest({"ab": ONE, "c": TWO}) != kept_digest({"a": ONE, "bc": TWO})
