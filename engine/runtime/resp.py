"""The protocol of Redis as a client needs it: commands as bytes, replies out of bytes, no I/O.

Rules:
- A reply is complete or it is nothing.
- Whatever a peer sends, memory is bounded by `bytes_max` for all the replies to one question, and
  nothing is set aside for what a length merely promises.
- A reply that says no is a value (`Refusal`), for the command after it was answered all the same.

It is the second version of the protocol, which every server speaks to who does not ask for more.

Source: the RESP specification of Redis; simple strings, errors, integers, bulk strings, arrays.
"""

from typing import Final, TypeAlias

import msgspec

from engine.runtime.http1 import Nonsense

BYTES_MAX: Final = 262_144  # the replies to one question; INFO is below 8 KiB
LINE_BYTES_MAX: Final = 16_384  # a simple string, an error or a number
# An array is looked at anew whenever more of it has come; so it is short, and has none in it.
VALUES_MAX: Final = 64  # of an array [count]


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """An error reply: "ERR unknown command", "NOAUTH …"."""

    text: str


Value: TypeAlias = "bytes | int | Refusal | list[Value] | None"


class Replies(msgspec.Struct, frozen=True, kw_only=True):
    """The replies to one question, in the order of its commands."""

    values: tuple[Value, ...]
    is_first: bool = False  # they answer what the connection was opened with
    keep: bool = True


def command(*words: str | bytes) -> bytes:
    r"""Return the bytes of one command.

    Example:
        >>> command("GET", "key")
        b'*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n'
    """
    parts = [word.encode() if isinstance(word, str) else word for word in words]
    return b"*%d\r\n%b" % (
        len(parts),
        b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts),
    )


class _Incomplete(Exception):
    """More bytes have to come."""


class Parser:
    """Turns the bytes of one connection into the replies to one question after the other.

    Args:
        first: Commands in the question that a connection is opened with [count, >= 1].
        later: Commands in each question after it [count, >= 1].
        bytes_max: What all replies to one question may take [bytes].
    """

    def __init__(self, *, first: int, later: int, bytes_max: int = BYTES_MAX) -> None:
        self._wanted = first
        self._later = later
        self._bytes_max = bytes_max
        self._buffer = bytearray()
        self._values: list[Value] = []
        self._spent = 0  # bytes of the replies in `_values`
        self._needed = 1  # what the buffer has to hold before it is worth another look
        self._is_first = True

    @property
    def is_idle(self) -> bool:
        """Return True if nothing has arrived that was not handed out."""
        return not self._buffer and not self._values

    def feed(self, data: bytes) -> Replies | None:
        """Return the replies to the next question if they are complete with `data`, or None.

        Raises:
            Nonsense: This is no such protocol, or exceeds a limit; the parser is of no more use.
        """
        self._buffer += data
        if self._spent + len(self._buffer) > self._bytes_max:
            raise Nonsense(f"replies of more than {self._bytes_max} bytes")
        while len(self._values) < self._wanted and len(self._buffer) >= self._needed:
            try:
                value, end = self._value(0, is_nested=False)
            except _Incomplete:
                break
            del self._buffer[:end]
            self._spent += end
            self._needed = 1
            self._values.append(value)
        if len(self._values) < self._wanted:
            return None
        replies = Replies(values=tuple(self._values), is_first=self._is_first)
        self._values = []
        self._spent, self._wanted, self._is_first = 0, self._later, False
        return replies

    def end(self) -> None:
        """Return None: no reply ends with the connection."""

    def _line(self, start: int) -> tuple[bytes, int]:
        end = self._buffer.find(b"\r\n", start, start + LINE_BYTES_MAX)
        if end < 0:
            if len(self._buffer) - start >= LINE_BYTES_MAX:
                raise Nonsense(f"a line of more than {LINE_BYTES_MAX} bytes")
            raise _Incomplete
        return bytes(self._buffer[start:end]), end + 2

    def _value(self, start: int, *, is_nested: bool) -> tuple[Value, int]:
        """Return the value that begins at `start`, and where it ends.

        Raises:
            _Incomplete: It is not all there.
            Nonsense: It is none.
        """
        if start >= len(self._buffer):
            raise _Incomplete
        kind = bytes(self._buffer[start : start + 1])
        if kind not in (b"+", b"-", b":", b"$", b"*"):
            raise Nonsense(f"expected a reply of Redis, found {bytes(self._buffer[start:][:40])!r}")
        line, end = self._line(start + 1)
        match kind:
            case b"+":
                return line, end
            case b"-":
                return Refusal(text=line.decode("utf-8", errors="replace")), end
            case b":":
                return self._number(line), end
            case b"$":
                return self._bulk(self._number(line), end)
            case _:
                if is_nested:
                    raise Nonsense("an array in an array")
                return self._array(self._number(line), end)

    def _bulk(self, size: int, start: int) -> tuple[Value, int]:
        if size == -1:
            return None, start
        end = start + size
        if size < 0 or size > self._bytes_max:
            raise Nonsense(f"a string of {size} bytes")
        if len(self._buffer) < end + 2:
            self._needed = end + 2
            raise _Incomplete
        if self._buffer[end : end + 2] != b"\r\n":
            raise Nonsense("a string that is longer than it says")
        return bytes(self._buffer[start:end]), end + 2

    def _array(self, count: int, end: int) -> tuple[Value, int]:
        if count == -1:
            return None, end
        if not 0 <= count <= VALUES_MAX:
            raise Nonsense(f"an array of {count} values")
        values: list[Value] = []
        for _ in range(count):
            value, end = self._value(end, is_nested=True)
            values.append(value)
        return values, end

    @staticmethod
    def _number(line: bytes) -> int:
        digits = line[1:] if line[:1] == b"-" else line
        if not digits.isdigit() or len(digits) > 18:
            raise Nonsense(f"expected a number, found {line[:40]!r}")
        return int(line)
