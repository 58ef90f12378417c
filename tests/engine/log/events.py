"""Events for the tests of the log, and a projection that notices every event it misses."""

import contextlib
import hashlib
import zlib
from typing import Final

import msgspec

from engine.core.errors import LogFull
from engine.core.events import (
    AnyEvent,
    ApprovalGiven,
    LogBased,
    MasterFailed,
    MessageAccepted,
    ProbeOk,
    Recorded,
)
from engine.log import Log
from engine.log.chain import canonical
from engine.log.protocol import Row

START_US: Final = 1_700_000_000_000_000
CHAIN: Final = hashlib.sha256(b"what came before").digest()


def probe(seq: int) -> Recorded:
    """Return the event that every test log has at `seq`."""
    event = ProbeOk(n=seq, latency_us=1_000 + seq % 7)
    return at(seq, event, subject=f"m{seq % 3}")


def at(
    seq: int, event: AnyEvent, *, subject: str = "g", cause: int = 0, at_us: int | None = None
) -> Recorded:
    at_us = START_US + seq * 10 if at_us is None else at_us
    return Recorded(seq=seq, at_us=at_us, subject=subject, cause=cause, event=event)


def probes(first: int, last: int) -> list[Recorded]:
    return [probe(seq) for seq in range(first, last + 1)]


def based(seq: int, *, state: bytes = b"state", chain: bytes = CHAIN) -> Recorded:
    return at(seq, LogBased(state=state, seq=seq, chain=chain), subject="fleet")


def failed(seq: int, *evidence: int, cause: int | None = None) -> Recorded:
    event = MasterFailed(evidence=evidence, hard=True, rule="refused")
    return at(seq, event, cause=seq - 1 if cause is None else cause)


def approvals(first: int, last: int) -> list[Recorded]:
    """Return events whose rows are simple enough to be computed by hand."""
    return [
        Recorded(seq=seq, at_us=seq * 10, subject="g", cause=seq - 1, event=ApprovalGiven())
        for seq in range(first, last + 1)
    ]


def message(seq: int, body: bytes) -> tuple[Recorded, dict[bytes, bytes]]:
    digest = hashlib.sha256(body).digest()
    event = MessageAccepted(key=f"k{seq}", lane="g", size=len(body), digest=digest)
    return at(seq, event), {digest: body}


def fill(log: Log, batch: int) -> int:
    """Return the head of `log` after it took batches until there was no space for another."""
    head = log.head.seq
    with contextlib.suppress(LogFull):
        while True:
            log.append(probes(head + 1, head + batch))
            head += batch
    return head


class Seen(msgspec.Struct, kw_only=True):
    """How many events were folded, and a digest of them in their order."""

    count: int = 0
    digest: bytes = bytes(32)


class SeenFold:
    """A projection: an event missed, repeated or moved gives another view."""

    def __init__(self, version: int = 1) -> None:
        self.name = "seen"
        self.version = version

    def new(self) -> Seen:
        return Seen()

    def project(self, view: Seen, recorded: Recorded) -> None:
        view.count += 1
        line = f"{self.version} {recorded}".encode()
        view.digest = hashlib.sha256(view.digest + line).digest()

    def dump(self, view: Seen) -> bytes:
        return msgspec.msgpack.encode(view)

    def restore(self, data: bytes) -> Seen:
        return msgspec.msgpack.decode(data, type=Seen)


def folded(events: list[Recorded], version: int = 1) -> Seen:
    """Return the view of `events`, folded without any log."""
    fold = SeenFold(version)
    view = fold.new()
    for recorded in events:
        fold.project(view, recorded)
    return view


def row_crc(row: Row, before: int) -> int:
    """Return by definition the crc of `row`, which follows one with the crc `before` (0: none)."""
    return zlib.crc32(canonical((row,)), before)
