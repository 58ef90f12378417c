"""What is asked over a connection to a master, and what its answers say: HTTP, and bare TCP."""

from typing import Final, Protocol

import msgspec

from engine.core.events import Evidence
from engine.runtime import http1
from engine.runtime.connection import Parsing, R
from engine.runtime.health import read_health, read_reason
from engine.runtime.http1 import Nonsense
from engine.runtime.seen import Answer, Failure, again, shortened

BODY_BYTES_MAX: Final = 262_144  # of an answer to a probe; a health document is below 4 KiB
EXPECTED_WITHIN: Final = 65_536  # what is expected over TCP has to come within these [bytes]


class Dialect(Protocol[R]):
    """How a master is asked how it is.

    Attributes:
        opening: What goes out first over a new connection, with the question in it.
        question: What goes out over one that has been asked before; b"": every question takes a
            new connection, and one is held open for its end alone.
        greeting: What an open connection says by itself; None: it has to answer.
        unasked_bytes_max: What the master may send over a held connection without being asked.
    """

    opening: bytes
    question: bytes
    greeting: R | None
    unasked_bytes_max: int

    def parser(self) -> Parsing[R]:
        """Return what reads the answers of a new connection."""

    def read(self, reply: R, *, latency_us: int) -> Answer | Failure:
        """Return what a reply says; it took `latency_us`."""

    def unfinished(self, parser: Parsing[R]) -> str:
        """Return what came so far, in words, if that says why there is no answer yet; else ""."""


class Http:
    """A GET, whose answer may be a health document; redirects are answers and not followed."""

    greeting: http1.Response | None = None
    unasked_bytes_max = 0

    def __init__(self, path: str, *, host: str) -> None:
        self.opening = self.question = http1.get(path, host=host)
        # Most answers say what the last one said.
        self._body_read, self._status_read = b"", 0
        self._last: Answer | Failure | None = None

    def parser(self) -> http1.Parser:
        """Return what reads the answers of a new connection."""
        return http1.Parser(body_bytes_max=BODY_BYTES_MAX)

    def read(self, reply: http1.Response, *, latency_us: int) -> Answer | Failure:
        """Return what an answer says; a status from 400 on is one that says no."""
        last = self._last
        if (
            type(last) is Answer
            and reply.body == self._body_read
            and reply.status == self._status_read
        ):
            return again(last, latency_us=latency_us)
        self._body_read, self._status_read = reply.body, reply.status
        self._last = last = read_answer(reply, latency_us=latency_us)
        return last

    def unfinished(self, parser: Parsing[http1.Response]) -> str:
        """Return "": half an answer is nothing."""
        return ""


def read_answer(response: http1.Response, *, latency_us: int) -> Answer | Failure:
    """Return what an answer of HTTP says [us]."""
    status = response.status
    if status >= 400:
        reason = read_reason(response.body)
        detail = shortened(f"status {status}: {reason}") if reason else f"status {status}"
        return Failure(evidence=Evidence.STATUS, waited_us=latency_us, detail=detail)
    return read_health(response.body, latency_us=latency_us, status=status)


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """What was expected over TCP has come; the connection is held for its end alone."""

    keep: bool = True


class _Expecting:
    """Waits until the bytes that came have `expect` in them."""

    def __init__(self, expect: bytes) -> None:
        self._expect = expect
        self._heard = bytearray()
        self._is_heard = False

    @property
    def is_idle(self) -> bool:
        return True  # what comes on top of what was expected is the master's own affair

    def feed(self, data: bytes) -> Heard | None:
        if self._is_heard:
            return None
        # Only where the new bytes could complete it, so that a slow drip stays cheap.
        start = max(0, len(self._heard) - len(self._expect))
        self._heard += data
        if self._heard.find(self._expect, start, EXPECTED_WITHIN) >= 0:
            self._is_heard = True
            self._heard.clear()
            return Heard()
        if len(self._heard) >= EXPECTED_WITHIN:
            raise Nonsense(self.said)
        return None

    def end(self) -> Heard | None:
        if self.said:
            raise Nonsense(self.said)
        return None

    @property
    def said(self) -> str:
        found = bytes(self._heard[:40])
        return f"expected {self._expect!r}, found {found!r}" if found else ""


class Tcp:
    """A connection, and if told so a text that is sent and one that has to come.

    Args:
        send: What is sent once it is open; "": nothing.
        expect: What has to come then, anywhere in what comes; "": that it opens is the answer.
    """

    question = b""
    unasked_bytes_max = EXPECTED_WITHIN

    def __init__(self, send: str = "", expect: str = "") -> None:
        self.opening = send.encode()
        self.greeting: Heard | None = None if expect else Heard()
        self._expect = expect.encode()

    def parser(self) -> Parsing[Heard]:
        """Return what looks for the expected text."""
        return _Expecting(self._expect)

    def read(self, reply: Heard, *, latency_us: int) -> Answer | Failure:
        """Return that it answers, which is all that is known."""
        return Answer(latency_us=latency_us)

    def unfinished(self, parser: Parsing[Heard]) -> str:
        """Return what came instead of what was expected."""
        return shortened(parser.said) if isinstance(parser, _Expecting) else ""
