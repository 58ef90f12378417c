"""The ways between the engine, other observers and the masters, each direction with its own faults.

Chance is counting: of the packets of a way every n-th one is lost, repeated or late, so that the
same schedule gives the same run. The long tail of delays is counted too: every second packet takes
twice as long as the shortest, every fourth four times, and so on.
"""

from collections.abc import Callable, Iterable
from typing import Final

from engine.core.policy import MS

LATENCY_US: Final = 200  # of one way without faults
OVERTAKEN_US: Final = 3 * MS  # how much later a packet arrives that others overtake
TAIL_MAX: Final = 12  # doublings of the shortest delay
ENGINE: Final = ""  # its node; the others go by their names

Action = Callable[[], None]
Later = Callable[[int, Action], None]


class Way:
    """One direction between two nodes."""

    __slots__ = (
        "_count", "_held", "_later", "is_blocked", "is_cut", "is_held", "is_lost", "is_plain",
        "late_every", "lost_every", "more_us", "tail_us", "twice_every",
    )  # fmt: skip

    def __init__(self, later: Later) -> None:
        self._later = later
        self._count = 0
        self._held: list[Action] = []
        self.is_blocked = False  # by a partition
        self.heal()

    def heal(self) -> None:
        """End every fault of this way but a partition; what was held arrives."""
        self.is_cut = self.is_lost = self.is_held = False
        self.lost_every = self.twice_every = self.late_every = self.tail_us = self.more_us = 0
        self.release()
        self.note()

    def release(self) -> None:
        """Let what was held arrive."""
        held, self._held = self._held, []
        for action in held:
            self._later(LATENCY_US, action)

    def note(self) -> None:
        """Take note of what was changed: whether a packet simply arrives."""
        self.is_plain = not (
            self.is_blocked or self.is_cut or self.is_lost or self.is_held
            or self.lost_every or self.twice_every or self.late_every
            or self.tail_us or self.more_us
        )  # fmt: skip

    def block(self, is_blocked: bool) -> None:
        """Let nothing through, or let it through again."""
        self.is_blocked = is_blocked
        self.note()

    @property
    def is_closed(self) -> bool:
        """Return whether nothing gets through."""
        return self.is_blocked or self.is_cut or self.is_lost

    def carry(self, action: Action) -> None:
        """Let `action` happen when a packet arrives that is sent now: once, twice, or never."""
        if self.is_plain:
            self._later(LATENCY_US, lambda: self._arrive(action))
            return
        self._count += 1
        if self.is_closed or self._is_turn(self.lost_every):
            return
        if self.is_held:
            self._held.append(action)
            return
        after_us = LATENCY_US + self.more_us
        if self._is_turn(self.late_every):
            after_us += OVERTAKEN_US
        if self.tail_us:
            twos = (self._count & -self._count).bit_length() - 1
            after_us += self.tail_us << min(twos, TAIL_MAX)
        self._later(after_us, lambda: self._arrive(action))
        if self._is_turn(self.twice_every):
            self._later(after_us + LATENCY_US, lambda: self._arrive(action))

    def _arrive(self, action: Action) -> None:
        if not self.is_closed:
            action()

    def _is_turn(self, every: int) -> bool:
        return every > 0 and self._count % every == 0


class Pair:
    """The two ways between the engine and a master."""

    __slots__ = ("back", "flap_us", "is_plain", "there")

    def __init__(self, later: Later) -> None:
        self.there = Way(later)
        self.back = Way(later)
        self.flap_us = 0
        self.is_plain = True  # a packet simply arrives, either way

    def _note(self) -> None:
        for way in (self.there, self.back):
            way.note()
        self.is_plain = self.there.is_plain and self.back.is_plain

    def strike(self, kind: str, count: int) -> None:
        """Let a fault befall the ways, or end one."""
        both = (self.there, self.back)
        match kind:
            case "cut" | "join":
                for way in both:
                    way.is_cut = kind == "cut"
            case "mute" | "unmute":
                self.back.is_lost = kind == "mute"
            case "unheard" | "heard":
                self.there.is_lost = kind == "unheard"
            case "slow":
                self.back.more_us = count
            case "lossy":
                for way in both:
                    way.lost_every = count
            case "repeat":
                for way in both:
                    way.twice_every = count
            case "reorder":
                for way in both:
                    way.late_every = count
            case "tail":
                for way in both:
                    way.tail_us = count
            case "hold":
                for way in both:
                    way.is_held = True
            case "burst":
                for way in both:
                    way.is_held = False
                    way.release()
            case _:
                raise AssertionError(kind)
        self._note()

    def heal(self) -> None:
        """End every fault."""
        self.flap_us = 0
        for way in (self.there, self.back):
            way.heal()
        self._note()

    def block(self, is_blocked: bool) -> None:
        """Let nothing through either way, or let it through again."""
        for way in (self.there, self.back):
            way.block(is_blocked)
        self._note()


class Network:
    """All ways, and the partitions of the whole."""

    def __init__(
        self, masters: Iterable[str], *, observers: Iterable[str] = (), later: Later
    ) -> None:
        """Begin without a fault."""
        self._later: Final = later
        self.pairs: Final = {name: Pair(later) for name in masters}  # of the engine
        self.posts: Final = {name: Way(later) for name in observers}  # to the engine
        self.severed: Final[set[str]] = set()  # masters that no other master reaches
        self._part: Callable[[str, str], bool] = _is_whole
        # Of the other observers.
        self.beside: Final = {
            (observer, name): Pair(later) for observer in self.posts for name in self.pairs
        }

    def strike(self, kind: str, master: str, count: int) -> None:
        """Let a fault befall the ways to `master`, or end one."""
        pair = self.pairs[master]
        match kind:
            case "flap":
                was_steady, pair.flap_us = not pair.flap_us, max(MS, count)
                if was_steady:
                    self._flap(pair, "cut")
            case "steady":
                pair.flap_us = 0
            case _:
                pair.strike(kind, count)

    def _flap(self, pair: Pair, kind: str) -> None:
        if not pair.flap_us:
            kind = "join"
        pair.strike(kind, 0)
        if pair.flap_us:
            after = "join" if kind == "cut" else "cut"
            self._later(pair.flap_us, lambda: self._flap(pair, after))

    def part(self, kind: str, subject: str, count: int) -> None:
        """Divide the nodes as a partition says, or mend it.

        The nodes are the engine, the other observers and the masters, in this order.
        """
        nodes = (ENGINE, *self.posts, *self.pairs)
        place = {node: index for index, node in enumerate(nodes)}
        alone = subject or ENGINE
        size = min(max(1, count), len(nodes) - 1)

        def is_blocked(one: str, other: str) -> bool:
            here, there = place[one], place[other]
            match kind:
                case "isolate":
                    return alone in (one, other)
                case "halves":
                    return (here < size) is not (there < size)
                case "bridge":  # it reaches both halves, and passes nothing on
                    is_bridge = size - 1 in (here, there)
                    return (here < size) is not (there < size) and not is_bridge
                case "ring":
                    return abs(here - there) not in (1, len(nodes) - 1)
                case "mend":
                    return False
                case _:
                    raise AssertionError(kind)

        self._part = _is_whole if kind == "mend" else is_blocked
        for name, pair in self.pairs.items():
            pair.block(is_blocked(ENGINE, name))
        for (observer, name), pair in self.beside.items():
            pair.block(is_blocked(observer, name))
        for observer, way in self.posts.items():
            way.block(is_blocked(observer, ENGINE))

    def reach(self, one: str, other: str) -> bool:
        """Return whether two masters reach each other."""
        is_severed = one in self.severed or other in self.severed
        return not is_severed and not self._part(one, other)

    def heal(self) -> None:
        """End every fault."""
        self.part("mend", "", 0)
        self.severed.clear()
        for pair in (*self.pairs.values(), *self.beside.values()):
            pair.heal()
        for way in self.posts.values():
            way.heal()


def _is_whole(_: str, __: str) -> bool:
    """Return that nothing is blocked between two nodes."""
    return False
