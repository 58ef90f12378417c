"""Sealed blocks: a thousand events as columns and payloads, each compressed as a whole.

A block holds exactly what its rows held. Its place in the chain rests on the canonical bytes of
those rows (engine.log.chain), so neither sealing nor compression changes a digest.

    columns   zlib of: u32 length of the dictionary, the dictionary, then one after the other
              at_us as 1,000 x i64 (the first as it is, then differences),
              kind as 1,000 x u8 (index into the dictionary's kinds),
              subject as 1,000 x u16 (index into its subjects),
              cause as 1,000 x i64, size of the payload as 1,000 x u32; all little-endian
    dictionary  msgpack [[kind, ...], [subject, ...]], each in the order of its first event
    payloads  zlib of the payloads: those of the dictionary's first kind in the order of their
              events, then those of its second, and so on

Grouped by kind, payloads are decoded by one call for each kind; and whoever needs columns only
never inflates a payload.

A thinned block has lost what retention drops (engine.log.thinning). Its place in the chain stays
what it was, though nobody can compute it from what is left, so it has a digest of that of its own.
Its columns hold only the events that stayed, and its dictionary says more: msgpack
[[kind, ...], [subject, ...], [place from 0 of each event that stayed, ...], digest].
"""

import bisect
import itertools
import struct
import sys
import zlib
from array import array
from collections.abc import Iterable, Iterator, Sequence, Set
from typing import Final, TypeAlias

import msgspec

from engine.core.errors import LogCorrupted, LogTooNew
from engine.core.events import LIST_DECODERS, AnyEvent, Recorded, decode
from engine.log.chain import BLOCK_EVENTS, link
from engine.log.codec import crcs_of
from engine.log.protocol import EventRow, Row
from engine.log.stretches import GOOD, Columns

LEVEL: Final = 6  # of zlib; the higher ones save a hundredth and cost a quarter more time

# first seq, last at_us, last crc, chain, columns, payloads: a block as it is stored.
Stored: TypeAlias = tuple[int, int, int, bytes, bytes, bytes]

_ARRAY_32: Final = struct.Struct(">BI").pack  # the head of a msgpack array


class _Dictionary(msgspec.Struct, frozen=True, array_like=True):
    """What the columns refer to; `stayed` is None in a block that is whole."""

    codes: tuple[int, ...]
    names: tuple[str, ...]
    stayed: tuple[int, ...] | None = None
    digest: bytes = b""


_DICTIONARY: Final = msgspec.msgpack.Decoder(_Dictionary)


def _numbers(code: str, values: Sequence[int]) -> bytes:
    numbers = array(code, values)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tobytes()


def _from_numbers(code: str, data: bytes) -> "array[int]":
    numbers: array[int] = array(code)
    numbers.frombytes(data)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def seal_rows(rows: Sequence[Row], *, chain: bytes, crc: int) -> Stored:
    """Return the block of `rows`, which follow a block with this chain and a row with this crc.

    Raises:
        LogCorrupted: A row is not what was stored, or cannot be decoded; damage is never sealed.
    """
    assert len(rows) == BLOCK_EVENTS
    assert rows[0][0] % BLOCK_EVENTS == 1
    for row, expected in zip(rows, crcs_of(rows, crc=crc), strict=True):
        if row[6] != expected:
            raise LogCorrupted(row[0], "its bytes are not those that were stored (crc)")
    columns, payloads = _packed([row[:6] for row in rows])
    stored = (rows[0][0], rows[-1][1], rows[-1][6], link(chain, rows), columns, payloads)
    block = Block(stored)
    assert block.rows() == [row[:6] for row in rows]
    block.events()
    return stored


def thin(block: "Block", stays: Iterable[int], *, digest: bytes) -> Stored:
    """Return `block` with nothing left in it but the events of the seqs `stays`.

    `digest` is that of everything that stayed up to the block's end (engine.log.thinning).
    """
    wanted = frozenset(stays)
    rows = [row for row in block.rows() if row[0] in wanted]
    places = tuple(row[0] - block.first for row in rows)
    columns, payloads = _packed(rows, stayed=places, digest=digest)
    stored = (block.first, block.last_at_us, block.last_crc, block.chain, columns, payloads)
    assert Block(stored).rows() == rows
    return stored


def _packed(
    rows: Sequence[EventRow], *, stayed: tuple[int, ...] | None = None, digest: bytes = b""
) -> tuple[bytes, bytes]:
    """Return the columns and the payloads of a block of these rows."""
    times, kinds = [row[1] for row in rows], [row[2] for row in rows]
    subjects, causes = [row[3] for row in rows], [row[4] for row in rows]
    payloads = [row[5] for row in rows]
    codes, names = tuple(dict.fromkeys(kinds)), tuple(dict.fromkeys(subjects))
    code_of = {code: index for index, code in enumerate(codes)}
    name_of = {name: index for index, name in enumerate(names)}
    known = (codes, names) if stayed is None else (codes, names, stayed, digest)
    dictionary = msgspec.msgpack.encode(known)
    columns = b"".join(
        (
            struct.pack("<I", len(dictionary)),
            dictionary,
            _numbers("q", [b - a for a, b in itertools.pairwise((0, *times))]),
            bytes(code_of[kind] for kind in kinds),
            _numbers("H", [name_of[subject] for subject in subjects]),
            _numbers("q", causes),
            _numbers("I", [len(payload) for payload in payloads]),
        )
    )
    grouped = sorted(range(len(rows)), key=lambda index: code_of[kinds[index]])
    return (
        zlib.compress(columns, LEVEL),
        zlib.compress(b"".join(payloads[index] for index in grouped), LEVEL),
    )


def may_have(stored: Stored, kinds: Set[int]) -> bool:
    """Return whether a block has an event of one of `kinds`, which its dictionary tells; () is any.

    One that is damaged may: whoever opens it is told.
    """
    if not kinds:
        return True
    opening = zlib.decompressobj()
    try:
        (length,) = struct.unpack("<I", opening.decompress(stored[4], 4))
        known = _DICTIONARY.decode(opening.decompress(opening.unconsumed_tail, length))
    except (zlib.error, struct.error, msgspec.DecodeError):
        return True
    return not kinds.isdisjoint(known.codes)


class Block:
    """A sealed block, opened as far as it is asked for."""

    def __init__(self, stored: Stored) -> None:
        """Open the columns.

        Raises:
            LogCorrupted: They are damaged.
        """
        self.stored: Final = stored
        self.first, self.last_at_us, self.last_crc, self.chain, columns, _ = stored
        self.last: Final = self.first + BLOCK_EVENTS - 1
        self._payloads = b""  # inflated, grouped by kind; b"": not yet
        try:
            self._open(zlib.decompress(columns))
        except (zlib.error, struct.error, msgspec.DecodeError, ValueError, IndexError) as err:
            raise self._damaged(err) from err

    def _damaged(self, err: Exception) -> LogCorrupted:
        return LogCorrupted(self.first, f"the block that begins there is damaged: {err}")

    def _open(self, data: bytes) -> None:
        (length,) = struct.unpack_from("<I", data)
        known = _DICTIONARY.decode(data[4 : 4 + length])
        self.codes, self.names, self.digest = known.codes, known.names, known.digest
        self.is_thinned = known.stayed is not None
        self.seqs: Sequence[int] = range(self.first, self.last + 1)
        if known.stayed is not None:
            self.seqs = [self.first + place for place in known.stayed]
        count = len(self.seqs)
        at, parts = 4 + length, []
        for size in (8, 1, 2, 8, 4):
            parts.append(data[at : at + size * count])
            at += size * count
        times, self.kinds, subjects, causes, sizes = parts  # `kinds`: indices into `codes`
        if at != len(data) or max(self.kinds, default=-1) >= len(self.codes):
            raise ValueError(f"its columns are not those of {count} events")
        self.times = list(itertools.accumulate(_from_numbers("q", times)))
        names = self.names
        self.subjects = list(map(names.__getitem__, _from_numbers("H", subjects)))
        self.causes = _from_numbers("q", causes)
        self.sizes = _from_numbers("I", sizes)

    def _inflated(self) -> bytes:
        if not self._payloads:
            try:
                self._payloads = zlib.decompress(self.stored[5])
            except zlib.error as err:
                raise self._damaged(err) from err
            if len(self._payloads) != sum(self.sizes):
                raise self._damaged(ValueError("its payloads have another length"))
        return self._payloads

    def payloads(self) -> list[bytes]:
        """Return the payload of each event, in order."""
        data = self._inflated()
        at = [0, *itertools.accumulate(self._group_sizes()[:-1])]  # of the next one of each kind
        found = []
        for kind, size in zip(self.kinds, self.sizes, strict=True):
            found.append(data[at[kind] : at[kind] + size])
            at[kind] += size
        return found

    def rows(self) -> list[EventRow]:
        """Return the events as they were stored, without their crcs; those left, if thinned."""
        codes = self.codes
        return list(
            zip(
                self.seqs,
                self.times,
                [codes[kind] for kind in self.kinds],
                self.subjects,
                self.causes,
                self.payloads(),
                strict=True,
            )
        )

    def places(self, after: int, until: int) -> range:
        """Return the places, from 0, of the events here with `after` < seq <= `until`."""
        return range(bisect.bisect_right(self.seqs, after), bisect.bisect_right(self.seqs, until))

    def event(self, index: int) -> Recorded:
        """Return the event at a place; the payloads of others are not decoded."""
        kind, seq, size = self.kinds[index], self.seqs[index], self.sizes[index]
        before = itertools.compress(self.sizes, map(kind.__gt__, self.kinds))
        own = itertools.compress(self.sizes, map(kind.__eq__, self.kinds[:index]))
        at = sum(before) + sum(own)
        payload = self._inflated()[at : at + size]
        return Recorded(
            seq=seq,
            at_us=self.times[index],
            subject=self.subjects[index],
            cause=self.causes[index],
            event=decode(self.codes[kind], payload, seq=seq),
        )

    def events(self) -> list[Recorded]:
        """Return all events.

        Raises:
            LogTooNew: An event is of a kind that this release does not know.
            LogCorrupted: A payload is not one of its kind.
        """
        return list(
            map(Recorded, self.seqs, self.times, self.subjects, self.causes, self._decoded())
        )

    def stretch(self) -> Columns:
        """Return the same as columns, of which what is asked for is decoded; raises the same."""
        index = self.codes.index(GOOD) if GOOD in self.codes else -1
        is_good = len(self.codes) == 1 and index == 0
        sizes, data = self.sizes, self._inflated()
        if not is_good:
            at = sum(self._group_sizes()[: max(index, 0)])
            sizes = array("I", itertools.compress(sizes, map(index.__eq__, self.kinds)))
            data = data[at : at + sum(sizes)]
        return Columns(
            seqs=self.seqs,
            times=self.times,
            subjects=self.subjects,
            causes=self.causes,
            others=[] if is_good else [p for p, kind in enumerate(self.kinds) if kind != index],
            good=data,
            sizes=sizes,
            decode=lambda: list(self._decoded()),
        )

    def _decoded(self) -> Iterator[AnyEvent]:
        """Return the events themselves, in order: one call of the decoder for each kind."""
        data, at = self._inflated(), 0
        nexts = []
        for index, (code, size) in enumerate(zip(self.codes, self._group_sizes(), strict=True)):
            count = self.kinds.count(index)
            if code not in LIST_DECODERS:
                seq = self.seqs[self.kinds.index(index)]
                raise LogTooNew(f"event {seq}: kind {code} is of a newer release")
            try:
                events = LIST_DECODERS[code](_ARRAY_32(0xDD, count) + data[at : at + size])
            except (msgspec.DecodeError, UnicodeDecodeError) as err:
                raise self._damaged(err) from err
            at += size
            nexts.append(iter(events).__next__)
        if len(nexts) == 1:
            return iter(events)
        return (nexts[kind]() for kind in self.kinds)

    def _group_sizes(self) -> list[int]:
        """Return how many bytes the payloads of each kind of the dictionary take together."""
        if len(self.codes) == 1:
            return [len(self._inflated())]
        return [
            sum(itertools.compress(self.sizes, map(index.__eq__, self.kinds)))
            for index in range(len(self.codes))
        ]
