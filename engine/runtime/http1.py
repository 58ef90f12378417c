"""HTTP/1.1 as a client needs it: requests as bytes, answers out of bytes, no I/O.

Rules:
- An answer is complete or it is nothing; half of one is never handed out.
- Whatever a peer sends, memory is bounded: HEAD_BYTES_MAX for a head, `body_bytes_max` for a body.
- An answer whose end cannot be known for certain is nonsense (two lengths, an unknown coding).
- Answers come in the order of the requests. Interim answers (1xx) are passed over.

Source: RFC 9112, sections 4 (status line), 6 (message body) and 9 (persistence).
"""

import enum
from typing import Final

import msgspec

HEAD_BYTES_MAX: Final = 16_384  # status line and fields; servers send well below 2 KiB
CHUNK_LINE_BYTES_MAX: Final = 1_024  # a chunk's length with its extensions, or one trailer
INTERIM_MAX: Final = 16  # interim answers before one answer; servers send one or two
_NO_BODY: Final = frozenset((204, 304))


class Nonsense(Exception):
    """The peer does not speak HTTP/1.1, or says more than it may."""


class Response(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One complete answer; `keep`: the connection can carry another request."""

    status: int
    body: bytes
    keep: bool


def get(path: str, *, host: str) -> bytes:
    """Return the bytes of a GET request."""
    fields = f"Host: {host}\r\nUser-Agent: tanist\r\nAccept: */*\r\n"
    return f"GET {path} HTTP/1.1\r\n{fields}\r\n".encode("ascii")


def post_head(path: str, *, host: str, fields: str = "") -> bytes:
    """Return what `post` puts before every JSON body; it is the same for all of them.

    `fields` are further ones, each with the end of its line.
    """
    fields += f"Host: {host}\r\nUser-Agent: tanist\r\nContent-Type: application/json\r\n"
    return f"POST {path} HTTP/1.1\r\n{fields}Content-Length: ".encode("ascii")


def post(head: bytes, body: bytes) -> bytes:
    """Return the bytes of a POST request; `head` is what `post_head` returned."""
    return b"%b%d\r\n\r\n%b" % (head, len(body), body)


class _Part(enum.Enum):
    """What the parser waits for."""

    HEAD = enum.auto()
    LENGTH = enum.auto()  # a body of known length
    CHUNK_LINE = enum.auto()
    CHUNK = enum.auto()  # its bytes and the end of line after them
    TRAILER = enum.auto()
    CLOSE = enum.auto()  # a body that ends with the connection


class _Framing(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a head says: its status, how the body ends, whether the connection lives on."""

    status: int
    part: _Part
    length: int
    keep: bool


class _Like:
    """Knows heads that say the same as one that was read: only the value of `Date` may differ.

    Nearly all answers of a master to probes are such, and a new date comes with each second.
    """

    __slots__ = ("_after", "_before", "_date", "_upto")

    def __init__(self, head: bytes) -> None:
        """Take a head without the end of its last line."""
        lines = head + b"\r\n\r\n"
        name = lines.lower().find(b"\r\ndate:")
        self._date = len(lines) if name < 0 else name + len(b"\r\ndate:")
        self._upto = len(lines) if name < 0 else lines.index(b"\r\n", self._date)
        self._before, self._after = lines[: self._date], lines[self._upto :]

    def fits(self, data: bytes) -> bool:
        """Return whether `data` begins with such a head."""
        date, upto = self._date, self._upto
        return (
            data.startswith(self._before)
            and data.startswith(self._after, upto)
            and data.find(b"\r\n", date, upto) < 0  # else it would be another field
        )


class Parser:
    """Turns the bytes of one connection into answers.

    Args:
        body_bytes_max: A longer body is nonsense [bytes].
    """

    def __init__(self, *, body_bytes_max: int) -> None:
        self._body_bytes_max = body_bytes_max
        self._buffer = bytearray()
        self._part = _Part.HEAD
        self._framing = _Framing(status=0, part=_Part.HEAD, length=0, keep=True)
        self._body = bytearray()  # of a chunked answer
        self._chunk_bytes = 0
        self._trailer_bytes = 0
        self._interim = 0  # answers in a row that only announce another one
        self._head_seen = b""
        self._framing_seen = self._framing
        self._like = _Like(self._head_seen)

    @property
    def is_idle(self) -> bool:
        """True if nothing of an answer has arrived that was not handed out."""
        return self._part is _Part.HEAD and not self._buffer

    def feed(self, data: bytes) -> Response | None:
        """Return the next answer that is complete with `data`, or None.

        More than one may be: feed b"" until None comes back.

        Raises:
            Nonsense: This is not HTTP/1.1 or exceeds a limit; the parser is of no more use.
        """
        if self._part is _Part.HEAD and not self._buffer:
            whole = self._take_whole(data)
            if whole is not None:
                return whole
        self._buffer += data
        while True:
            match self._part:
                case _Part.HEAD:
                    if not self._take_head():
                        return None
                case _Part.LENGTH:
                    length = self._framing.length
                    if len(self._buffer) < length:
                        return None
                    body = bytes(self._buffer[:length])
                    del self._buffer[:length]
                    return self._complete(body)
                case _Part.CLOSE:
                    if len(self._buffer) > self._body_bytes_max:
                        raise self._too_long()
                    return None
                case _Part.CHUNK_LINE:
                    if not self._take_chunk_line():
                        return None
                case _Part.CHUNK:
                    if not self._take_chunk():
                        return None
                case _Part.TRAILER:
                    line = self._take_line()
                    if line is None:
                        return None
                    if not line:
                        return self._complete(bytes(self._body))
                    self._trailer_bytes += len(line)
                    if self._trailer_bytes > HEAD_BYTES_MAX:
                        raise Nonsense(f"trailers of more than {HEAD_BYTES_MAX} bytes")

    def _take_whole(self, data: bytes) -> Response | None:
        """Return `data` as an answer if it is one, all of it, whose head is like the last one."""
        framing = self._framing_seen
        start = len(self._head_seen) + 4
        if (
            framing.part is not _Part.LENGTH
            or len(data) != start + framing.length
            or not self._like.fits(data)
        ):
            return None
        self._interim = 0
        return Response(status=framing.status, body=data[start:], keep=framing.keep)

    def end(self) -> Response | None:
        """Return the answer that the end of the connection completes, if there is one."""
        if self._part is not _Part.CLOSE:
            return None
        body = bytes(self._buffer)
        self._buffer.clear()
        return self._complete(body)

    def _complete(self, body: bytes) -> Response:
        self._part = _Part.HEAD
        return Response(status=self._framing.status, body=body, keep=self._framing.keep)

    def _too_long(self) -> Nonsense:
        return Nonsense(f"a body of more than {self._body_bytes_max} bytes")

    def _take_head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if not b"HTTP/1.".startswith(self._buffer[:7]):
            raise Nonsense(f"expected HTTP/1.1, found {bytes(self._buffer[:20])!r}")
        if end > HEAD_BYTES_MAX or (end < 0 and len(self._buffer) > HEAD_BYTES_MAX):
            raise Nonsense(f"a head of more than {HEAD_BYTES_MAX} bytes")
        if end < 0:
            return False
        head = bytes(self._buffer[:end])
        del self._buffer[: end + 4]
        if head != self._head_seen:
            self._framing_seen, self._head_seen = self._read_head(head), head
            self._like = _Like(head)
        self._framing = self._framing_seen
        self._part = self._framing.part  # HEAD again after an interim answer
        self._interim = self._interim + 1 if self._part is _Part.HEAD else 0
        if self._interim > INTERIM_MAX:
            raise Nonsense(f"more than {INTERIM_MAX} interim answers")
        self._body = bytearray()
        self._trailer_bytes = 0
        return True

    def _read_head(self, head: bytes) -> _Framing:
        status_line, *lines = head.split(b"\r\n")
        version, _, rest = status_line.partition(b" ")
        if version not in (b"HTTP/1.1", b"HTTP/1.0") or not _is_status(rest):
            raise Nonsense(f"expected a status line, found {status_line[:40]!r}")
        status = int(rest[:3])
        lengths: set[bytes] = set()
        codings: list[bytes] = []
        options: list[bytes] = []
        for line in lines:
            name, colon, value = line.partition(b":")
            if not colon:
                raise Nonsense(f"expected a field, found {line[:40]!r}")
            match name.lower():
                case b"content-length":
                    lengths.add(value.strip())
                case b"transfer-encoding":
                    codings.append(value.strip().lower())
                case b"connection":
                    options += [option.strip() for option in value.lower().split(b",")]
                case _:
                    pass
        keep = b"keep-alive" in options if version == b"HTTP/1.0" else b"close" not in options
        part, length = self._body_part(status, lengths, codings)
        if part is _Part.CLOSE or (codings and lengths):
            keep = False
        return _Framing(status=status, part=part, length=length, keep=keep)

    def _body_part(
        self, status: int, lengths: set[bytes], codings: list[bytes]
    ) -> tuple[_Part, int]:
        """Return how the body ends and, where it is known, its length [bytes]."""
        if status < 200:
            if status == 101:
                raise Nonsense("a change of protocol that nobody asked for")
            return _Part.HEAD, 0
        if status in _NO_BODY:
            return _Part.LENGTH, 0
        if codings:
            if codings != [b"chunked"]:
                raise Nonsense(f"an unknown transfer coding {b', '.join(codings)[:40]!r}")
            return _Part.CHUNK_LINE, 0
        if not lengths:
            return _Part.CLOSE, 0
        if len(lengths) > 1:
            raise Nonsense("more than one length")
        text = lengths.pop()
        if not text.isdigit():
            raise Nonsense(f"expected a length, found {text[:40]!r}")
        if len(text) > 18 or int(text) > self._body_bytes_max:
            raise self._too_long()
        return _Part.LENGTH, int(text)

    def _take_line(self) -> bytes | None:
        end = self._buffer.find(b"\r\n", 0, CHUNK_LINE_BYTES_MAX)
        if end < 0:
            if len(self._buffer) >= CHUNK_LINE_BYTES_MAX:
                raise Nonsense(f"a line of more than {CHUNK_LINE_BYTES_MAX} bytes in a body")
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        return line

    def _take_chunk_line(self) -> bool:
        line = self._take_line()
        if line is None:
            return False
        digits = line.partition(b";")[0].strip()
        # int() alone would take a sign, a prefix and underscores.
        if not digits or len(digits) > 16 or digits.strip(b"0123456789abcdefABCDEF"):
            raise Nonsense(f"expected the length of a chunk, found {line[:40]!r}")
        self._chunk_bytes = int(digits, 16)
        if len(self._body) + self._chunk_bytes > self._body_bytes_max:
            raise self._too_long()
        self._part = _Part.CHUNK if self._chunk_bytes else _Part.TRAILER
        return True

    def _take_chunk(self) -> bool:
        size = self._chunk_bytes
        if len(self._buffer) < size + 2:
            return False
        if self._buffer[size : size + 2] != b"\r\n":
            raise Nonsense("a chunk that is longer than it says")
        self._body += self._buffer[:size]
        del self._buffer[: size + 2]
        self._part = _Part.CHUNK_LINE
        return True


def _is_status(text: bytes) -> bool:
    """Return whether `text` begins with three digits, alone or before a reason."""
    return text[:3].isdigit() and 100 <= int(text[:3]) <= 599 and text[3:4] in (b"", b" ")
