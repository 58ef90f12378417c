"""One master, watched over connections: probes over one that is held open, and over fresh ones.

Rules:
- One probe at a time, and each gets exactly one result: `Answer`, `Failure` or `Interrupted`.
- A held connection that ends is a question, told to `on_closed` at once. The probe that was under
  way on it has no verdict: the caller asks again over a fresh connection.
- A connection that let a probe wait too long is kept, because its end is the first sign that a
  master that hangs has died; but the next probe takes a fresh one, because a firewall may have
  forgotten the old one while the master is well. A late answer on it counts for nothing but this:
  the connection may be used again.
- Where the observer itself was so late that the time-out says little, the held connection carries
  the next probe as well: one that cannot keep up must not take to opening connections.
- A fresh connection that is cut before it answers is tried once more: a process that dies, or a
  worker that is replaced, closes its listening socket a moment after the connections in its queue.
- Before a time-out is judged, everything that is ready is read. `late_us` tells how late the
  observer itself was.

What is asked, and what an answer says, is the dialect's.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Final, Generic

from engine.core.events import Evidence
from engine.runtime.clock import monotonic_us
from engine.runtime.connection import Connection, NoConnection, Place, R, begin, dial
from engine.runtime.dialects import Dialect
from engine.runtime.rota import Rota
from engine.runtime.seen import (
    LATE_OWN_US,
    Failure,
    Interrupted,
    OnClosed,
    Probed,
    Tell,
    own_trouble,
    shortened,
)

SHORT_MAX: Final = 3  # connections that end after one answer, before none is held for a while
NOT_HELD_US: Final = 60_000_000
EXCUSED_MAX: Final = 1  # probes that the held connection may owe an answer to when it is asked
LOOKS: Final = 8  # looks at the clock while a connection opens [count per time-out]


class HeldLink(Generic[R]):
    """The connection to one master, and the probes over it.

    Args:
        place: Where the master listens.
        dialect: What is spoken there.
        on_closed: Told at once when the held connection ends: CLOSED or RESET.
        hold_open: False: every probe takes a connection of its own.
        clock: Returns the time since some fixed moment [us].
        rota: Who is called when, by that clock; None: a rota of its own.
    """

    is_waiting = False

    def __init__(
        self,
        place: Place,
        dialect: Dialect[R],
        on_closed: OnClosed,
        *,
        hold_open: bool = True,
        clock: Callable[[], int] = monotonic_us,
        rota: Rota | None = None,
    ) -> None:
        self._place = place
        self._dialect = dialect
        self._question = dialect.question
        self._on_closed = on_closed
        self._hold_open = hold_open
        self._clock = clock
        self._held: Connection[R] | None = None
        self._fresh: Connection[R] | None = None  # of the probe under way, until it is answered
        self._opening: asyncio.Task[None] | None = None  # set for a probe over a fresh one
        self._begun: socket.socket | NoConnection | None = None  # what that one begins with
        self._tasks: set[asyncio.Task[None]] = set()  # that one and those being cancelled
        self._tell: Tell | None = None  # who waits for the probe under way
        self._probe: asyncio.Future[Probed] | None = None  # of it, if that is what was asked for
        self._count = 0  # of probes that ended
        self._alarm = (rota or Rota(clock)).alarm(self._on_time)
        self._asked_us = 0
        self._due_us = 0
        self._step_us = 0
        self._look_us = 0  # the next look while a connection opens; 0: none opens
        self._late_us = 0
        self._excused = 0  # probes that the held connection may still owe an answer to
        self._is_retried = False
        self._is_closed = False
        self._held_answers = 0  # over the connection that is held
        self._short = 0  # held connections in a row that ended after their first answer
        self._hold_from_us = 0

    def probe(self, *, fresh: bool, timeout_us: int) -> asyncio.Future[Probed]:
        """Return the future result of a probe, as `ask` tells it."""
        probe: asyncio.Future[Probed] = asyncio.get_running_loop().create_future()

        def tell(probed: Probed) -> None:
            if not probe.done():
                probe.set_result(probed)

        self.ask(fresh=fresh, timeout_us=timeout_us, tell=tell)
        if not probe.done():
            self._probe = probe
        return probe

    def ask(self, *, fresh: bool, timeout_us: int, tell: Tell) -> None:
        """Let `tell` know the result of a probe, at the latest `timeout_us` from now.

        Args:
            fresh: Take a new connection, which is held from its answer on in place of the old one.
                False: the held one, or a new one if there is none that has answered everything.
            timeout_us: An answer later than this is overdue [us, > 0].
            tell: Called once, before this returns if a refusal is known at once; it asks for
                nothing itself.
        """
        assert timeout_us > 0
        assert not self._is_closed
        if self._tell is not None:
            assert self._probe is not None, "one probe at a time"
            assert self._probe.cancelled(), "one probe at a time"
            self._end_probe()
        self._tell = tell
        self._asked_us = self._clock()
        self._due_us = self._asked_us + timeout_us
        self._late_us = 0
        held = self._held
        if held is not None and held.owing <= self._excused and not fresh and self._question:
            self._look_us = 0
            self._alarm.set(self._due_us)
            held.send(self._question)
        else:
            self._step_us = max(1, timeout_us // LOOKS)
            self._look_us = self._asked_us + self._step_us
            self._alarm.set(self._look_us)
            self._is_retried = False
            self._start_opening()

    async def close(self) -> None:
        """End the probe under way, if any, and close everything; nothing is reported."""
        self._is_closed = True
        if self._probe is not None:
            self._probe.cancel()
        self._end_probe()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._held is not None:
            self._held.drop()
            self._held = None
        await self._place.close()
        await asyncio.sleep(0)  # transports close their sockets in the next turn of the loop

    def _start_opening(self) -> None:
        begun = begin(self._place)
        if isinstance(begun, NoConnection) and begun.evidence is Evidence.REFUSED:
            self._fail(begun.evidence, begun.detail)
            return
        self._begun = begun
        self._opening = asyncio.get_running_loop().create_task(self._open())
        self._tasks.add(self._opening)
        self._opening.add_done_callback(self._opened)

    async def _open(self) -> None:
        begun, self._begun = self._begun, None
        if isinstance(begun, NoConnection):
            dialled: Connection[R] | NoConnection = begun
        else:
            dialled = await dial(self._place, self._make, begun=begun)
        if isinstance(dialled, NoConnection):
            if dialled.own:
                # Recorded, but beyond every limit: our lack of files says nothing of the master.
                self._late_us = LATE_OWN_US
                self._fail(Evidence.OVERDUE, f"the observer itself: {dialled.detail}")
            elif dialled.evidence is Evidence.RESET and not self._is_retried:
                self._is_retried = True
                await self._open()
            else:
                self._fail(dialled.evidence, dialled.detail)
        elif dialled is self._fresh and dialled.is_open:
            if self._dialect.greeting is None:
                dialled.send(self._dialect.opening)
            else:
                self._on_answer(dialled, self._dialect.greeting)

    def _opened(self, opening: asyncio.Task[None]) -> None:
        self._tasks.discard(opening)
        if opening.cancelled():
            return
        bug = opening.exception()
        if bug is not None and opening is self._opening:
            self._finish(own_trouble(bug, waited_us=self._clock() - self._asked_us))

    def _make(self) -> Connection[R]:
        self._fresh = Connection(
            on_answer=self._on_answer,
            on_end=self._on_end,
            parser=self._dialect.parser(),
            unasked_bytes_max=self._dialect.unasked_bytes_max,
        )
        return self._fresh

    def _on_answer(self, connection: Connection[R], response: R) -> None:
        # Else it came too late, on the held connection.
        is_wanted = connection is self._fresh or (
            self._tell is not None and self._opening is None and connection.owing == 0
        )
        if connection is self._fresh:
            self._fresh = None
            if not self._question and self._held is not None:
                self._held_answers += 1  # it is held for its end alone, and lives on
                connection.drop()
            elif self._hold_open and self._clock() >= self._hold_from_us:
                self._hold(connection)
            else:
                connection.drop()
        elif connection is self._held:
            self._held_answers += 1
            self._short = 0
            if connection.owing == 0:
                self._excused = 0
        if connection is self._held and not connection.is_open:
            self._held = None  # it said that it would close
        if is_wanted:
            self._finish(self._dialect.read(response, latency_us=self._clock() - self._asked_us))

    def _hold(self, connection: Connection[R]) -> None:
        if self._held is not None:
            self._held.drop()
        self._held, self._held_answers, self._excused = connection, 1, 0

    def _note_short(self) -> None:
        """Hold nothing for a while if the master closes every connection after one answer.

        Each end is a question that is asked at once, so that they would follow upon each other
        without a pause.
        """
        if self._held_answers > 1:
            return
        self._short += 1
        if self._short >= SHORT_MAX:
            self._hold_from_us = self._clock() + NOT_HELD_US

    def _on_end(self, connection: Connection[R], evidence: Evidence, detail: str) -> None:
        if connection is self._fresh:
            self._fresh = None
            if evidence is Evidence.PROTOCOL or self._is_retried:
                self._fail(evidence, detail)
            else:
                self._is_retried = True
                self._start_opening()
        elif connection is self._held:
            self._held = None
            self._note_short()
            is_asked = self._tell is not None and self._opening is None
            if evidence is not Evidence.PROTOCOL:
                if is_asked:
                    self._finish(Interrupted())
                self._on_closed(evidence)
            elif is_asked:
                self._fail(evidence, detail)

    def _on_time(self) -> None:
        if self._look_us:
            self._on_look()
        else:
            self._on_due()

    def _on_look(self) -> None:
        """Notice how late the loop is while a connection opens.

        Until the request is sent, a stall of ours is time that the master did not have.
        """
        now_us = self._clock()
        if self._fresh is None or self._fresh.owing == 0:
            self._late_us = max(self._late_us, now_us - self._look_us)
            self._look_us = min(self._due_us, now_us + self._step_us)
        else:
            self._look_us = self._due_us
        if now_us >= self._due_us:
            self._on_due()
        else:
            self._alarm.set(self._look_us)

    def _on_due(self) -> None:
        # What arrived while the loop was busy is handed out between this turn and the one after
        # the next: the next turn polls the sockets only after the calls that are due in it.
        loop = asyncio.get_running_loop()
        count = self._count
        loop.call_soon(lambda: loop.call_soon(self._judge, count))

    def _judge(self, count: int) -> None:
        if self._count != count:
            return
        self._late_us = max(self._late_us, self._clock() - self._due_us, 0)
        is_excused = 2 * self._late_us >= self._due_us - self._asked_us
        self._excused = EXCUSED_MAX if is_excused else 0
        self._fail(Evidence.OVERDUE, self._missing())

    def _missing(self) -> str:
        """Return what there is instead of an answer, as far as it is known."""
        if self._opening is None:
            return ""
        if self._fresh is None or not self._fresh.is_open:
            return "no connection"
        return self._dialect.unfinished(self._fresh.parser)

    def _fail(self, evidence: Evidence, detail: str) -> None:
        waited_us = self._clock() - self._asked_us
        self._finish(
            Failure(
                evidence=evidence,
                waited_us=waited_us,
                late_us=self._late_us,
                detail=shortened(detail),
            )
        )

    def _finish(self, probed: Probed) -> None:
        tell = self._tell
        self._end_probe()
        if tell is not None:
            tell(probed)

    def _end_probe(self) -> None:
        """Forget the probe under way and what was opened for it; a held connection stays."""
        self._tell = self._probe = None
        self._count += 1
        self._alarm.clear()
        if self._opening is not None:
            self._opening.cancel()
            self._opening = None
        if isinstance(self._begun, socket.socket):  # it had no turn yet
            self._begun.close()
        self._begun = None
        if self._fresh is not None:
            self._fresh.drop()
            self._fresh = None
