"""A lull: good probes one after the other, in which every master says what it said before.

Nine of ten events of a log lie in one. What they change in the state follows from the last one of
each master and from how many there were. So whoever reads a log back may take them together, at a
part of what each would cost, and with the same result.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, Protocol, TypeAlias

import msgspec

from engine.core.events import Recorded
from engine.core.folds.watch import is_open
from engine.core.state import State

EVENTS_MIN: Final = 32  # a shorter one costs as much as its events
EACH_EVENTS: Final = 8  # of each master on average: with fewer it is quicker to fold one by one
PATIENCE_EVENTS: Final = 64  # taken one by one where there is no lull, before it is looked again
_OWN: Final = ""  # the engine's own eye

Said: TypeAlias = tuple[str, int | None, str]  # boot, epoch, role
Known: TypeAlias = tuple[int, Said]  # the number of the last probe of a master, and what it says


class Lull(msgspec.Struct, frozen=True, gc=False):
    """Good probes in a row, all by the engine's own eye."""

    count: int
    at_us: int  # of the last one
    heard: list[tuple[str, int, int, int, int]]
    # of each master: its name, how many of them, and of its last one the place from 0, the time and
    # the number


class Stretch(Protocol):
    """Events of a log that follow each other, as columns."""

    @property
    def seqs(self) -> Sequence[int]:
        """Return their seqs."""

    @property
    def times(self) -> Sequence[int]:
        """Return their times [us]."""

    def recorded(self, begin: int, end: int) -> list[Recorded]:
        """Return the events from one place to before another.

        Raises:
            LogTooNew: An event is of a kind that this release does not know.
            LogCorrupted: An event cannot be decoded.
        """

    def good_until(self, begin: int) -> int:
        """Return the first place from `begin` on that has no good probe; the end if all have."""

    def masters(self, begin: int, end: int) -> set[str]:
        """Return whom the events from one place to before another are about."""

    def lull(self, begin: int, end: int, known: Mapping[str, Known]) -> Lull | None:
        """Return what the good probes from one place to before another amount to.

        Args:
            begin: The place of the first one.
            end: The place after the last one.
            known: What was there before of all whom they are about.

        Returns:
            None: somebody says another thing than before, numbers do not ascend, or another
            observer has asked.
        """


def known_of(state: State, masters: Iterable[str]) -> dict[str, Known] | None:
    """Return the last number of each of these masters and what it says.

    None: for one of them, an answer like its last one moves more than counters.
    """
    places, found = state.cache.places, {}
    for name in masters:
        place = places.get(name)
        if place is None or not place.is_plain:
            return None
        master = place.master
        said = (master.boot, master.reported_epoch, master.reported_role)
        found[name] = (master.observers.get(_OWN, 0), said)
    return found


def settle(state: State) -> None:
    """Note of a restored state which masters have nothing to be settled.

    An answer like the last one moves nothing but the counters of these, as it did not when the
    state was stored. Whoever was not heard since an engine started is none of them: the next answer
    may be what is waited for.
    """
    started_us, places = state.fleet.started_us, state.cache.places
    for group in state.groups.values():
        probe = state.policy_of(group).probe
        if probe.phi is not None or probe.slow_us:
            continue
        for name, master in group.masters.items():
            if _OWN in master.observers and master.good_us > started_us and not is_open(master):
                place = places[name]
                place.is_plain = place.is_steady = True


def follows(state: State, stretch: Stretch, begin: int, end: int) -> bool:
    """Return whether the events from one place to before another come next after `state`."""
    seqs = stretch.seqs
    return (
        seqs[begin] == state.seq + 1
        and seqs[end - 1] == state.seq + end - begin
        and stretch.times[begin] >= state.at_us
    )


def take(state: State, lull: Lull) -> None:
    """Evolve `state`, for which `known_of` has given what the lull was looked for with."""
    places, first = state.cache.places, state.seq + 1
    for name, count, place, at_us, number in lull.heard:
        master = places[name].master
        master.observers[_OWN] = number
        master.heard_us = master.good_us = at_us
        master.good_seq = first + place
        master.good += count
    state.seq += lull.count
    state.at_us = lull.at_us


def go_through(
    stretch: Stretch,
    lull: Callable[[Stretch, int], int],
    each: Callable[[list[Recorded]], None],
) -> None:
    """Take all of a stretch: lulls as a whole, and what lies between them one by one.

    Args:
        stretch: The events.
        lull: Takes the lull that begins at a place; returns how many events it had [count]; 0: none
            begins there, and nothing was taken.
        each: Takes events.
    """
    place, end, patience = 0, len(stretch.seqs), PATIENCE_EVENTS
    while place < end:
        count = lull(stretch, place)
        if count:
            patience = PATIENCE_EVENTS
        else:
            count = min(patience, end - place)
            each(stretch.recorded(place, place + count))
            patience *= 2
        place += count
