"""The ledger of messages: accepted, assigned, done; and the order in which they go.

Rule 1: a message is open from its acceptance until the master it is assigned to acknowledges it
under that activation's epoch. Nothing else ends it.

Rule 2: in each lane one message is under way at a time, the oldest open one.

Rule 3: what a revoked activation had goes back to its place in the queue, in accept order.
"""

import bisect
import hashlib
import struct
from collections.abc import Iterable, Iterator

from engine.core.state import Ledger, Message, State


def admit(ledger: Ledger, key: str, digest: bytes) -> int | None:
    """Return None if `key` is new, else the seq of the open message (0: it is done).

    Raises:
        ValueError: The key was used for another body.
    """
    seq = ledger.by_key.get(key)
    if seq is not None:
        known = ledger.open[seq].digest
    elif key in ledger.done:
        known = ledger.done[key][1]
    else:
        return None
    if known != digest:
        raise ValueError(f"key {key!r}: expected the body that it was first used for")
    return seq or 0


def accept(ledger: Ledger, seq: int, message: Message) -> None:
    """Put a new message at the end of the queue."""
    ledger.open[seq] = message
    ledger.queue.append(seq)
    ledger.lanes.setdefault(message.lane, []).append(seq)
    ledger.by_key[message.key] = seq
    ledger.accepted += 1


def assign(ledger: Ledger, master: str, epoch: int, upto: int) -> None:
    """Give every queued message up to `upto` to `master` under `epoch`."""
    cut = bisect.bisect_right(ledger.queue, upto)
    for seq in ledger.queue[:cut]:
        message = ledger.open[seq]
        message.master, message.epoch = master, epoch
    if cut:
        ledger.assigned[master] = ledger.assigned.get(master, 0) + cut
    del ledger.queue[:cut]


def finish(ledger: Ledger, key: str, *, remember_max: int) -> None:
    """Close the message `key`; its key is remembered, with the newest `remember_max` others."""
    seq = ledger.by_key.pop(key)
    message = ledger.open.pop(seq)
    if message.master:
        _release(ledger, message.master, 1)
    lane = ledger.lanes[message.lane]
    lane.remove(seq)
    if not lane:
        del ledger.lanes[message.lane]
    ledger.finished += 1
    ledger.done[key] = (ledger.finished, message.digest)
    while len(ledger.done) > remember_max:
        del ledger.done[next(iter(ledger.done))]


def assigned_to(ledger: Ledger, master: str) -> list[int]:
    """Return the seqs of the open messages of `master`, in accept order."""
    return [seq for seq, message in ledger.open.items() if message.master == master]


def requeue(ledger: Ledger, seqs: Iterable[int]) -> None:
    """Put assigned messages back into their place in the queue.

    A failover does so with all that its source had, perhaps thousands.
    """
    back = list(seqs)
    had: dict[str, int] = {}  # by each master [count]
    for seq in back:
        message = ledger.open[seq]
        had[message.master] = had.get(message.master, 0) + 1
        message.master, message.epoch = "", 0
    for master, count in had.items():
        _release(ledger, master, count)
    ledger.queue = sorted([*back, *ledger.queue])
    ledger.requeued += len(back)


def _release(ledger: Ledger, master: str, count: int) -> None:
    """Count so many messages less for whoever had them."""
    ledger.assigned[master] -= count
    if not ledger.assigned[master]:
        del ledger.assigned[master]


def needed(state: State) -> set[bytes]:
    """Return the digests of all bodies that are needed: of open messages, and of kept state."""
    found: set[bytes] = set()
    for group in state.groups.values():
        found.update(message.digest for message in group.ledger.open.values())
        found.update(group.kept.values())
    return found


def digest_of(seqs: Iterable[int]) -> str:
    """Return the SHA-256 of `seqs` as little-endian u64, in hex; "" if there are none."""
    listed = tuple(seqs)
    data = struct.pack(f"<{len(listed)}Q", *listed)
    return hashlib.sha256(data).hexdigest() if data else ""


def under_way(ledger: Ledger) -> Iterator[tuple[int, Message]]:
    """Return the messages that may be sent: the oldest of each lane, if it is assigned."""
    for lane in ledger.lanes.values():
        message = ledger.open[lane[0]]
        if message.master:
            yield lane[0], message
