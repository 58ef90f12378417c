"""A second vantage point: a process of its own that looks at the masters and tells the engine.

Rules:
- It says hello first, and counts its probes on from what the engine has of it.
- What makes a difference is told at once, a good probe within TELL_US, and one batch at a time. A
  batch that was not answered is told again as it was; the engine passes over what it has.
- What is seen while the engine is away is kept for as long as it would count, then dropped: an old
  failure told late would be taken for one of now.
- A line on standard error says when the engine is away, and when it is there again.
"""

import asyncio
import contextlib
import secrets
import signal
from collections import deque
from collections.abc import Callable
from typing import Final

import msgspec

from engine.config import Configuration
from engine.core.errors import CommandRefused, ConfigurationError
from engine.core.policy import SECOND
from engine.runtime import http1
from engine.runtime.clock import monotonic_us
from engine.runtime.connection import NoConnection, Place
from engine.runtime.eyes import Eyes
from engine.runtime.hearing import BATCH_MAX, Batch, Observation, Told
from engine.runtime.lines import Cut, Line, Overdue, open_line
from engine.runtime.lookout import Lookout

TELL_US: Final = 200_000  # a good probe waits this long for company
KEEP_US: Final = 5 * SECOND  # what the engine was not told by then is dropped
ANSWER_US: Final = 5 * SECOND  # what the engine may take to answer
PAUSE_US: Final = 250_000  # after a batch that was not answered; doubles
PAUSE_US_MAX: Final = 2 * SECOND
LEAVE_US: Final = SECOND  # for what was seen last, when it is told to end
ANSWER_BYTES_MAX: Final = 4_194_304

_ENCODE: Final = msgspec.json.Encoder()
_TOLD: Final = msgspec.json.Decoder(Told)


class Away(Exception):
    """The engine did not answer; says why."""


class Wire:
    """The way to the engine."""

    def __init__(self, url: str, token: str) -> None:
        try:
            self._place: Final = Place(url)
        except ValueError as err:
            raise ConfigurationError([f"--engine: {err}"]) from err
        self._head: Final = http1.post_head(
            "/api/observations",
            host=self._place.host,
            fields=f"Authorization: Bearer {token}\r\n",
        )
        self._line: Line | None = None

    async def tell(self, batch: Batch) -> Told:
        """Return what became of a batch.

        Raises:
            Away: Nobody knows; tell it again.
            CommandRefused: Another process has this observer's name.
            ConfigurationError: The engine does not know the token, or not what is told.
        """
        request = http1.post(self._head, _ENCODE.encode(batch))
        line, self._line = self._line, None
        if line is None or not line.is_free:
            found = await open_line(
                self._place, timeout_us=ANSWER_US, body_bytes_max=ANSWER_BYTES_MAX
            )
            if isinstance(found, NoConnection):
                raise Away(f"{found.evidence.value}: {found.detail}")
            line = found
        try:
            asked = await line.ask(request, timeout_us=ANSWER_US)
        except asyncio.CancelledError:
            line.drop()
            raise
        if isinstance(asked, Cut):
            raise Away(asked.detail)
        if isinstance(asked, Overdue):
            line.drop()
            raise Away("no answer in time")
        self._line = line
        return _read(asked)

    async def close(self) -> None:
        """Let the connection go."""
        if self._line is not None:
            self._line.drop()
        await self._place.close()
        await asyncio.sleep(0)


def _read(answer: http1.Response) -> Told:
    try:
        if answer.status == 200:
            return _TOLD.decode(answer.body)
        said = msgspec.json.decode(answer.body)
    except (msgspec.DecodeError, UnicodeDecodeError) as err:
        raise Away(f"status {answer.status}, and no answer of an engine") from err
    fields = said if isinstance(said, dict) else {}
    if answer.status == 409:
        raise CommandRefused([str(reason) for reason in fields.get("reasons", ())])
    text = f"the engine says {answer.status}: {fields.get('error')}"
    if answer.status >= 500:
        raise Away(text)
    raise ConfigurationError([text])


class Observer:
    """Looks at all masters of a configuration, and tells one engine.

    Args:
        configuration: Whom to look at, and how.
        name: What the engine calls this observer.
        wire: The way to the engine.
        say: Told a line for people.
    """

    def __init__(
        self, configuration: Configuration, name: str, wire: Wire, say: Callable[[str], None]
    ) -> None:
        self._configuration: Final = configuration
        self._name: Final = name
        self._session: Final = secrets.token_hex(8)
        self._wire: Final = wire
        self._say: Final = say
        self._seen: Final[deque[tuple[int, Observation]]] = deque()  # with when
        self._more: Final = asyncio.Event()
        self._urgent: Final = asyncio.Event()
        self._is_away = False
        self._dropped = 0

    async def run(self, ended: asyncio.Event) -> None:
        """Look and tell until `ended` is set; what was seen last is told then.

        Raises:
            CommandRefused: Another process has taken this observer's name.
            ConfigurationError: A probe lacks what it needs, or the engine does not know the token.
        """
        ending = asyncio.create_task(ended.wait())
        telling = asyncio.create_task(self._work())
        try:
            await asyncio.wait({ending, telling}, return_when=asyncio.FIRST_COMPLETED)
            if telling.done():
                telling.result()
        finally:
            for task in (ending, telling):
                task.cancel()
            await asyncio.gather(ending, telling, return_exceptions=True)
        if self._seen and not self._is_away:
            with contextlib.suppress(Away, TimeoutError):
                async with asyncio.timeout(LEAVE_US / 1e6):
                    while self._seen:
                        await self._tell_some()

    async def _work(self) -> None:
        told = await self._hello()
        lookouts = self._lookouts(told)
        try:
            while True:
                await self._company()
                pause_us = PAUSE_US
                while True:
                    try:
                        await self._tell_some()
                        break
                    except Away as err:
                        self._note_away(err)
                        await asyncio.sleep(pause_us / 1e6)
                        pause_us = min(2 * pause_us, PAUSE_US_MAX)
                        self._drop_old()
        finally:
            await asyncio.gather(*(lookout.close() for lookout in lookouts))

    async def _hello(self) -> Told:
        pause_us = PAUSE_US
        while True:
            batch = Batch(observer=self._name, session=self._session, hello=True)
            try:
                told = await self._wire.tell(batch)
            except Away as err:
                self._note_away(err)
                await asyncio.sleep(pause_us / 1e6)
                pause_us = min(2 * pause_us, PAUSE_US_MAX)
            else:
                self._note_there()
                return told

    def _lookouts(self, told: Told) -> list[Lookout]:
        configuration = self._configuration
        eyes = Eyes(configuration.source)
        strangers = [each.id for each in configuration.masters if each.id not in told.last]
        if strangers:
            self._say(f"the engine has no master {', '.join(strangers)}: not looked at")
        masters = [each for each in configuration.masters if each.id in told.last]
        self._say(f"{self._name} looks at {', '.join(each.id for each in masters) or 'nobody'}")
        lookouts: list[Lookout] = []
        for number, master in enumerate(masters):
            probe = configuration.policy.groups[master.group].probe
            if probe.kind in ("push", "python"):
                self._say(
                    f"{master.id} is not looked at: probe.kind = {probe.kind} is the engine's"
                )
                continue
            phase_s = probe.interval_us * number / len(masters) / 1e6
            lookouts.append(
                Lookout(
                    master,
                    probe,
                    eyes=eyes,
                    after=told.last[master.id],
                    tell=self._take,
                    phase_s=phase_s,
                )
            )
        return lookouts

    def _take(self, seen: Observation) -> None:
        self._seen.append((monotonic_us(), seen))
        if len(self._seen) > BATCH_MAX:
            self._seen.popleft()
            self._dropped += 1
        self._more.set()
        if seen.outcome != "ok":
            self._urgent.set()

    async def _company(self) -> None:
        """Wait until there is something to tell."""
        await self._more.wait()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(TELL_US / 1e6):
                await self._urgent.wait()

    async def _tell_some(self) -> None:
        batch = [seen for _, seen in self._seen]
        self._urgent.clear()
        newest = self._seen[-1] if self._seen else None
        if newest is None:
            self._more.clear()
            return
        await self._wire.tell(
            Batch(observer=self._name, session=self._session, observations=tuple(batch))
        )
        # What was seen meanwhile stands behind it, and stays; what was dropped has gone already.
        while self._seen and self._seen[0][1] is not newest[1]:
            self._seen.popleft()
        if self._seen:
            self._seen.popleft()
        if not self._seen:
            self._more.clear()
        self._note_there()

    def _drop_old(self) -> None:
        oldest_us = monotonic_us() - KEEP_US
        while self._seen and self._seen[0][0] < oldest_us:
            self._seen.popleft()
            self._dropped += 1

    def _note_away(self, err: Away) -> None:
        if not self._is_away:
            self._is_away = True
            self._say(f"the engine is away ({err}): what is seen is kept for {KEEP_US // SECOND} s")

    def _note_there(self) -> None:
        if self._is_away:
            self._is_away = False
            dropped = f"; {self._dropped} observations were dropped" if self._dropped else ""
            self._say(f"the engine is there again{dropped}")
            self._dropped = 0


async def observe(
    configuration: Configuration, *, url: str, name: str, token: str, say: Callable[[str], None]
) -> None:
    """Look and tell until SIGTERM, SIGINT or SIGHUP.

    Raises:
        CommandRefused: Another process has taken this observer's name.
        ConfigurationError: The engine's address is none, it does not know the token, or a probe
            lacks what it needs.
    """
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, ended.set)
    wire = Wire(url, token)
    try:
        await Observer(configuration, name, wire, say).run(ended)
    finally:
        await wire.close()
