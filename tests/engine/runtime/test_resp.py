from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.runtime.http1 import Nonsense
from engine.runtime.resp import (
    BYTES_MAX,
    LINE_BYTES_MAX,
    VALUES_MAX,
    Parser,
    Refusal,
    Replies,
    Value,
    command,
)

LINES = st.binary(max_size=40).filter(lambda data: b"\r" not in data and b"\n" not in data)
FLAT = st.one_of(
    st.none(),
    st.integers(min_value=-(10**17), max_value=10**17),
    st.binary(max_size=60),
    st.builds(Refusal, text=st.text(alphabet="ABC nope", max_size=20)),
)
VALUES: st.SearchStrategy[Value] = st.one_of(FLAT, st.lists(FLAT, max_size=8))


def encoded(value: Value) -> bytes:
    """Return the bytes that a server sends for `value`; written apart from the parser."""
    match value:
        case None:
            return b"$-1\r\n"
        case int():
            return b":%d\r\n" % value
        case bytes():
            return b"$%d\r\n%b\r\n" % (len(value), value)
        case Refusal():
            return b"-%b\r\n" % value.text.encode()
        case list():
            return b"*%d\r\n" % len(value) + b"".join(map(encoded, value))


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[start:end] for start, end in pairwise(edges)]


@given(st.lists(VALUES, min_size=1, max_size=6), st.lists(st.integers(min_value=0), max_size=12))
def test_however_replies_are_cut_they_are_read_as_they_were_sent(
    values: list[Value], places: list[int]
) -> None:
    parser = Parser(first=len(values), later=1)
    pieces = cut(b"".join(map(encoded, values)), places)
    for piece in pieces[:-1]:
        assert parser.feed(piece) is None
    assert parser.feed(pieces[-1]) == Replies(values=tuple(values), is_first=True)
    assert parser.is_idle


@given(st.lists(VALUES, min_size=3, max_size=9))
def test_each_question_gets_as_many_replies_as_it_has_commands(values: list[Value]) -> None:
    values = values[: len(values) // 3 * 3]
    first, later = values[0], values[1:]
    later = later[: len(later) // 2 * 2]
    parser = Parser(first=1, later=2)
    found = parser.feed(b"".join(map(encoded, [first, *later])))
    assert found == Replies(values=(first,), is_first=True)
    for place in range(0, len(later), 2):
        assert parser.feed(b"") == Replies(values=tuple(later[place : place + 2]))
    assert parser.feed(b"") is None


@given(st.lists(st.binary(max_size=30), min_size=1, max_size=6))
def test_a_command_is_an_array_of_its_words(words: list[bytes]) -> None:
    assert command(*words) == encoded(list(words))


@pytest.mark.parametrize(
    ("sent", "value"),
    [
        (b"+OK\r\n", b"OK"),
        (b"+\r\n", b""),
        (b":-7\r\n", -7),
        (b"$0\r\n\r\n", b""),
        (b"*0\r\n", []),
        (b"*-1\r\n", None),
        (b"-ERR \xff no\r\n", Refusal(text="ERR \ufffd no")),
        (b"$4\r\n\r\n\r\n\r\n", b"\r\n\r\n"),
    ],
)
def test_each_kind_of_reply_is_read(sent: bytes, value: Value) -> None:
    found = Parser(first=1, later=1).feed(sent)
    assert found is not None
    assert found.values == (value,)


@pytest.mark.parametrize(
    "sent",
    [
        b"HTTP/1.1 400 Bad Request\r\n",
        b"\x16\x03\x01",
        b"$x\r\n",
        b"$+3\r\nabc\r\n",
        b"$-2\r\n",
        b"$3\r\nabcd\r\n",
        b":\r\n",
        b":1_000\r\n",
        b"*1\r\n*0\r\n",
        b"*%d\r\n" % (VALUES_MAX + 1),
        b"*1000000000\r\n",
        b"$%d\r\n" % (BYTES_MAX + 1),
        b"$999999999999999999999\r\n",
        b"+" + b"x" * LINE_BYTES_MAX,
        b"$%d\r\n" % BYTES_MAX + b"x" * BYTES_MAX,
    ],
)
def test_what_is_no_reply_is_nonsense(sent: bytes) -> None:
    with pytest.raises(Nonsense):
        Parser(first=1, later=1).feed(sent)


def test_all_replies_to_a_question_share_one_limit() -> None:
    parser = Parser(first=1_000, later=1)
    piece = encoded(b"x" * 1_000)
    for _ in range(BYTES_MAX // len(piece)):
        assert parser.feed(piece) is None
    with pytest.raises(Nonsense, match="more than"):
        parser.feed(piece)


@given(st.binary(max_size=200), st.lists(st.integers(min_value=0), max_size=6))
def test_garbage_is_read_or_refused_and_nothing_else(data: bytes, places: list[int]) -> None:
    parser = Parser(first=1, later=1)
    try:
        for piece in cut(data, places):
            parser.feed(piece)
    except Nonsense:
        return
    assert parser.end() is None
