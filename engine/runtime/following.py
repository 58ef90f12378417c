"""Those who follow a running engine: each durable event in order, and the ends of commands."""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from typing import Final

from engine.answers.search import Finder
from engine.core import events as ev
from engine.core.errors import CommandRefused, LogError
from engine.core.events import Recorded
from engine.core.terms import Terms
from engine.runtime.answering import Answer
from engine.runtime.loop import Turning
from engine.runtime.repeats import Ask, Repeats

FOLLOW_MAX: Final = 50_000  # events that are held for a slow follower before it reads the log
READ_EVENTS: Final = 1_000  # read from the log at a time

End = ev.FailoverEnded | ev.RollbackEnded


class Held:
    """Published events that a follower has not taken yet: at most `held_max`, or none at all."""

    def __init__(self, held_max: int) -> None:
        self.changed: Final = asyncio.Event()
        self._held_max: Final = held_max
        self._events: Final[deque[Recorded]] = deque()

    def __len__(self) -> int:
        return len(self._events)

    def published(self, events: tuple[Recorded, ...]) -> None:
        """Hold `events`, unless that is too much: the log has them all."""
        if len(self._events) + len(events) <= self._held_max:
            self._events.extend(events)
        else:
            self._events.clear()
        self.changed.set()

    def all(self, position: int) -> list[Recorded]:
        """Return the events that follow the seq `position` without a gap."""
        events = []
        while (recorded := self.next(position)) is not None:
            events.append(recorded)
            position = recorded.seq
        return events

    def next(self, position: int) -> Recorded | None:
        """Return the event that follows the seq `position`; None if it is not held."""
        while self._events and self._events[0].seq <= position:
            self._events.popleft()
        if self._events and self._events[0].seq == position + 1:
            return self._events.popleft()
        return None


class Following:
    """Hands events to followers and commands to the engine, until the engine ends."""

    def __init__(
        self, turning: Turning, read: Callable[[int, int], Awaitable[list[Recorded]]]
    ) -> None:
        """`read(after, count_max)` returns durable events from the log."""
        self._turning: Final = turning
        self._read: Final = read
        self._repeats: Final = Repeats(turning)
        self._is_leaving = False
        self._wakes: set[Callable[[], None]] = set()  # of who waits for what may never come

    def leave(self) -> None:
        """Let every `follow` end once it has yielded what is durable, and wait for no end."""
        self._is_leaving = True
        for wake in self._wakes:
            wake()

    async def close(self) -> None:
        """Return when no command is under way any more; the turning has ended before."""
        await self._repeats.close()

    async def follow(self, after: int, *, held_max: int) -> AsyncGenerator[Recorded, None]:
        """Yield every durable event after the seq `after`, in order, until the engine ends.

        At most `held_max` events are held for it meanwhile [count]; one that is behind by more
        reads the log.
        """
        async with contextlib.aclosing(self.together(after, held_max=held_max)) as following:
            async for events in following:
                for recorded in events:
                    yield recorded

    async def together(
        self, after: int, *, held_max: int
    ) -> AsyncGenerator[Sequence[Recorded], None]:
        """Yield what `follow` does, all that there is at a time: one event at least."""
        held = Held(held_max)
        self._turning.listen(held.published)
        self._wakes.add(held.changed.set)
        try:
            position, last = after, None
            while True:
                held.changed.clear()
                if self._is_leaving and last is None:
                    last = self._turning.state.seq  # what comes after is not waited for
                if last is not None and position >= last:
                    return
                events = held.all(position)
                if not events and position < self._turning.state.seq:
                    events = await self._read(position, READ_EVENTS)
                    if not events:  # the log begins later: its beginning was cut off
                        position += READ_EVENTS
                        continue
                if events:
                    yield events
                    position = events[-1].seq
                else:
                    await held.changed.wait()
        finally:
            self._wakes.discard(held.changed.set)
            self._turning.unlisten(held.published)

    async def command(self, ask: Ask, terms: Terms) -> Answer:
        """Return the answer to a command when it is durable; raise CommandRefused if it is no."""
        answer = await self._repeats.ask(ask, terms)
        if answer.reasons:
            raise CommandRefused(answer.reasons)
        return answer

    async def begin(
        self, ask: Ask, terms: Terms, group: str, kind: type[End], *, wait: bool
    ) -> int:
        """Give a command that begins something in `group`; return its seq.

        If it is waited for until an event of `kind` ends it, CommandRefused says that it did not
        work.
        """
        with self._ends(group, kind) as ended:
            answer = await self.command(ask, terms)
            if wait:
                # Of a repeat the end may be in the log already.
                known = await self._known(group, kind, answer.seq) if terms.key else []
                await _awaited(answer, known, ended)
        return answer.seq

    async def begin_all(self, ask: Ask, terms: Terms, *, wait: bool) -> int:
        """Give a command that takes several groups back; return its seq.

        If it is waited for, CommandRefused names every group that did not get there.
        """
        groups = list(self._turning.state.groups)
        with contextlib.ExitStack() as stack:
            ends = {
                name: stack.enter_context(self._ends(name, ev.RollbackEnded)) for name in groups
            }
            answer = await self.command(ask, terms)
            going = [
                recorded.subject
                for recorded in answer.decisions
                if isinstance(recorded.event, ev.RollbackAccepted)
            ]
            reasons: list[str] = []
            for name in going if wait else ():
                known = await self._known(name, ev.RollbackEnded, answer.seq) if terms.key else []
                try:
                    await _awaited(answer, known, ends[name])
                except CommandRefused as err:
                    reasons += [f"{name}: {reason}" for reason in err.reasons]
        if reasons:
            raise CommandRefused(reasons)
        return answer.seq

    async def _known(self, group: str, kind: type[End], seq: int) -> list[Recorded]:
        """Return the ends after the event `seq` that the log has, the oldest first."""
        log = self._turning.log
        return await asyncio.to_thread(lambda: list(Finder(log).after(seq, (kind,), group)))

    @contextlib.contextmanager
    def _ends(self, group: str, kind: type[End]) -> Iterator["asyncio.Queue[Recorded | None]"]:
        """Collect the ends of failovers or rollbacks of `group`; None: the engine ends."""
        queue: asyncio.Queue[Recorded | None] = asyncio.Queue()

        def published(events: tuple[Recorded, ...]) -> None:
            for recorded in events:
                if type(recorded.event) is kind and recorded.subject == group:
                    queue.put_nowait(recorded)

        def wake() -> None:
            queue.put_nowait(None)

        self._turning.listen(published)
        self._wakes.add(wake)
        try:
            yield queue
        finally:
            self._wakes.discard(wake)
            self._turning.unlisten(published)


async def _awaited(
    answer: Answer, known: list[Recorded], ended: "asyncio.Queue[Recorded | None]"
) -> None:
    """Wait for what the command started to end; raise CommandRefused if it did not work.

    `known` are the ends since the command, up to a moment at which `ended` was listening already.
    """
    started = [
        recorded.seq
        for recorded in answer.decisions
        if isinstance(recorded.event, ev.FailoverStarted)
    ]
    while True:
        recorded = known.pop(0) if known else await ended.get()
        if recorded is None:
            raise LogError("the engine ends first: what was begun goes on at its next start")
        end = recorded.event
        if isinstance(end, ev.RollbackEnded):
            if end.result != "complete":
                raise CommandRefused((f"the rollback is {end.result}",))
            return
        assert isinstance(end, ev.FailoverEnded)
        if end.id in started:
            if end.result != "completed":
                raise CommandRefused((end.reason,))
            return
