"""What a log is, whatever it is stored in.

Rules. An event is never changed, and never deleted but by retention, which an event announces
(engine.log.thinning). `append` is all or nothing, and durable when it
returns. What a reader sees is durable. Seqs are given without gaps and times never go back, so
whoever has read up to a seq has missed nothing before it that is still there.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Final, Protocol, Self, TypeAlias, TypeVar, runtime_checkable

import msgspec

from engine.core.errors import LogError
from engine.core.events import Recorded
from engine.core.lulls import Stretch
from engine.core.terms import Keyed
from engine.log.append_keys import Appended, AppendKeys
from engine.log.shelf import Shelf
from engine.log.snapshots import Snapshots

if TYPE_CHECKING:
    from engine.log.blocks import Block, Stored

# seq, at_us, kind, subject, cause, payload, crc: an event as it is stored.
Row: TypeAlias = tuple[int, int, int, str, int, bytes, int]
EventRow: TypeAlias = tuple[int, int, int, str, int, bytes]  # without the crc
Hook: TypeAlias = Callable[[str], None]

NO_BODIES: Final[Mapping[bytes, bytes]] = MappingProxyType({})
CHUNK_EVENTS: Final = 500  # what a read holds in memory; more is slower, it leaves the caches
STRETCH_EVENTS: Final = 1_000  # of those that a read gives as columns

ANY: Final[Set[int]] = frozenset()  # of the kinds that a block may have to have

BEFORE_APPEND: Final = "log.before_append"
BEFORE_COMMIT: Final = "log.before_commit"
AFTER_COMMIT: Final = "log.after_commit"


class Seal(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The end of a sealed block, as it is stored."""

    seq: int
    at_us: int
    crc: int
    chain: bytes  # of everything up to there (32 bytes)


class Size(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a log takes [bytes]."""

    file: int  # on the disk, without the write-ahead log beside it
    used: int  # of that, what holds something


class Head(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Where the log ends: the last event's seq and time; 0 and 0 of an empty log."""

    seq: int = 0
    at_us: int = 0


class StoredBody(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A stored body, looked at."""

    digest: bytes  # that it is stored under
    size: int  # that it is said to have [bytes]
    problem: str  # what is wrong with it; "": nothing, as far as it could be looked at
    is_sealed: bool
    is_read: bool  # False: its key is not given, so that only the sealed bytes were checked


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

    def stretches(self, after: int = 0, until: int | None = None) -> Iterator[Stretch]:
        """Return the same events as columns, so many at a time; nothing is decoded that need not.

        What cannot be decoded raises when it is asked for.
        """

    def rows(
        self, after: int = 0, until: int | None = None, *, chunk: int = CHUNK_EVENTS
    ) -> Iterator[Row]:
        """Return the same events as they are stored, not decoded."""

    def blocks(
        self, after: int = 0, until: int | None = None, *, having: Set[int] = ANY
    ) -> Iterator["Block"]:
        """Return the sealed blocks that hold events of that range, in order.

        What is in no block is in rows. Folds that need times, kinds and subjects only read these.
        With `having`, those that have an event of one of these kinds; the others are not opened.
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

    def sealed_until(self, at_us: int) -> int:
        """Return the seq that the last block ends with whose events are no later; 0: none is."""

    def block_sizes(self, after: int) -> Iterator[tuple[int, int]]:
        """Return of each sealed block after the seq `after` where it ends and what it takes.

        In order, as seq and bytes.
        """

    def size(self) -> Size:
        """Return what the log takes."""

    def give_back(self, pages: int = 0) -> bool:
        """Give unused space back, at most so many pages (0: all); return whether any was.

        Appends wait for it.
        """

    def thin(self, block: "Stored") -> None:
        """Put a thinned block in the place of the whole one (engine.log.thinning).

        Raises:
            LogError: Nothing was changed.
        """

    @property
    def snapshots(self) -> Snapshots:
        """Return the stored folds of the state."""

    @property
    def shelf(self) -> Shelf:
        """Return where the stored views lie."""

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

    @property
    def append_keys(self) -> AppendKeys:
        """Return the keys that events were appended under."""

    def append(
        self,
        events: Sequence[Recorded],
        *,
        bodies: Mapping[bytes, bytes] = NO_BODIES,
        key: str = "",
        keyed: Sequence[Keyed] = (),
    ) -> Appended:
        """Store the events, and the bodies under their SHA-256 digests; durable on return.

        The seqs say on which head the events were decided: another one is a conflict.

        With a `key` they are appended once: the same again (kinds, subjects and payloads; not seqs
        and times) appends nothing, and where they are is returned. So who does not know whether an
        append succeeded appends again. Keys older than a week of the log's time are forgotten.

        What a `BodiesRemoved` among the events names is deleted with it, all or nothing: unless an
        event after it names it again.

        Args:
            events: What follows the head.
            bodies: By SHA-256 digest.
            key: At most 255 characters; "": none. A log of format 1 has no place for keys.
            keyed: Which of the events stand under which key; the caller has looked that each is
                new. Not together with `key`.

        Raises:
            LogConflict: The events do not follow the head (the message says what was expected and
                what was found), other events were appended under `key`, or another writer took
                the log.
            LogFull: No space is left; nothing was stored.
            LogUncertain: Whether all or nothing was stored is unknown; read the log.
            LogError: Nothing was stored.
        """

    def body(self, digest: bytes) -> bytes | None:
        """Return the body or blob of this SHA-256 digest; None if it is not (or no longer) kept.

        Raises:
            LogError: It is damaged, or sealed with a key that is not given.
        """

    def stored_bodies(self) -> Iterator[StoredBody]:
        """Return every stored body, each looked at once.

        What is stored meanwhile may be left out.
        """

    def removable(self, digests: Iterable[bytes], *, upto: int) -> dict[bytes, int]:
        """Return the sizes of those that are stored, and were not named again after `upto` [bytes].

        A body that was stored after the seq `upto` and is named once counts as not named again.
        """

    def keys_lacking(self, digests: Iterable[bytes]) -> set[bytes]:
        """Return the ids of the keys that these bodies are sealed with and that are not given."""

    def erase(self) -> bool:
        """Let nothing of bodies that somebody asked to remove be left in the files.

        Returns:
            Whether that is so. A reader who began before may keep it from being done: try later.
        """

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
