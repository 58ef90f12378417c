"""Whether an heir has the newest data: masters that replicate, held against one another.

A master's data are a stream of writes with a name (its history) and a position in it. One that is
promoted begins a stream of its own where the one before ended, and remembers that one.

Rule 1: of members that share a stream none may have more of it than the heir, nor more of one that
began where that one ended, unless that was an attempt which traffic never went to.

Rule 2: who shares none with the heir has data of its own, and the heir does not stand in for it;
unless it knows nothing of the last activation that was served, whose data the heir has then. An
epoch that came after that says nothing: a fence is data as well, also of whoever was emptied. What
one that knows of no activation took since it was emptied is lost, and that is said. So may be what
a replica has that was started again and counts from 0; a primary that does is not passed over.

Rule 3: while a fenced member takes writes still, nobody knows how much it will have.

Rule 4: an heir without any data, in a group that was served, stands in for nobody who is silent.

Rule 5: what an heir was let with it must have still when nobody can take it away any more: whom it
replicates from may have been started again without its data meanwhile.

Rule 6: an heir leaves at once whom it replicates from if that one knows an older epoch: it has lost
its data, and what it sends would take the place of the heir's own.

Rule 7: an heir that replicates from nobody any more takes what it lacks from a fenced primary of
its stream. A primary sends on while nobody writes (Redis: a PING every ten seconds), so an engine
that was killed after a transfer may find its heir behind.

Rule 8: in the middle of a full copy nobody is let, whatever the policy allows to be lost.
"""

from collections.abc import Iterable
from enum import Enum
from typing import Final

import msgspec

from engine.core.events import LoadReported
from engine.core.fleet import Role

EMPTY: Final = 1  # the highest position of a server that has no data


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """What a master says of its replication."""

    is_primary: bool
    history: str  # the id of the stream of writes that its data come from
    earlier: str  # the one before it, if it was promoted; "" if there is none
    earlier_end: int  # up to where it has that one [bytes]
    position: int  # in the stream of its history [bytes]
    is_linked: bool  # a replica whose primary sends
    is_loading: bool  # a full copy is under way, so what it has is not whole
    follows: str

    @property
    def holds_data(self) -> bool:
        """Return whether it has taken in any writes; one that starts empty is at 0 or 1."""
        return self.position > EMPTY

    def shared(self, other: "Standing") -> tuple[int, int] | None:
        """Return up to where it and `other` have the newest stream that both are of [bytes].

        None: their data have nothing in common, as those of one that was emptied.
        """
        for history in (self.history, self.earlier):
            if history and history in (other.history, other.earlier):
                return self._upto(history), other._upto(history)
        return None

    def _upto(self, history: str) -> int:
        return self.position if history == self.history else min(self.position, self.earlier_end)

    def report(self) -> LoadReported:
        """Return it as what the log keeps of it."""
        return LoadReported(position=self.position, follows=self.follows)


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """A member of the group, beside the heir, that answered."""

    name: str
    place: str  # its host and port, as others say whom they follow
    role: Role  # as the log has it
    standing: Standing
    is_fenced: bool  # a primary that says it takes no writes
    knows: int  # the newest epoch that it knows


class Bar(Enum):
    """Whether what an heir lacks keeps it from being promoted."""

    ALWAYS = "always"
    UNLESS_ALLOWED = "unless allowed"  # by a policy that lets data go
    NEVER = "never"  # nobody else has more of what counts


class Lack(msgspec.Struct, frozen=True, kw_only=True):
    """What an heir does not have, as the first rule says that finds something."""

    detail: str  # for people
    bytes: int  # at least so much of another's data; 0: perhaps nothing
    is_moving: bool  # it may still come
    source: str = ""  # the place of a primary to take it from, if the heir replicates from nobody
    bar: Bar = Bar.UNLESS_ALLOWED

    def is_let(self, *, allow_loss: bool) -> bool:
        """Return whether the heir is promoted nevertheless."""
        return self.bar is Bar.NEVER or (allow_loss and self.bar is not Bar.ALWAYS)


def lack(
    heir: Standing, epoch: int, heard: Iterable[Heard], *, silent: Iterable[str], served: int
) -> Lack | None:
    """Return what the heir lacks; None: nothing that anybody who answered has.

    Args:
        heir: How it stands.
        epoch: The newest one that it knows; 0: none.
        heard: All other members that answered.
        silent: The names of those that did not.
        served: The epoch of the last activation that traffic went to; 0: there was none.
    """
    if heir.is_loading:
        text = "it is in the middle of a full copy"
        return Lack(detail=text, bytes=1, is_moving=True, bar=Bar.ALWAYS)
    detail, size, is_moving, source = "", 0, False, ""
    dropped: Lack | None = None
    for other in heard:
        theirs = other.standing
        if other.role is Role.FENCED and theirs.is_primary and not other.is_fenced:
            detail, is_moving = detail or f"{other.name} takes writes still", True
        if theirs.history != heir.history and other.knows < min(epoch, served):
            # The heir's data are of a later activation.
            if theirs.holds_data and not other.knows:
                text = f"{other.name} has {theirs.position} bytes, and knows of no activation"
                dropped = Lack(detail=text, bytes=theirs.position, is_moving=False, bar=Bar.NEVER)
            continue
        shared = theirs.shared(heir)
        if shared is None:
            # An epoch is data: who was started again may count from 0, and have some.
            counts, knows_it = theirs.holds_data, 0 < other.knows >= epoch
            if counts or (knows_it and (theirs.is_primary or other.knows > epoch)):
                figures = f"{theirs.position}, {heir.position}"
                detail = detail or f"{other.name} has data of another history: {figures}"
                size = max(size, theirs.position)
                is_moving = is_moving or (theirs.is_primary and heir.follows == other.place)
            elif knows_it:
                text = f"what {other.name} has cannot be compared: it was started again"
                dropped = dropped or Lack(detail=text, bytes=0, is_moving=False, bar=Bar.NEVER)
            continue
        has, ours = shared
        if theirs.history not in (heir.history, heir.earlier) and other.knows <= served:
            # Its stream went to clients, and from where it begins the heir's went elsewhere.
            has, ours = theirs.position, min(has, ours)
        if has > ours:
            more = has - ours
            detail = detail or f"{other.name} has {more} bytes more: {has}, {ours}"
            size = max(size, more)
            if _can_send(other, heir, epoch):
                is_moving, source = True, source or ("" if heir.is_linked else other.place)
            is_moving = is_moving or (theirs.is_primary and heir.is_linked)
    names = " and ".join(sorted(silent))
    if served and not epoch and not heir.holds_data and names:
        detail = detail or f"it has no data, and {names} may have some: no answer from there"
    if not detail:
        return dropped
    return Lack(detail=detail, bytes=max(1, size), is_moving=is_moving, source=source)


def _can_send(other: Heard, heir: Standing, epoch: int) -> bool:
    """Return whether `other` is a fenced primary that the heir's data are a part of."""
    theirs = other.standing
    return (
        theirs.is_primary
        and other.is_fenced
        and not heir.is_primary
        and theirs.history == heir.history
        and other.knows >= epoch
    )


def is_misled(heir: Standing, epoch: int, heard: Iterable[Heard]) -> bool:
    """Return whether whom an heir replicates from has lost its data; `epoch` is what it knows."""
    return any(other.place == heir.follows and other.knows < epoch for other in heard)


def is_kept(before: Standing, after: Standing) -> bool:
    """Return whether an heir has all still that it had before."""
    shared = after.shared(before)
    if shared is None:
        return not before.holds_data
    return shared[0] >= shared[1]
