"""Simulated masters that keep data and replicate it, told what to do as Redis servers are.

The epoch is data, so replicas have it, and whoever lost its data has none. A fence is a demand for
more replicas than there can be; with it a primary takes no writes, and goes on to be replicated.
What a server is told is in its file when the steps say so: a fence and whom to follow at once, a
promotion with the switch. Its next process begins with that.

Invariant: what a server reports is what it has; nothing here knows what the log says of it.
"""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from engine.core.events import LoadReported
from engine.core.leasing import REDIS_SLACK_US
from engine.core.standing import Standing, is_kept
from engine.core.transfer import kept_digest
from engine.simulation.masters import CLOSED, Answer, Reply, SimulatedMaster, Sink, Status
from engine.simulation.streams import Data, Replication

OK: Final = Answer(status=Status.OK)
AGAIN: Final = Answer(status=Status.AGAIN)
REFUSED: Final = Answer(status=Status.REFUSED)
TEST: Final = 0  # the write of a verification


class _File(NamedTuple):
    """What the next process begins with."""

    is_replica: bool = True
    follows: str = ""
    is_fenced: bool = False
    is_usurper: bool = False


class Server(SimulatedMaster):
    """One of them."""

    def __init__(
        self,
        name: str,
        sink: Sink,
        *,
        acks_later: bool,
        believed: Callable[[SimulatedMaster], None] = lambda _: None,
        replication: Replication,
        lease_us: int,
        promoted: Callable[["Server", int, int], None] = lambda *_: None,
    ) -> None:
        """Begin as a replica of nobody, without data.

        Args:
            name: Its id.
            sink: Where messages end.
            acks_later: Whether it says "taken", and acknowledges messages later.
            believed: See `SimulatedMaster`.
            replication: How its group replicates.
            lease_us: How long a primary takes writes that no replica acknowledges; 0: for ever.
            promoted: Told of a failover and an epoch in which it became the primary.
        """
        self._keeps: Final = replication.keeps
        self._lease_us: Final = lease_us
        self._promoted: Final = promoted
        self.data: Final = Data(name)
        self.is_replica = True
        self.is_fenced = False
        self.is_demanding = True  # of a replica within the lease, as before its promotion
        self.is_linked = self.is_loading = False  # as its replication says
        self.stalled_until_us = 0  # its replication does not go on before [us]
        self.unlinked_us = 0  # for how long its primary sends nothing; 0: it does [us]
        self.acks: Final[dict[str, tuple[int, int]]] = {}  # by replica: position, when [us]
        self.waits: list[tuple[int, Reply]] = []  # clients, and the position that they wait for
        self.let: Standing | None = None  # how it stood when it was held against others
        self.beside = ""  # who acts as well, when it is told to fence itself
        self._file = _File()
        super().__init__(name, sink, acks_later=acks_later, believed=believed)
        self.speaks = True

    # Its process.

    def _forget(self) -> None:
        super()._forget()
        file = self._file
        self.is_replica, self.follows = file.is_replica, file.follows
        self.is_fenced, self.is_usurper = file.is_fenced, file.is_usurper
        self.is_demanding = True
        self.is_linked = self.is_loading = False
        self._hang_up()
        self.acks.clear()
        # Until a replica has said so nobody can tell that there is one.
        self.is_lapsed = self._lease_us > 0
        self._settle()

    def crash(self) -> None:
        """End the process; the next one has what its data and its file say."""
        super().crash()
        self._hang_up()

    def restart(self) -> None:
        """Start another process, with as much of its data as it keeps."""
        match self._keeps:
            case "nothing":
                self.data.clear()
            case "data":
                self.data.rename()
            case _:
                if not self._file.is_replica:
                    self.data.fork()
        super().restart()

    def empty(self) -> None:
        """Start another process, which has lost all data."""
        self.data.clear()
        super().restart()

    def retire(self) -> None:
        """Be looked after by somebody, so that the next process does not act."""
        self._file = _File(is_fenced=True)

    def _wipe(self) -> None:
        self.empty()

    def heal(self) -> None:
        """End every fault."""
        self.stalled_until_us = 0
        super().heal()

    def _save(self) -> None:
        self._file = _File(self.is_replica, self.follows, self.is_fenced, self.is_usurper)

    def _settle(self) -> None:
        """Be what its settings make of it."""
        self.role = "standby" if self.is_replica else "fenced" if self.is_fenced else "active"
        self.epoch = self.data.epoch
        self._believed(self)

    def _hang_up(self) -> None:
        """End the connections of all clients; what they wait for they never hear."""
        waits, self.waits = self.waits, []
        for _, reply in waits:
            reply(CLOSED)

    # What it is told by others than the engine.

    def claim(self, epoch: int) -> None:
        """Make it a primary, as somebody else than the engine would."""
        del epoch  # which is data, and nobody writes that by hand
        self._be_primary()
        self.is_usurper = True
        self._save()
        self._settle()

    def yield_(self) -> None:
        """Make it a replica of nobody, as somebody else than the engine would."""
        self.follow("")

    def follow(self, name: str) -> None:
        """Replicate from another server; "": from nobody. It stays so."""
        self._replicate_from(name)
        self._save()

    def _replicate_from(self, name: str) -> None:
        if not self.is_replica:
            self._hang_up()
        self.is_replica, self.follows, self.is_usurper = True, name, False
        self._settle()

    def _be_primary(self) -> None:
        if self.is_replica:
            self.data.fork()
        self.is_replica, self.follows, self.is_fenced = False, "", False

    # What its replication brings.

    def took(self) -> None:
        """Know the epoch that came with the data."""
        self.epoch = self.data.epoch

    def write(self, number: int, reply: Reply) -> None:
        """Take a write of a client, who hears of it when a replica has it."""
        if self.role != "active" or self.is_lapsed:
            reply(REFUSED)
            return
        self.data.append(number)
        self.waits.append((self.data.position, reply))

    def acked(self, replica: str, position: int, at_us: int) -> None:
        """Hear how much a replica has, and tell the clients who waited for that."""
        self.acks[replica] = position, at_us
        while self.waits and self.waits[0][0] <= position:
            self.waits.pop(0)[1](OK)

    def look_at_lease(self, now_us: int) -> None:
        """Take writes only while a replica has acknowledged within the lease."""
        if self._lease_us:
            is_good = any(now_us - at_us <= self._lease_us for _, at_us in self.acks.values())
            self.lapse(is_lapsed=self.is_demanding and not is_good)

    # What it answers.

    @property
    def reported_epoch(self) -> int:
        """Return the newest epoch that it knows."""
        return self.data.epoch

    def report(self) -> LoadReported:
        """Return its position, whom it follows, and the lease that it keeps."""
        is_kept = self._lease_us and (self.is_demanding or self.is_fenced)
        return LoadReported(
            position=self.data.position,
            lag_us=max(self.lag_us, self.unlinked_us) if self.is_replica else -1,
            lease_us=max(0, self._lease_us - REDIS_SLACK_US) if is_kept else 0,
            follows=f"{self.follows}:1" if self.follows else "",
        )

    def standing(self) -> Answer:
        """Return how it stands, for whoever compares it with others."""
        data = self.data
        standing = Standing(
            is_primary=not self.is_replica,
            history=data.history,
            earlier=data.earlier,
            earlier_end=data.earlier_end,
            position=data.position,
            is_linked=self.is_linked,
            is_loading=self.is_loading,
            follows=f"{self.follows}:1" if self.follows else "",
        )
        return Answer(
            status=Status.OK,
            epoch=data.epoch,
            standing=standing,
            is_fenced=self.is_fenced,
            # In the middle of a full copy it gives nothing to anybody: it is to drop what it has.
            holds=frozenset() if self.is_loading else frozenset(data.writes),
        )

    def _control(
        self, step: str, *, failover: int, epoch: int, kept: Mapping[str, bytes]
    ) -> Answer:
        key = (step, failover, epoch)
        if key in self._done:
            return self._done[key]  # a connection carries nothing twice
        if self.refusals:
            self.refusals -= 1
            return REFUSED
        match step:
            case "preflight":
                if self.is_loading or (self.is_replica and not self.is_linked):
                    return AGAIN
                return REFUSED if self.data.epoch > epoch else OK
            case "follow":
                return self._follow_leader()
            case "detach":
                self._replicate_from("")  # until it is told whom to follow, or started again
                return OK
            case "switch":
                self.is_demanding = True
                self._save()
                return OK
            case "fence":
                self._fence()
            case "promote" if self.data.epoch > epoch:
                return Answer(status=Status.STALE)
            case "promote" if self.is_loading:
                return AGAIN
            case "promote":
                self._promote(failover, epoch)
            case "verify":
                if self.is_replica or self.data.epoch != epoch:
                    return REFUSED
                if not self._sink.admit(self.name, epoch):
                    return Answer(status=Status.STALE)
                self.data.append(TEST)
            case "transfer" if not self._stands_still():
                return REFUSED
            case "transfer":
                pass
            case _:
                raise AssertionError(step)
        self.taken[self.boot, step, failover, epoch] += 1
        digest = kept_digest(kept) if step == "transfer" else ""
        self._done[key] = Answer(status=Status.OK, digest=digest)
        return self._done[key]

    def leave(self) -> Answer:
        """Leave whom it replicates from, who has lost its data."""
        if self.is_replica:
            self._replicate_from("")
        return OK

    def rejoin(self, source: str) -> Answer:
        """Take from `source` what it lacks, until it is told or started again."""
        if self.is_replica and self.follows != source:
            self._replicate_from(source)
        return OK

    def _stands_still(self) -> bool:
        """Replicate from nobody; return whether it has all still that it was let with."""
        self.leave()
        after = self.standing().standing
        return self.let is None or after is None or is_kept(self.let, after)

    def _fence(self) -> None:
        self._hang_up()
        self.is_fenced = True
        if self.beside:
            self.follow(self.beside)
        self._save()
        self._settle()

    def _promote(self, failover: int, epoch: int) -> None:
        if self.is_replica or self.is_fenced:
            # Nobody replicates from it yet, so it may demand nobody until the switch.
            self._be_primary()
            self.is_demanding = not failover  # outside a failover none comes after it
            if not failover:
                self._save()
        self.is_lapsed = self.is_lapsed and self.is_demanding
        self.is_usurper = False
        self.data.append(-epoch)
        self._settle()
        self._promoted(self, failover, epoch)

    def _follow_leader(self) -> Answer:
        if not self.leader:
            return REFUSED
        self.is_fenced = False
        if not self.is_replica or self.follows != self.leader:
            self.follow(self.leader)
        self._save()
        return OK
