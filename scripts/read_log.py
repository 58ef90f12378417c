"""Reads a log with nothing of this project: what ARCHITECTURE.md says of the file is enough.

    python scripts/read_log.py tanist.db

Prints each event as a line of JSON, and last the digest of the chain, as `tanist verify` has it.
"""

import hashlib
import heapq
import itertools
import json
import sqlite3
import struct
import sys
import zlib

import msgspec

BLOCK = 1_000


def unsealed(first, columns, payloads):
    """Return the rows of a sealed block."""
    columns, payloads = zlib.decompress(columns), zlib.decompress(payloads)
    (length,) = struct.unpack_from("<I", columns)
    kinds, subjects = msgspec.msgpack.decode(columns[4 : 4 + length])
    unpack = struct.Struct(f"<{BLOCK}q{BLOCK}B{BLOCK}H{BLOCK}q{BLOCK}I").unpack_from
    parts = iter(unpack(columns, 4 + length))
    times, kind, subject, cause, size = (list(itertools.islice(parts, BLOCK)) for _ in range(5))
    payload, at = [b""] * BLOCK, 0
    for index in sorted(range(BLOCK), key=kind.__getitem__):  # grouped by kind, else in order
        payload[index], at = payloads[at : at + size[index]], at + size[index]
    for n, at_us in enumerate(itertools.accumulate(times)):
        yield first + n, at_us, kinds[kind[n]], subjects[subject[n]], cause[n], payload[n]


def canonical(rows):
    """Return the bytes that the digest of a block of rows is made of."""
    seqs, times, kinds, subjects, causes, payloads = zip(*rows, strict=True)
    numbers = struct.pack(f"<QI{3 * len(rows)}q", seqs[0], len(rows), *times, *kinds, *causes)
    texts = [*(subject.encode() for subject in subjects), *payloads]
    return numbers + b"".join(struct.pack("<I", len(text)) + text for text in texts)


def main(path):
    """Print the events and the digest; a log that begins with a base goes on from its chain."""
    log = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    names = dict(log.execute("SELECT kind, name FROM kinds"))
    blocks = log.execute("SELECT first, columns, payloads FROM blocks ORDER BY first")
    sealed = itertools.chain.from_iterable(unsealed(*block) for block in blocks)
    hot = log.execute("SELECT seq, at_us, kind, subject, cause, payload FROM events ORDER BY seq")
    chain, rows = bytes(32), []
    for row in heapq.merge(sealed, hot):  # a base is never sealed, and comes first all the same
        fields = msgspec.msgpack.decode(row[5])
        print(json.dumps([*row[:2], names[row[2]], *row[3:5], repr(fields)]))
        if names[row[2]] == "LogBased":
            chain = fields[2]
            continue
        rows.append(row)
        if row[0] % BLOCK == 0:
            chain, rows = hashlib.sha256(chain + canonical(rows)).digest(), []
    print((hashlib.sha256(chain + canonical(rows)).digest() if rows else chain).hex())


main(sys.argv[1])
