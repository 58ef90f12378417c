"""Which bodies have not been needed for so long that they may go.

The log is folded once more, as far behind its end as bodies are kept: when the fold comes to the
end of a message, that was as long ago. What it lets go there may go, unless somebody named it since
(`Log.removable` knows), or needs it now. So any event is read once, however long the log is, and
what is remembered are the messages that were open then.

How far it has come is stored as the position of a view without content. It is a cache: without it
the log is read from its beginning, and all that went already is found gone.
"""

from collections.abc import Iterable
from typing import Final

from engine.core.errors import LogError
from engine.core.events import ObservationsDropped, codes_of
from engine.log import states, thinning
from engine.log.naming import Named, named_by
from engine.log.protocol import Log
from engine.log.shelf import StoredView

DIGESTS_MAX: Final = 250  # in one removal: with a few bytes more than 32 for each, and one row
BYTES_MAX: Final = 4 * 1024 * 1024  # likewise, beyond the first: an append waits for it
READ_EVENTS: Final = 10_000  # in one look
_NAME: Final = "removed bodies"
_VERSION: Final = 1
_STORE_EVENTS: Final = 10_000  # so many are read again after a crash, or some more
_LOOKS_MAX: Final = 10  # for something that may go, before others have their turn
_DROPPED: Final = codes_of((ObservationsDropped,))


class Releasing:
    """Finds what may go, in portions; one thread at a time."""

    def __init__(self, log: Log, *, keep_us: int) -> None:
        """`keep_us` is how long a body is kept after it was last needed, by the log's time."""
        self._log: Final = log
        self._keep_us: Final = keep_us
        self._named: Named | None = None
        self._position = 0  # of `_named` [seq]
        self._stored = 0  # the position that is stored
        self._dropped = (0, 0)  # the last event that says what was dropped, and up to which seq
        self.is_behind = True  # whether there is more to fold
        self._waiting: dict[bytes, int] = {}  # what may go, with its size

    def next(self) -> tuple[bytes, ...]:
        """Return what may go next; the same again until it is `settled`. Empty: nothing may yet.

        Raises:
            LogError: The log cannot be read.
        """
        for _ in range(_LOOKS_MAX):
            if self._waiting:
                break
            self._look()
            if not self.is_behind:
                break
        found: list[bytes] = []
        size = 0
        for digest, each in self._waiting.items():
            if len(found) == DIGESTS_MAX or (found and size + each > BYTES_MAX):
                break
            found.append(digest)
            size += each
        return tuple(found)

    def settled(self, digests: Iterable[bytes]) -> None:
        """Note that these went, or were found to be needed again: their time will come."""
        for digest in digests:
            self._waiting.pop(digest, None)
        if not self._waiting and self._position - self._stored >= _STORE_EVENTS:
            self._store()

    def _look(self) -> None:
        """Fold on by a portion."""
        named = self._begun()
        head = self._log.head
        limit_us, until = head.at_us - self._keep_us, min(self._position + READ_EVENTS, head.seq)
        freed: dict[bytes, None] = {}
        is_old = True
        try:
            for recorded in self._log.read(self._position, until):
                if recorded.at_us > limit_us:
                    is_old = False
                    break
                freed.update(dict.fromkeys(named.take(recorded)))
                self._position = recorded.seq
        except BaseException:
            self._named = None  # what was let go in this portion is found again
            raise
        if is_old:
            self._position = until
        spare = (digest for digest in freed if digest not in named.uses)
        self._waiting.update(self._log.removable(spare, upto=self._position))
        self.is_behind = is_old and until < head.seq
        self.settled(())

    def _begun(self) -> Named:
        """Return the fold at the position, taken up where an earlier process left it."""
        until = self._dropped_until()
        if self._named is None:
            stored = self._log.shelf.load(_NAME)
            is_known = stored is not None and stored.version == _VERSION
            self._stored = min(stored.position, self._log.head.seq) if stored and is_known else 0
            self._position = self._stored
            if self._position >= until:
                self._named = Named.of(states.state_at(self._log, self._position))
        if self._named is None or self._position < until:
            return self._begun_anew(until)
        return self._named

    def _dropped_until(self) -> int:
        """Return up to which seq observations were dropped; the state in that event is large."""
        seq = next(self._log.seqs_of(_DROPPED, newest_first=True), 0)
        if seq > self._dropped[0]:
            (recorded,) = self._log.read(seq - 1, seq)
            self._dropped = seq, thinning.dropped_in(recorded).until
        return self._dropped[1]

    def _begun_anew(self, until: int) -> Named:
        """Begin where the log can be folded from; what was let go before that may go.

        Which that was, the log does not say any more; but it says what was named since.
        """
        self._named = Named.of(states.state_at(self._log, until))
        self._position = until
        spare = {body.digest: body.size for body in self._log.stored_bodies()}
        for digest in self._named.uses:
            spare.pop(digest, None)
        for recorded in self._log.read(until):
            for digest, _ in named_by(recorded):
                spare.pop(digest, None)
        self._waiting.update(spare)
        return self._named

    def _store(self) -> None:
        try:
            self._log.shelf.store(
                _NAME, StoredView(version=_VERSION, position=self._position, data=b"")
            )
        except LogError:
            return  # it is only read again
        self._stored = self._position
