"""Reads a log with nothing of this project: what ARCHITECTURE.md says of the file is enough.

    python scripts/read_log.py tanist.db

Prints each event as a line of JSON, and last the digest of the chain, as `tanist verify` has it.
"""

import hashlib
import itertools
import json
import sqlite3
import struct
import sys
import zlib

import msgspec

BLOCK = 1_000
HOT = "SELECT seq, at_us, kind, subject, cause, payload FROM events WHERE seq {} ? ORDER BY seq"


def unsealed(first, chain, columns, payloads):
    """Return the rows of a sealed block, and its chain if they are not all there any more."""
    columns, payloads = zlib.decompress(columns), zlib.decompress(payloads)
    (length,) = struct.unpack_from("<I", columns)
    kinds, subjects, *thinned = msgspec.msgpack.decode(columns[4 : 4 + length])
    places = thinned[0] if thinned else range(BLOCK)
    count = len(places)
    unpack = struct.Struct(f"<{count}q{count}B{count}H{count}q{count}I").unpack_from
    parts = iter(unpack(columns, 4 + length))
    times, kind, subject, cause, size = (list(itertools.islice(parts, count)) for _ in range(5))
    payload, at, rows = [b""] * count, 0, []
    for index in sorted(range(count), key=kind.__getitem__):  # grouped by kind, else in order
        payload[index], at = payloads[at : at + size[index]], at + size[index]
    for n, (place, at_us) in enumerate(zip(places, itertools.accumulate(times), strict=True)):
        name = subjects[subject[n]]
        rows.append((first + place, at_us, kinds[kind[n]], name, cause[n], payload[n]))
    return rows, chain if thinned else None


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
    blocks = log.execute("SELECT first, chain, columns, payloads FROM blocks ORDER BY first")
    (begin,) = log.execute("SELECT coalesce(min(first), 0) FROM blocks").fetchone()
    base, hot = (log.execute(HOT.format(side), (begin,)) for side in "<>")
    sealed = (unsealed(*block) for block in blocks)
    chain, rows = bytes(32), []
    for events, known in itertools.chain([(base, None)], sealed, [(hot, None)]):
        for row in events:
            fields = msgspec.msgpack.decode(row[5])
            print(json.dumps([*row[:2], names[row[2]], *row[3:5], repr(fields)]))
            if names[row[2]] == "LogBased":
                chain = fields[2]
                continue
            rows.append(row)
            if row[0] % BLOCK == 0:
                chain, rows = hashlib.sha256(chain + canonical(rows)).digest(), []
        if known:  # what is left of a block does not tell its digest
            chain, rows = known, []
    print((hashlib.sha256(chain + canonical(rows)).digest() if rows else chain).hex())


main(sys.argv[1])
