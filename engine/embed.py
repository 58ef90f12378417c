"""The engine that services embed: an async context manager around one log.

    async with Engine(load("tanist.toml"), log="ha.db") as engine:
        answer = await engine.call("api", send, idempotent=True)

Entering it takes the log for writing, folds it, offers the configuration, and begins to watch. On
leaving, what was observed is made durable; what is owed to masters stays owed to the next start.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Final, Self, TypeVar

from engine import __version__
from engine.answers.room import figures_of_room, room
from engine.answers.views import figures_of_lags, lags
from engine.answers.words import parts
from engine.config import Configuration
from engine.config.loading import KEEP_BODIES_US, SEAL_AFTER_US
from engine.config.secrets import keys
from engine.core import events as ev
from engine.core import messages
from engine.core import state as st
from engine.core.driver import Driver
from engine.core.errors import ConfigurationError, LogError
from engine.core.events import Figures, Recorded
from engine.core.gauges import DISK, VIEWS
from engine.core.policy import Policy
from engine.core.state import State
from engine.log import states
from engine.log.keyring import Keyring
from engine.log.place import log_path
from engine.log.protocol import Log
from engine.log.reserve import Reserve
from engine.log.sqlite import SqliteLog, open_log
from engine.log.uncollected import uncollected
from engine.log.writer import Writer
from engine.runtime import upkeep
from engine.runtime.carriers.function import Functions
from engine.runtime.clock import Clock
from engine.runtime.commands import Commands
from engine.runtime.eyes import Eyes
from engine.runtime.failpoints import Failpoint, nothing
from engine.runtime.figuring import Figuring
from engine.runtime.following import FOLLOW_MAX, Following
from engine.runtime.hands import EffectHands
from engine.runtime.hearing import Hearing
from engine.runtime.keeping import Keeping
from engine.runtime.loop import Turning
from engine.runtime.pausing import PauseFile
from engine.runtime.rebuilding import Rebuilding
from engine.runtime.requests import Receipt as Receipt
from engine.runtime.requests import Requests
from engine.runtime.routes import Routes
from engine.runtime.space import Space
from engine.runtime.tasked import Check
from engine.runtime.tending import Tending
from engine.runtime.threads import Threads
from engine.runtime.traffic import Traffic
from engine.runtime.watches import Watches
from projections.budgets import objectives_of, spent
from projections.kept import KEPT
from projections.uptime import UPTIME

T = TypeVar("T")
C = TypeVar("C", bound=Check)

# Whoever looks waits for one of these; those of the event loop are for what is owed to masters.
_LOOKS: Final = Threads("look", most=4)
SNAPSHOT_EVENTS: Final = 1_000  # fewer are folded again in a millisecond or two


class Engine(Commands, Tending, Requests):
    """One engine, which decides for one log.

    What operators can ask of it are its `Commands`, what services can are its `Requests`.
    """

    def __init__(
        self,
        configuration: Configuration | None = None,
        *,
        log: str | Log = "",
        author: str = "embedded",
        clock: Clock | None = None,
        failpoint: Failpoint = nothing,
    ) -> None:
        """Make an engine; nothing is opened before it is entered.

        Args:
            configuration: What the operator declares; None: what the log holds.
            log: A path or an SQLAlchemy URL; "": as the configuration says. Or a log that is open
                for writing, which the engine closes.
            author: Who commands given through this object are by.
            clock: The time; None: this machine's.
            failpoint: Called at named places, for tests that end the process there.

        Raises:
            ConfigurationError: Neither a log nor a configuration was given.
        """
        if not log and configuration is None:
            raise ConfigurationError(("expected a configuration or a log, found neither",))
        self._configuration: Final = configuration
        self._target: Final = log or (configuration.log if configuration else "")
        self._closing: Final = contextlib.AsyncExitStack()
        self._author = author
        self._given_clock: Final = clock
        self._failpoint: Final = failpoint
        self._space = Space()
        self._eyes: Final = Eyes(configuration.source if configuration else "")
        self._pause_file = PauseFile()
        self._functions = Functions()
        self._refused: tuple[str, ...] = ()
        self.notes: Final[list[str]] = []  # what is not as it might be, and stops nothing

    async def __aenter__(self) -> Self:
        """Take the log up, and begin to watch.

        Raises:
            LogError: The log cannot be used; the message says why.
            ConfigurationError: The key of its bodies is not where it should be, or is none.
        """
        target = self._target
        reserve: Reserve | None = None
        if isinstance(target, str):
            self._pause_file = PauseFile.beside(target)
            if self._configuration is not None:
                reserve = Reserve(log_path(target), wanted=self._configuration.reserve_bytes)
            self._space = Space(reserve)
            with uncollected():
                target = open_log(
                    target,
                    mode="write",
                    create=True,
                    release=__version__,
                    reserve=reserve,
                    keys=self._keys(),
                )
        self._log: Log = target
        self._closing.callback(target.close)
        try:
            if reserve is not None:
                await self._fill(reserve)
            await self._start()
        except BaseException:
            await self._closing.aclose()
            raise
        return self

    def _keys(self) -> Keyring | None:
        """Return the keys of the bodies, as the configuration says; None: they are plain."""
        configuration = self._configuration
        if configuration is None or not configuration.bodies_key:
            return None
        return Keyring(
            keys(configuration.bodies_key, name="log.bodies_key", source=configuration.source)
        )

    async def _fill(self, reserve: Reserve) -> None:
        await asyncio.to_thread(reserve.fill)
        kept = reserve.figures
        if kept.left < kept.wanted and not kept.is_short:
            share = "no more than a quarter of what is free is taken"
            self.notes.append(f"{parts(kept.left, kept.wanted)} are kept for a full disk: {share}")

    async def _start(self) -> None:
        def passed_over(said: str) -> None:
            self.notes.append(f"{said}; everything is folded again")

        state = await asyncio.to_thread(lambda: states.state_at(self._log, say=passed_over))
        lacking = await asyncio.to_thread(self._log.keys_lacking, messages.needed(state))
        if lacking:
            names = ", ".join(sorted(each.hex() for each in lacking))
            raise LogError(
                "open messages or current state are sealed with a key that is not given: "
                f"{names}; name it in log.bodies_key"
            )
        self._closing.push_async_callback(self._keep_snapshot)
        stopped_at_us = state.at_us
        self.clock = self._given_clock or Clock(last_at_us=stopped_at_us)
        flush_us = self._configuration.flush_us if self._configuration else 0
        with uncollected():
            driver = Driver(state, flush_us=flush_us)
        hit = self._failpoint

        def in_log(name: str) -> None:
            hit(name, self._turning.appending)

        keeping = self._keep()
        writer = Writer(self._log, hook=in_log)
        self._closing.callback(writer.close)
        turning = Turning(
            driver,
            self._log,
            writer,
            self.clock,
            failpoint=hit,
            space=self._space,
            pause_file=self._pause_file,
        )
        self._following = Following(turning, self._read)
        self._closing.push_async_callback(self._following.close)
        self._closing.callback(self.leave)
        self._closing.push_async_callback(turning.stop)
        turning.listen(keeping.published)
        self._turning = turning
        self._routes = Routes(turning)
        self.hearing = Hearing(turning, self._eyes.beats)
        self._watches = Watches(turning, self._eyes)
        self._traffic = Traffic(turning, self._routes, self._watches)
        self._closing.callback(self._traffic.close)
        self._figuring = Figuring(
            turning,
            traffic=self._traffic.counted,
            looks={DISK: self._look_at_disk, VIEWS: self._look_at_views},
            budgets=self._look_at_budgets,
        )
        self._closing.push_async_callback(self._figuring.close)
        self._hands = EffectHands(
            turning,
            failpoint=hit,
            on_switch=self._routes.refresh,
            functions=self._functions,
            source=self._configuration.source if self._configuration else "",
        )
        turning.on_ended = self._fall_static
        self._closing.push_async_callback(self._hands.close)
        self._closing.push_async_callback(self._watches.close)

        started = ev.EngineStarted(release=__version__, stopped_at_us=stopped_at_us)
        turning.record(started)
        if self._configuration is not None:
            loaded = self._offer(driver.working, self._configuration)
            self._refused = (await turning.ask(loaded)).reasons
        turning.start(self._hands)
        self._hands.attach()
        self._watches.start()
        self._figuring.start()
        filling = asyncio.create_task(self._space.keep(turning.note_space), name="keep space")
        self._closing.push_async_callback(_cancelled, filling)

    async def _keep_snapshot(self) -> None:
        """Store what the next start begins with; without it that start only takes longer."""
        turning = getattr(self, "_turning", None)
        if turning is None:
            return
        newest = self._log.snapshots.newest(turning.state.seq)
        is_far = newest is None or turning.state.seq - newest.seq >= SNAPSHOT_EVENTS
        if is_far and not self._space.is_short:
            with contextlib.suppress(LogError):
                await asyncio.to_thread(states.keep, self._log, turning.state)

    def _keep(self) -> Keeping:
        """Keep the views that answers are read from, and the log small and quick to take up."""
        for projection in KEPT:
            self._log.attach(projection)
        self._rebuilding = Rebuilding(self._log, {each.name: each for each in KEPT})
        keeping = Keeping(
            self._log,
            [projection.name for projection in KEPT],
            others=upkeep.turns(
                self._log,
                self._bounds(),
                at_us=self.clock.at_us,
                is_short=lambda: self._space.is_short,
                record=self._recorder(),
                spare=lambda digests: self._turning.driver.spare(digests),
            ),
        )
        self._closing.push_async_callback(keeping.close)
        self._closing.push_async_callback(self._rebuilding.close)
        return keeping

    def _bounds(self) -> upkeep.Bounds:
        configuration = self._configuration
        if configuration is None:
            return upkeep.Bounds(seal_after_us=SEAL_AFTER_US, keep_bodies_us=KEEP_BODIES_US)
        return upkeep.Bounds(
            seal_after_us=configuration.seal_after_us,
            keep_observations_us=configuration.keep_observations_us,
            size_max=configuration.max_size,
            keep_bodies_us=configuration.keep_bodies_us,
        )

    def _recorder(self) -> upkeep.Record:
        """Return what makes an observation durable for another thread, which waits for that."""
        loop = asyncio.get_running_loop()

        async def asked(make: upkeep.Make) -> None:
            event = make()
            if event is not None:
                await self._turning.ask(event)

        return lambda make: asyncio.run_coroutine_threadsafe(asked(make), loop).result()

    @staticmethod
    def _offer(state: State, configuration: Configuration) -> ev.ConfigurationLoaded:
        """Return the offer of a configuration; its content only if it is not in force.

        One that was refused is offered again as a whole, for it may be fit by now.
        """
        if configuration.digest == state.fleet.policy_digest:
            return ev.ConfigurationLoaded(digest=configuration.digest)
        return ev.ConfigurationLoaded(
            digest=configuration.digest,
            policy=configuration.policy,
            masters=configuration.masters,
        )

    async def __aexit__(self, *_: object) -> None:
        """Stop watching, make durable what was observed, and let the log go."""
        await self._closing.aclose()

    def leave(self) -> None:
        """Let every `follow` end once it has yielded what is durable, and wait for no failover."""
        self._following.leave()
        self._rebuilding.leave()

    def _fall_static(self) -> None:
        """Begin nothing more for a log that is another's; routes stay as they are."""
        self.leave()
        self._hands.leave()

    def probe(self, group: str) -> Callable[[C], C]:
        """Return a decorator: the function looks at the masters of `group`, one at a time.

        It is called with the declared master; see `runtime.tasked.FunctionLink` for what it
        returns. Its group says `probe.kind = "python"`, and it is there before the engine is
        entered.

        Example:
            >>> engine = Engine(log="sqlite:///:memory:")
            >>> @engine.probe("bots")
            ... async def look(master):
            ...     return {"status": "ok", "role": "standby"}
        """

        def register(check: C) -> C:
            self._eyes.checks[group] = check
            return check

        return register

    # Looking.

    @property
    def state(self) -> State:
        """Return the durable state; it belongs to the engine and is read, not kept."""
        return self._turning.state

    @property
    def policy(self) -> Policy:
        """Return the policy in force."""
        return self.state.fleet.policy

    @property
    def refused(self) -> tuple[str, ...]:
        """Return why the configuration that was offered is not in force; empty if it is."""
        return self._refused

    @property
    def failure(self) -> str:
        """Return why the log cannot be written just now; "" if it can."""
        return str(self._turning.failure or "")

    @property
    def disk_full(self) -> str:
        """Return how much is left of what is kept for a full disk; "" while the disk is not.

        The engine goes on deciding. Good probes that change nothing are not recorded then, and new
        messages are refused.
        """
        return self._space.sentence()

    @property
    def paused_by_file(self) -> str | None:
        """Return what the file says that pauses this engine; None if there is none.

        It is obeyed whether or not the log could take note of it.
        """
        return self._pause_file.look()

    def make_room(self) -> bool:
        """Let go of some of what is kept for a full disk, for a file beside the log.

        Return whether there was any; False as well if it is not the disk that is full.
        """
        made = self._space.make_room()
        self._turning.note_space()
        return made

    @property
    def ended(self) -> asyncio.Event:
        """Return what is set when the engine has ended by itself: its log is another engine's.

        `failure` says so. Nothing is taken and nothing issued any more; routes stay as they were.
        """
        return self._turning.ended

    def digest(self) -> str:
        """Return the digest of the durable state."""
        return st.digest(self.state)

    def listen(self, listener: Callable[[tuple[Recorded, ...]], None]) -> None:
        """Call `listener` in this event loop with every batch that became durable, in order."""
        self._turning.listen(listener)

    async def read(self, *, after: int, count_max: int) -> list[Recorded]:
        """Return at most `count_max` durable events after the seq `after`."""
        return await self._read(after, count_max)

    async def _read(self, after: int, count_max: int) -> list[Recorded]:
        until = min(self.state.seq, after + count_max)
        return await _LOOKS.call(lambda: list(self._log.read(after=after, until=until)))

    async def look(self, ask: Callable[[Log], T]) -> T:
        """Return what `ask` says of the log, which it only reads; it is called in a thread.

        Raises:
            LogError: The log cannot be read.
        """
        return await _LOOKS.call(lambda: ask(self._log))

    async def views(self) -> list[dict[str, object]]:
        """Return how far the stored view of each projection is behind the log, ready for JSON.

        Raises:
            LogError: The log cannot be read.
        """
        found = await _LOOKS.call(lambda: lags(self._log))
        for view in found:
            under_way = self._rebuilding.positions.get(str(view["name"]))
            view["rebuild_position"] = under_way or view["rebuild_position"]
        return found

    async def room(self) -> dict[str, object] | None:
        """Return the size of the log, what is free there and the days until that is used up.

        None for a log that is in no file.

        Raises:
            LogError: The log cannot be read.
            OSError: The file system cannot be asked.
        """
        log, bounds = self._log, self._bounds()
        if not isinstance(log, SqliteLog):
            return None
        keep_us, size_max = bounds.keep_observations_us, bounds.size_max
        return await _LOOKS.call(lambda: room(log, log.path, keep_us=keep_us, size_max=size_max))

    async def _look_at_disk(self) -> Figures | None:
        return figures_of_room(await self.room(), size_max=self._bounds().size_max)

    async def _look_at_views(self) -> Figures:
        return figures_of_lags(await self.views())

    async def _look_at_budgets(self) -> dict[str, Figures]:
        objectives, at_us = objectives_of(self.policy), self.clock.at_us()

        def look() -> dict[str, Figures]:
            view, _ = self._log.view(UPTIME)
            return spent(view, objectives, at_us=at_us)

        return await _LOOKS.call(look)

    async def rebuild(self, view: str, *, retry: bool = False) -> int:
        """Fold the stored view of a projection anew beside the live one; return its position [seq].

        With `retry` it is only folded on, from the event that it is parked before. The engine goes
        on deciding meanwhile. What ended early is gone on with by the next call.

        Raises:
            CommandRefused: There is no such view, or its projection cannot apply an event.
            LogError: The log cannot be read or written, or the engine ends.
        """
        return await self._rebuilding.rebuild(view, retry=retry)

    async def follow(
        self, after: int = 0, *, held_max: int = FOLLOW_MAX
    ) -> AsyncGenerator[Recorded, None]:
        """Yield every durable event after the seq `after`, in order, until the engine ends.

        Nobody waits for a slow follower: at most `held_max` events are held for it [count], and
        one that is behind by more reads the log.
        """
        events = self._following.follow(after, held_max=held_max)
        async with contextlib.aclosing(events):
            async for recorded in events:
                yield recorded

    async def follow_together(
        self, after: int = 0, *, held_max: int = FOLLOW_MAX
    ) -> AsyncGenerator[Sequence[Recorded], None]:
        """Yield what `follow` does, all that there is at a time, for who has work with each."""
        events = self._following.together(after, held_max=held_max)
        async with contextlib.aclosing(events):
            async for together in events:
                yield together


async def _cancelled(task: asyncio.Task[None]) -> None:
    """Return when `task` has ended, because it was told to."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
