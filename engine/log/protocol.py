"""What a log is, whatever it is stored in.

Rules. An event is never changed and never deleted. `append` is all or nothing, and durable when it
returns. What a reader sees is durable. Seqs have no gaps and times never go back, so whoever has
read up to a seq has missed nothing before it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Final, Protocol, Self, TypeAlias, TypeVar, runtime_checkable

import msgspec

from engine.core.errors import LogError
from engine.core.events import Recorded
from engine.log.snapshots import Snapshots

if TYPE_CHECKING:
    from engine.log.blocks import Block

# seq, at_us, kind, subject, cause, payload, crc: an event as it is stored.
Row: TypeAlias = tuple[int, int, int, str, int, bytes, int]
EventRow: TypeAlias = tuple[int, int, int, str, int, bytes]  # without the crc
Hook: TypeAlias = Callable[[str], None]

NO_BODIES: Final[Mapping[bytes, bytes]] = MappingProxyType({})
CHUNK_EVENTS: Final = 500  # what a read holds in memory; more is slower, it leaves the caches

BEFORE_APPEND: Final = "log.before_append"
BEFORE_COMMIT: Final = "log.before_commit"
AFTER_COMMIT: Final = "log.after_commit"


class Seal(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The end of a sealed block, as it is stored."""

    seq: int
    at_us: int
    crc: int
    chain: bytes  # of everything up to there (32 bytes)


class Head(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Where the log ends: the last event's seq and time; 0 and 0 of an empty log."""

    seq: int = 0
    at_us: int = 0


V = TypeVar("V")


class Projection(Protocol[V]):
    """One way to fold the log; a log stores views, and knows no more of them than this."""

    @property
    def name(self) -> str:
        """Return the name that its view is stored under."""

    @property
    def version(self) -> int:
        """Return the version; a view stored under another one is never read."""

    def new(self) -> V:
        """Return the view of an empty log."""

    def project(self, view: V, recorded: Recorded) -> None:
        """Apply one event to `view`, in place."""

    def dump(self, view: V) -> bytes:
        """Return `view` as bytes; equal views give equal bytes."""

    def restore(self, data: bytes) -> V:
        """Return the view that `dump` gave `data` for; raise msgspec.DecodeError if none."""


@runtime_checkable
class BlockProjection(Projection[V], Protocol[V]):
    """A projection that folds sealed blocks by their columns, without decoding what it needs not.

    The view is the same, byte by byte, as if every event of the block had been applied. Only what
    is decoded is checked: damage to an event that the projection passes over is not noticed.
    """

    def project_block(self, view: V, block: "Block") -> bool:
        """Apply all events of a block that follows `view`, in place, and return True.

        False: nothing was applied, and the events have to be.
        """


class ViewParked(LogError):
    """A view stays before event `seq`, which its projection could not apply, for this `reason`."""

    def __init__(self, name: str, *, seq: int, reason: str) -> None:
        super().__init__(f"the view {name!r} is parked before event {seq}: {reason}")
        self.name = name
        self.seq = seq
        self.reason = reason


class ViewStatus(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How far a view is behind its log, and why."""

    name: str
    version: int  # of the projection
    position: int  # of what is stored [seq]; 0: nothing that this version can use
    head: int  # of the log [seq]
    lag_events: int
    parked_seq: int  # the event that it is parked before; 0: it is not
    reason: str  # why it is parked; "": it is not
    rebuild_position: int  # how far a rebuild has stored its progress [seq]; 0: none has


class Log(Protocol):
    """A log; every method but `close` may raise LogError."""

    hook: Hook | None  # called with the name of each failpoint that is passed

    @property
    def head(self) -> Head:
        """Return where the durable log ends.

        Raises:
            LogUncertain: The outcome of an append is unknown, and still cannot be settled.
        """

    def read(
        self, after: int = 0, until: int | None = None, *, chunk: int = CHUNK_EVENTS
    ) -> Iterator[Recorded]:
        """Return the events with `after` < seq <= `until` (None: the head at this call).

        Raises:
            LogTooNew: An event is of a kind that this release does not know.
            LogCorrupted: An event cannot be decoded.
        """

    def rows(
        self, after: int = 0, until: int | None = None, *, chunk: int = CHUNK_EVENTS
    ) -> Iterator[Row]:
        """Return the same events as they are stored, not decoded."""

    def blocks(self, after: int = 0, until: int | None = None) -> Iterator["Block"]:
        """Return the sealed blocks that hold events of that range, in order.

        What is in no block is in rows. Folds that need times, kinds and subjects only read these.
        """

    def seals(self) -> list[Seal]:
        """Return where the sealed blocks end, in order."""

    @property
    def may_seal(self) -> bool:
        """Return whether this log's format has sealed blocks and snapshots."""

    def seal(self, *, until: int | None = None, blocks_max: int = 1) -> int:
        """Return how many blocks were sealed: at most `blocks_max`, up to the seq `until`.

        Nothing that is read changes. The last event is always a row.
        """

    @property
    def snapshots(self) -> Snapshots:
        """Return the stored folds of the state."""

    def seqs_of(
        self,
        kinds: Iterable[int],
        after: int = 0,
        until: int | None = None,
        *,
        subject: str = "",
        newest_first: bool = False,
    ) -> Iterator[int]:
        """Return the seqs of the events of these kinds, and about `subject` if one is given.

        In order, or the newest first. Kinds that seldom come (all but `schema.PASSING`) cost what
        is found and not what is passed over.
        """

    def append(
        self, events: Sequence[Recorded], *, bodies: Mapping[bytes, bytes] = NO_BODIES
    ) -> None:
        """Store the events, and the bodies under their SHA-256 digests; durable on return.

        Raises:
            LogConflict: The events do not follow the head, or another writer took the log.
            LogFull: No space is left; nothing was stored.
            LogUncertain: Whether all or nothing was stored is unknown; read the log.
            LogError: Nothing was stored.
        """

    def body(self, digest: bytes) -> bytes | None:
        """Return the body or blob of this SHA-256 digest; None if it is not (or no longer) kept."""

    def chain_head(self) -> bytes:
        """Return the digest of everything in the log (32 bytes; design.md, 9.9).

        Raises:
            LogCorrupted: The rows have a gap, so that there is no such digest.
        """

    def attach(self, projection: Projection[V]) -> None:
        """Let `catch_up` find the projection by its name."""

    def catch_up(self, name: str, *, limit_events: int = ...) -> int:
        """Return how many events were applied to the stored view: at most `limit_events`.

        The view and its position are stored in one transaction, so each event counts once
        whatever crashes. Fewer than `limit_events`: it has reached the head.

        Raises:
            ViewParked: The projection cannot apply an event. The view is stored as it is before
                that event, which is not tried again until `retry`, `rebuild` or another version.
        """

    def retry(self, name: str) -> None:
        """Let `catch_up` try the event again that the view is parked before, if it is parked."""

    def views_status(self) -> list[ViewStatus]:
        """Return how far the stored view of each attached projection has come, by name."""

    def view(self, projection: Projection[V]) -> tuple[V, int]:
        """Return the view of the whole log and its position; nothing is stored, readers may ask.

        Raises:
            ViewParked: The projection cannot apply an event.
        """

    def rebuild(
        self, projection: Projection[V], progress: Callable[[int, int], None] | None = None
    ) -> int:
        """Fold the log from its start, swap the view in, and return its position.

        Until the swap the view stored before stays, and `catch_up` goes on with it. A rebuild
        that ended early, by a crash or an interrupt, is gone on with by the next one of the same
        version. `progress` is called with the position and the head [seq].

        Raises:
            ViewParked: The projection cannot apply an event; what was stored stays, and the next
                rebuild begins at the start.
        """

    def as_of(self, projection: Projection[V], seq: int) -> V:
        """Return the view of the events up to `seq`.

        Raises:
            LogError: The log does not know that position: it begins later, or ends before.
            ViewParked: The projection cannot apply an event up to there.
        """

    def close(self) -> None:
        """Release everything; a second call does nothing."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...
