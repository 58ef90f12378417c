"""The simulated masters, and the sink where the fleet's work ends.

A master answers as the HTTP protocol says: steps are idempotent by (failover, step, epoch), only
what went well is remembered, an epoch older than the newest one is refused. All of it is forgotten
when its process ends.

Invariant: the sink is struck by no fault, so that what it counted is the truth.
"""

import enum
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from engine.core.events import LoadReported
from engine.core.standing import Standing
from engine.core.transfer import kept_digest


class Status(enum.Enum):
    """How a master answered."""

    OK = 200
    TAKEN = 202  # acknowledged later
    ERROR = 500  # it may have been done
    STALE = 409
    REFUSED = 423
    AGAIN = 503  # not yet: it is tried again within its time
    CLOSED = 0  # the connection ended without an answer


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What came back for a request."""

    status: Status
    digest: str = ""
    boot: str = ""
    epoch: int = 0
    role: str = ""
    is_poor: bool = False
    # Of one that keeps data and is held against others.
    standing: Standing | None = None
    is_fenced: bool = False
    holds: frozenset[int] = frozenset()  # the writes that it has, for whoever looks on


Request = Callable[[], Answer | None]  # None: there will be no answer
Reply = Callable[[Answer], None]
CLOSED: Final = Answer(status=Status.CLOSED)


class Applied(msgspec.Struct, frozen=True, kw_only=True):
    """A message that took effect, by whom, and when."""

    key: str
    master: str
    epoch: int


class Sink:
    """What the masters act upon: it refuses repeated keys, and epochs older than the newest."""

    def __init__(self, *, is_shared: bool) -> None:
        """Begin empty; where masters serve at once (`is_shared`), each has a newest epoch."""
        self.applied: Final[list[Applied]] = []
        self.count: Final[Counter[str]] = Counter()  # by key
        self.admitted: Final[set[tuple[int, str]]] = set()  # epochs and who acted under them
        self.newest: Final[Counter[str]] = Counter()  # by master if it is shared, else one
        self.refused_stale = 0
        self.refused_repeated = 0
        self._is_shared: Final = is_shared

    @property
    def applied_twice(self) -> int:
        """Return how many keys took effect more than once."""
        return sum(times > 1 for times in self.count.values())

    def forget(self) -> None:
        """Forget the newest epochs, after an older copy of the log was put back.

        Only where all serve at once: nobody is verified there by real work, so an engine that draws
        from the older copy would not learn that its epochs are refused. Elsewhere it does.
        """
        if self._is_shared:
            self.newest.clear()

    def admit(self, master: str, epoch: int) -> bool:
        """Return whether `master` may act under `epoch`."""
        scope = master if self._is_shared else ""
        if epoch < self.newest[scope]:
            self.refused_stale += 1
            return False
        self.newest[scope] = epoch
        self.admitted.add((epoch, master))
        return True

    def apply(self, master: str, epoch: int, key: str) -> bool:
        """Return False if the epoch is stale; else the message has taken effect, once."""
        if not self.admit(master, epoch):
            return False
        if self.count[key]:
            self.refused_repeated += 1
        else:
            self.count[key] += 1
            self.applied.append(Applied(key=key, master=master, epoch=epoch))
        return True


class Phase(enum.Enum):
    """What the process of a master does."""

    UP = "up"
    HUNG = "hung"  # it takes requests and executes them when it continues
    DOWN = "down"


class SimulatedMaster:
    """One master: a process with a boot, a role, an epoch, and requests in its buffer."""

    def __init__(
        self,
        name: str,
        sink: Sink,
        *,
        acks_later: bool,
        believed: Callable[["SimulatedMaster"], None] = lambda _: None,
    ) -> None:
        """Begin as a process that was just started and stands by.

        `believed` is told whenever it may have begun or ceased to believe itself active.
        """
        self.name: Final = name
        self.phase = Phase.UP
        self.is_poor = False
        self.is_gray = False  # it answers probes only
        self.is_shy = False  # it answers no probes
        self.refusals = 0
        self.lies = 0
        self.repeats = 0
        self.lag_us = 0
        self.deaf = 0  # of so many probes it answers one; 0: all
        self.struck = 0  # what befell it [count]
        self.speaks = False  # it says whom it follows, and what lease it keeps
        self.lease_us = -1  # what it says of that [us]
        self.leader = ""  # whom to follow when it is told to
        self._heard = 0
        self._believed: Final = believed
        self.is_usurper = False  # somebody made it active, and no engine did
        self.taken: Final[Counter[tuple[str, str, int, int]]] = Counter()  # boot, step, id, epoch
        self._sink: Final = sink
        self._acks_later: Final = acks_later
        self._starts = 0
        self._buffer: list[tuple[Request, Reply]] = []
        self.boot = ""
        self._forget()

    def _forget(self) -> None:
        self._starts += 1
        self.boot = f"{self.name}{self._starts}"
        self.role = "standby"
        self.epoch = 0
        self.is_usurper = False
        self.follows = ""  # whom it replicates from
        self.is_lapsed = False  # the lease has run out without which it does not act
        self._newest = 0
        self._done: dict[tuple[str, int, int], Answer] = {}
        self._believed(self)

    @property
    def is_plain(self) -> bool:
        """Return whether it simply answers a probe, and that it is well."""
        return self.phase is Phase.UP and not (
            self.is_poor or self.is_shy or self.deaf or self.repeats
        )

    @property
    def believes(self) -> bool:
        """Return whether its process runs and believes that an engine made it active."""
        if self.is_usurper or self.is_lapsed:
            return False
        return self.role == "active" and self.phase is not Phase.DOWN

    # What befalls it.

    def receive(self, request: Request, reply: Reply) -> None:
        """Take a request that arrived: now, when it continues, or never."""
        match self.phase:
            case Phase.UP:
                self._execute(request, reply)
            case Phase.HUNG:
                self._buffer.append((request, reply))
            case Phase.DOWN:
                reply(CLOSED)

    def _execute(self, request: Request, reply: Reply) -> None:
        if self.repeats:
            self.repeats -= 1
            request()
        answer = request()
        if answer is not None:
            reply(answer)

    def crash(self) -> None:
        """End the process; who waits for an answer sees the connection end."""
        self.struck += 1
        self.phase = Phase.DOWN
        self._believed(self)
        buffer, self._buffer = self._buffer, []
        for _, reply in buffer:
            reply(CLOSED)

    def restart(self) -> None:
        """Start another process, which knows nothing."""
        if self.phase is not Phase.DOWN:
            self.crash()
        self.struck += 1
        self.phase = Phase.UP
        self._forget()

    def hang(self) -> None:
        """Stop the process where it stands."""
        if self.phase is Phase.UP:
            self.phase = Phase.HUNG
            self._believed(self)

    def go_on(self) -> None:
        """Continue a hung process: it executes what waits in its buffer first."""
        if self.phase is Phase.HUNG:
            self.phase = Phase.UP
            self._believed(self)
            buffer, self._buffer = self._buffer, []
            for request, reply in buffer:
                self._execute(request, reply)

    def strike(self, kind: str, count: int) -> None:
        """Let a fault befall it that ends no process, or end one."""
        self.struck += 1
        match kind:
            case "hang":
                self.hang()
            case "continue":
                self.go_on()
            case "poor" | "well":
                self.is_poor = kind == "poor"
            case "refuse":
                self.refusals = count
            case "lie":
                self.lies = count
            case "twice":
                self.repeats = count
            case "sick" | "sound":
                self.deaf = count if kind == "sick" else 0
            case "gray":
                self.is_gray = True
            case "shy":
                self.is_shy = True
            case "open":
                self.is_gray = self.is_shy = False
            case "wipe":
                self._wipe()
            case "lags":
                self.lag_us = count
            case _:
                raise AssertionError(kind)

    def _wipe(self) -> None:
        self.role, self.epoch, self._newest, self.is_usurper = "standby", 0, 0, False
        self._done.clear()
        self.taken.clear()  # what it takes again it does not take twice
        self._believed(self)

    def heal(self) -> None:
        """End every fault; one that has none is not touched."""
        if self.is_plain and not (self.is_gray or self.refusals or self.lies or self.lag_us):
            return
        self.struck += 1
        self.is_poor = self.is_gray = self.is_shy = False
        self.refusals = self.lies = self.repeats = self.deaf = self.lag_us = 0
        self.go_on()
        if self.phase is Phase.DOWN:
            self.restart()

    def claim(self, epoch: int) -> None:
        """Make it active, as somebody else than the engine would."""
        self.role, self.epoch, self._newest = "active", epoch, max(epoch, self._newest)
        self.is_usurper, self.follows, self.is_lapsed = True, "", False
        self._believed(self)

    def yield_(self) -> None:
        """Make it a standby again, as somebody else than the engine would."""
        self.role, self.epoch, self.is_usurper = "standby", 0, False
        self._believed(self)

    def follow(self, name: str) -> None:
        """Replicate from another master; "": from nobody."""
        self.follows = name
        self._believed(self)

    def lapse(self, *, is_lapsed: bool) -> None:
        """Stop acting because the lease ran out, or act again."""
        if self.is_lapsed is not is_lapsed:
            self.is_lapsed = is_lapsed
            self._believed(self)

    # What it answers.

    def hears(self) -> bool:
        """Return whether it hears this probe."""
        if self.is_shy:
            return False
        self._heard += 1
        return not self.deaf or self._heard % self.deaf == 0

    @property
    def reported_epoch(self) -> int:
        """Return the epoch that it acts under, or else the newest that it knows."""
        return self.epoch if self.role == "active" else self._newest

    def report(self) -> LoadReported:
        """Return what it says of its data, and of the lease that it keeps."""
        follows = f"{self.follows}:1" if self.follows else ""
        return LoadReported(lag_us=self.lag_us, lease_us=self.lease_us, follows=follows)

    def health(self) -> Answer:
        """Return its boot, the epoch that it acts under or else the newest it knows, its role."""
        return Answer(
            status=Status.OK,
            boot=self.boot,
            epoch=self.reported_epoch,
            role=self.role,
            is_poor=self.is_poor,
        )

    def control(
        self, step: str, *, failover: int, epoch: int, kept: Mapping[str, bytes]
    ) -> Answer | None:
        """Take a step of a failover once; `kept` are the digests of the state that comes along."""
        if self.is_gray:
            return None
        answer = self._control(step, failover=failover, epoch=epoch, kept=kept)
        if self.lies and answer.status is Status.OK:
            self.lies -= 1
            return Answer(status=Status.ERROR)
        return answer

    def _control(
        self, step: str, *, failover: int, epoch: int, kept: Mapping[str, bytes]
    ) -> Answer:
        key = (step, failover, epoch)
        if key in self._done:
            return self._done[key]
        if self.refusals:
            self.refusals -= 1
            return Answer(status=Status.REFUSED)
        if step in ("follow", "detach"):
            if self.role == "active":
                return Answer(status=Status.REFUSED)
            self.follow(self.leader if step == "follow" else "")
            return Answer(status=Status.OK)
        if step == "preflight":
            return Answer(status=Status.OK)
        if epoch < self._newest:
            return Answer(status=Status.STALE)
        self._newest = epoch
        digest = ""
        match step:
            case "fence":
                self.yield_()
            case "transfer":
                digest = kept_digest(kept)
            case "promote":
                self.role, self.epoch, self.is_usurper = "active", epoch, False
                self.follows, self.is_lapsed = "", False
                self._believed(self)
            case "verify":
                if self.epoch != epoch or not self._sink.admit(self.name, epoch):
                    return Answer(status=Status.STALE)
            case _:
                raise AssertionError(step)
        self.taken[self.boot, step, failover, epoch] += 1
        self._done[key] = Answer(status=Status.OK, digest=digest)
        return self._done[key]

    def deliver(self, key: str, *, epoch: int) -> Answer | None:
        """Do a message, if it is active under `epoch` and the sink lets it."""
        if self.is_gray:
            return None
        if self.role != "active" or self.is_lapsed or epoch != self.epoch:
            return Answer(status=Status.STALE)
        if not self._sink.apply(self.name, epoch, key):
            return Answer(status=Status.STALE)
        return Answer(status=Status.TAKEN if self._acks_later else Status.OK)
