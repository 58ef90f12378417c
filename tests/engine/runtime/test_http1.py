import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.runtime import http1
from engine.runtime.http1 import Nonsense, Parser, Response

OK = b"HTTP/1.1 200 OK\r\n"
WELL_FORMED = [
    pytest.param(OK + b"Content-Length: 3\r\n\r\nabc", 200, b"abc", True, id="length"),
    pytest.param(OK + b"CONTENT-LENGTH:3\r\n\r\nabc", 200, b"abc", True, id="any case"),
    pytest.param(OK + b"Content-Length: 0\r\n\r\n", 200, b"", True, id="empty"),
    pytest.param(b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", 200, b"", True, id="no reason"),
    pytest.param(
        OK + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\na", 200, b"a", True, id="said twice"
    ),
    pytest.param(b"HTTP/1.1 204 No\r\n\r\n", 204, b"", True, id="204"),
    pytest.param(b"HTTP/1.1 304 No\r\nContent-Length: 9\r\n\r\n", 304, b"", True, id="304"),
    pytest.param(
        OK + b"Transfer-Encoding: chunked\r\n\r\n2;x=y\r\nab\r\n0A\r\n0123456789\r\n0\r\n\r\n",
        200, b"ab0123456789", True, id="chunked",
    ),
    pytest.param(
        OK + b"Transfer-Encoding: Chunked\r\n\r\n1\r\na\r\n0\r\nDigest: x\r\n\r\n",
        200, b"a", True, id="trailer",
    ),
    pytest.param(
        OK + b"Transfer-Encoding: chunked\r\nContent-Length: 9\r\n\r\n0\r\n\r\n",
        200, b"", False, id="chunked and length",
    ),
    pytest.param(
        OK + b"Connection: Close\r\nContent-Length: 1\r\n\r\na", 200, b"a", False, id="close"
    ),
    pytest.param(
        OK + b"Connection: x, close\r\nContent-Length: 1\r\n\r\na", 200, b"a", False, id="x, close"
    ),
    pytest.param(b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na", 200, b"a", False, id="1.0"),
    pytest.param(
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\na",
        200, b"a", True, id="1.0 keep-alive",
    ),
    pytest.param(
        b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 500 No\r\nContent-Length: 1\r\n\r\na",
        500, b"a", True, id="interim",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("data", "status", "body", "keep"), WELL_FORMED)
def test_an_answer_is_complete_with_its_last_byte_however_it_is_cut(
    data: bytes, status: int, body: bytes, keep: bool
) -> None:
    expected = Response(status=status, body=body, keep=keep)
    parser = Parser(body_bytes_max=12)
    assert parser.feed(data) == expected
    assert parser.is_idle
    for byte in data[:-1]:
        assert parser.feed(bytes((byte,))) is None
    assert parser.feed(data[-1:]) == expected
    assert parser.end() is None


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"garbage", id="garbage"),
        pytest.param(b"HTTP/2 200\r\n\r\n", id="version"),
        pytest.param(b"HTTP/1.1 2x0 OK\r\n\r\n", id="status"),
        pytest.param(b"HTTP/1.1 2000 OK\r\n\r\n", id="four digits"),
        pytest.param(b"HTTP/1.1 099 OK\r\n\r\n", id="below 100"),
        pytest.param(b"HTTP/1.1 101 Upgrade\r\n\r\n", id="upgrade"),
        pytest.param(OK + b"no colon\r\n\r\n", id="field"),
        pytest.param(OK + b"Content-Length: -1\r\n\r\n", id="negative"),
        pytest.param(OK + b"Content-Length: 0x1\r\n\r\n", id="hexadecimal"),
        pytest.param(OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", id="two lengths"),
        pytest.param(OK + b"Content-Length: 13\r\n\r\n", id="too long"),
        pytest.param(OK + b"Content-Length: " + b"9" * 5_000 + b"\r\n\r\n", id="long length"),
        pytest.param(OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n", id="coding"),
        pytest.param(OK + b"Transfer-Encoding: chunked\r\n\r\n+1\r\n", id="sign"),
        pytest.param(OK + b"Transfer-Encoding: chunked\r\n\r\n\r\n", id="no chunk length"),
        pytest.param(OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\nabcd", id="chunk overrun"),
        pytest.param(OK + b"Transfer-Encoding: chunked\r\n\r\nD\r\n", id="chunk too long"),
        pytest.param(OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"1" * 2_000, id="chunk line"),
        pytest.param(
            OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"a: b\r\n" * 5_000, id="trailers"
        ),
        pytest.param(OK + b"a: b\r\n" * 5_000, id="endless head"),
        pytest.param(OK + b"a: b\r\n" * 5_000 + b"\r\n", id="long head"),
        pytest.param(OK + b"\r\n" + b"a" * 13, id="endless body"),
    ],
)
def test_what_makes_no_sense_or_exceeds_a_limit_is_refused(data: bytes) -> None:
    with pytest.raises(Nonsense):
        Parser(body_bytes_max=12).feed(data)


def test_a_body_without_a_length_ends_with_the_connection() -> None:
    parser = Parser(body_bytes_max=12)
    assert parser.feed(OK + b"\r\nabc") is None
    assert parser.end() == Response(status=200, body=b"abc", keep=False)


def test_half_an_answer_is_none() -> None:
    parser = Parser(body_bytes_max=12)
    assert parser.feed(OK + b"Content-Length: 3\r\n\r\nab") is None
    assert parser.end() is None
    assert not parser.is_idle


def test_answers_come_in_order_and_one_at_a_time() -> None:
    parser = Parser(body_bytes_max=12)
    one, two = (OK + b"Content-Length: 1\r\n\r\n" + body for body in (b"1", b"2"))
    first = parser.feed(one + two)
    second = parser.feed(b"")
    assert first is not None
    assert second is not None
    assert (first.body, second.body) == (b"1", b"2")
    assert parser.feed(b"") is None


def test_a_request_is_what_a_server_reads() -> None:
    assert http1.get("/health", host="a:1").startswith(b"GET /health HTTP/1.1\r\nHost: a:1\r\n")
    posted = http1.post(http1.post_head("/x", host="a:1"), b"{}")
    assert posted.startswith(b"POST /x HTTP/1.1\r\nHost: a:1\r\n")
    assert posted.endswith(b"\r\nContent-Length: 2\r\n\r\n{}")


def test_so_many_interim_answers_are_passed_over_and_no_more() -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\n"
    answer = OK + b"Content-Length: 0\r\n\r\n"
    parser = Parser(body_bytes_max=10)
    for _ in range(3):  # counted anew for each answer
        found = parser.feed(interim * http1.INTERIM_MAX + answer)
        assert found == Response(status=200, body=b"", keep=True)
    with pytest.raises(Nonsense, match="interim"):
        parser.feed(interim * (http1.INTERIM_MAX + 1))


DATED = (
    OK + b"server: x\r\ndate: Mon, 30 Nov 2026 06:00:00 GMT\r\ncontent-length: 2\r\n"
    b"connection: keep-alive\r\n\r\nab"
)


def taken(parser: Parser, data: bytes) -> object:
    """Return what a parser makes of `data`, whatever that is."""
    try:
        found = [parser.feed(data), parser.feed(b"")]
    except Nonsense as err:
        return str(err)
    return found, parser.is_idle, parser.end()


@pytest.mark.parametrize(
    "then",
    [
        DATED.replace(b"06:00:00", b"06:00:01"),
        DATED.replace(b"06:00:00", b"06:0\r\n:0"),
        DATED.replace(b"Mon, 30 Nov 2026 06:00:00 GMT", b"x\r\nTransfer-Encoding: chunked\r\n"),
        DATED.replace(b"30 Nov 2026 06:00:00 GMT", b"\r\ncontent-length: 0\r\n     "),
        DATED.replace(b"06:00:00 GMT", b"06:\r\n\r\nGMT"),
        DATED.replace(b"GMT", b"GM\r"),
        DATED.replace(b"keep-alive", b"close     "),
        DATED.replace(b"200 OK", b"503 NO"),
        DATED.replace(b"content-length: 2", b"content-length: 1"),
        DATED.replace(b"date: ", b"Date: "),
        DATED[:-1],
        DATED + b"c",
        DATED + DATED,
        OK + b"content-length: 2\r\n\r\nab",
    ],
)
def test_an_answer_like_the_last_one_is_read_as_if_it_were_the_first(then: bytes) -> None:
    used = Parser(body_bytes_max=12)
    for _ in range(2):
        assert used.feed(DATED) == Response(status=200, body=b"ab", keep=True)
    assert taken(used, then) == taken(Parser(body_bytes_max=12), then)


@given(
    st.integers(0, len(DATED) - 1), st.sampled_from([b"", b"\r", b"\n", b"\r\n", b":", b"1", b"x"])
)
def test_no_byte_of_a_head_is_passed_over(place: int, put: bytes) -> None:
    used = Parser(body_bytes_max=12)
    used.feed(DATED)
    for then in (DATED[:place] + put + DATED[place + 1 :], DATED[:place] + put + DATED[place:]):
        fresh = Parser(body_bytes_max=12)
        assert taken(used, then) == taken(fresh, then)
        used = Parser(body_bytes_max=12)
        used.feed(DATED)
