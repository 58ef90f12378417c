"""Events of a log as columns, and the lulls in them: found in their bytes, without decoding them.

The payload of a good probe is a msgpack array of six: number, latency, boot, epoch, role, observer.
While a master says the same, the last four are the same bytes, its tail. So a lull is found by
comparing tails and decoding two numbers an event, which is a third of what decoding it takes. All
that is not stored as this release would store it is no lull, and is decoded.
"""

import bisect
import collections
import functools
import itertools
import operator
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from engine.core.events import KINDS, AnyEvent, ProbeOk, Recorded
from engine.core.lulls import Known, Lull, Said

GOOD: Final = next(code for code, kind in KINDS.items() if kind is ProbeOk)
_HEAD: Final = b"\x96"  # of a msgpack array of six
_TAILS_MAX: Final = 100_000  # remembered: of more masters than any fleet has
_ARRAY_32: Final = struct.Struct(">BI").pack  # the head of a long msgpack array
_NUMBERS: Final = msgspec.msgpack.Decoder(list[int])


@functools.lru_cache(_TAILS_MAX)
def _tail(said: Said) -> bytes:
    """Return the bytes that an answer to the engine's own eye ends with, and the next one begins.

    The names of a process and a role are plain letters, or else their bytes could be taken for
    those of something else; b"": they are not.
    """
    boot, epoch, role = said
    if not (boot.isascii() and role.isascii()):
        return b""
    return msgspec.msgpack.encode((boot, epoch, role, ""))[1:] + _HEAD


class Columns:
    """Events that follow each other in a log; see `engine.core.lulls.Stretch`."""

    def __init__(
        self,
        *,
        seqs: Sequence[int],
        times: Sequence[int],
        subjects: Sequence[str],
        causes: Sequence[int],
        others: Sequence[int],
        good: bytes,
        sizes: Sequence[int],
        decode: Callable[[], Sequence[AnyEvent]],
    ) -> None:
        """Take the columns.

        Args:
            seqs: In order.
            times: Of all events [us], and so the next two.
            subjects: Whom they are about.
            causes: Seqs of direct triggers.
            others: Places of those that are no good probes, in order.
            good: The payloads of the good probes, one after the other.
            sizes: Of each of these payloads [bytes].
            decode: Returns all events.
        """
        self.seqs: Final = seqs
        self.times: Final = times
        self._subjects: Final = subjects
        self._causes: Final = causes
        self._others: Final = others
        self._good: Final = good + _HEAD
        # Where the numbers of each begin, which is behind its head; and those of one more.
        self._starts: Final = list(itertools.accumulate(sizes, initial=len(_HEAD)))
        self._decode: Final = decode
        self._events: Sequence[AnyEvent] | None = None

    def recorded(self, begin: int, end: int) -> list[Recorded]:
        """Return the events from one place to before another."""
        if self._events is None:
            self._events = self._decode()
        columns = (self.seqs, self.times, self._subjects, self._causes, self._events)
        return list(map(Recorded, *(column[begin:end] for column in columns)))

    def good_until(self, begin: int) -> int:
        """Return the first place from `begin` on that has no good probe; the end if all have."""
        place = bisect.bisect_left(self._others, begin)
        return self._others[place] if place < len(self._others) else len(self.seqs)

    def masters(self, begin: int, end: int) -> set[str]:
        """Return whom the events from one place to before another are about."""
        return set(self._subjects[begin:end])

    def lull(self, begin: int, end: int, known: Mapping[str, Known]) -> Lull | None:
        """Return what the good probes from one place to before another amount to."""
        subjects = self._subjects[begin:end]
        numbers = self._numbers(begin, end, {name: _tail(known[name][1]) for name in known})
        if numbers is None or any(self._causes[begin:end]):
            return None
        last = {name: number for name, (number, _) in known.items()}
        for name, number in zip(subjects, numbers, strict=True):
            if number <= last[name]:
                return None
            last[name] = number
        count, times, counts = end - begin, self.times, collections.Counter(subjects)
        places = dict(zip(subjects, range(count), strict=True))
        heard = [
            (name, counts[name], place, times[begin + place], last[name])
            for name, place in places.items()
        ]
        return Lull(count, times[end - 1], heard)

    def _numbers(self, begin: int, end: int, tails: Mapping[str, bytes]) -> list[int] | None:
        """Return the numbers of these probes; None: one of them does not end as it should."""
        data, count = self._good, end - begin
        first = begin - bisect.bisect_left(self._others, begin)
        starts = self._starts[first : first + count + 1]
        if b"" in tails.values():
            return None
        ending = list(map(tails.__getitem__, self._subjects[begin:end]))
        # An ending has the head of the next payload, behind which the next numbers begin.
        tops = map(operator.sub, starts[1:], map(len, ending))
        pairs = [data[start:top] for start, top in zip(starts, tops, strict=False)]
        parts = [_HEAD] * (2 * count + 1)
        parts[1::2], parts[2::2] = pairs, ending
        if data[starts[0] - len(_HEAD) : starts[count]] != b"".join(parts):
            return None
        try:
            numbers = _NUMBERS.decode(_ARRAY_32(0xDD, 2 * count) + b"".join(pairs))
        except msgspec.DecodeError:
            return None
        return numbers[::2]
