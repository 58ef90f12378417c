"""The bytes that every digest of a log rests on (design.md, 9.9); they never change.

Canonical bytes of a block: u64 first seq, u32 count; at_us, kind and cause as count times i64
each; the subjects, then the payloads, each as u32 length and bytes; all little-endian.

Block k holds the seqs 1000k + 1 ... 1000k + 1000. H_k = SHA-256(H_{k-1} + bytes of block k), and
H_{-1} is 32 zero bytes. The head is the same over the open rest, or the last H if there is none.
A log that begins with a base goes on from the chain that the base carries, over the rows after it.

The crc of a row is the CRC-32 of the row as a block of one, seeded with the crc of the row before
(0 for the first). Compression, sealing and the database are outside all of this.
"""

import hashlib
import struct
from collections.abc import Iterable, Sequence
from typing import Final

from engine.core.errors import LogCorrupted
from engine.log.codec import base_of
from engine.log.protocol import Row

BLOCK_EVENTS: Final = 1_000
ZERO: Final = bytes(32)


def canonical(rows: Sequence[Row]) -> bytes:
    """Return the canonical bytes of a block of consecutive rows, at least one."""
    seqs, times, kinds, subjects, causes, payloads, _ = zip(*rows, strict=True)
    count = len(seqs)
    assert seqs[-1] - seqs[0] == count - 1
    parts = [struct.pack(f"<QI{3 * count}q", seqs[0], count, *times, *kinds, *causes)]
    for data in (*(subject.encode() for subject in subjects), *payloads):
        parts += (struct.pack("<I", len(data)), data)
    return b"".join(parts)


def link(before: bytes, rows: Sequence[Row]) -> bytes:
    """Return H of a block of these rows that follows the block with H = `before`."""
    return hashlib.sha256(before + canonical(rows)).digest()


class ChainFold:
    """The chain over the rows fed so far; holds the rows of the open block only."""

    def __init__(self) -> None:
        self.seq = 0  # of the last row fed
        self.blocks = 0  # closed by this fold [count]
        self._closed = ZERO
        self._open: list[Row] = []

    def feed(self, rows: Iterable[Row]) -> None:
        """Add the rows that follow.

        Raises:
            LogCorrupted: A row is missing, or the first is neither event 1 nor a base.
        """
        for row in rows:
            seq = row[0]
            if seq == self.seq + 1 and seq != 1:
                self._open.append(row)
            elif self.seq != 0:
                raise LogCorrupted(seq, f"expected event {self.seq + 1}")
            else:
                self._begin(row)
            self.seq = seq
            if seq % BLOCK_EVENTS == 0 and self._open:
                self._closed = link(self._closed, self._open)
                self._open.clear()
                self.blocks += 1

    def skip(self, last: int, chain: bytes) -> None:
        """Go on after a sealed block that ends with the event `last`, whose chain is known."""
        self.seq, self._closed = last, chain
        self._open.clear()

    def _begin(self, row: Row) -> None:
        base = base_of(row)
        if base is not None:
            self._closed = base.chain
        elif row[0] == 1:
            self._open.append(row)
        else:
            raise LogCorrupted(row[0], "expected event 1, or a base, at the beginning")

    @property
    def head(self) -> bytes:
        """Return the digest of everything fed so far (32 bytes)."""
        return link(self._closed, self._open) if self._open else self._closed
