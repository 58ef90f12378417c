"""Links that look by running something: a program, or a function of the service.

One look at a time: while the last one has not ended, the next is overdue without a new beginning.
"""

import asyncio
import contextlib
import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeAlias

import msgspec

from engine.core.events import Evidence
from engine.core.fleet import Master
from engine.runtime import programs
from engine.runtime.clock import monotonic_us
from engine.runtime.connection import evidence_of
from engine.runtime.ending import end, is_asked_to_end
from engine.runtime.health import read_health
from engine.runtime.seen import LATE_OWN_US, Answer, Asked, Failure, Probed, shortened
from engine.runtime.threads import Threads

# What a check returns: nothing or True: all is well; False: it is not; or a health document.
Check: TypeAlias = Callable[[Master], object]

_CHECKS: Final = Threads("check")


class _Tasked(Asked):
    """What both have in common: a look is a task, and ends in time."""

    is_waiting = False

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock: Final = clock
        self._looking: asyncio.Task[Probed] | None = None
        self._asked: asyncio.Future[Probed] | None = None
        self._asked_us = 0
        self._due_us = 0

    async def _look(self, timeout_us: int) -> Probed:
        raise NotImplementedError

    def probe(self, *, fresh: bool, timeout_us: int) -> asyncio.Future[Probed]:
        """Return the future result of a look, little later than `timeout_us` from now [us]."""
        assert self._asked is None or self._asked.done(), "one probe at a time"
        loop = asyncio.get_running_loop()
        asked = self._asked = loop.create_future()
        self._asked_us = self._clock()
        self._due_us = self._asked_us + timeout_us
        timer = loop.call_later(timeout_us / 1_000_000, self._overdue, asked)
        asked.add_done_callback(lambda done: self._settled(timer, done))
        if self._looking is None:
            self._start(asked)
        return asked

    def _start(self, asked: asyncio.Future[Probed]) -> None:
        left_us = max(1, self._due_us - self._clock())
        looking = self._looking = asyncio.get_running_loop().create_task(self._look(left_us))
        looking.add_done_callback(lambda done: self._looked(asked, done))

    def _settled(self, timer: asyncio.TimerHandle, asked: asyncio.Future[Probed]) -> None:
        timer.cancel()
        if asked.cancelled() and self._looking is not None:
            self._looking.cancel()

    async def close(self) -> None:
        """End the look under way, if any; nothing is reported."""
        if self._asked is not None:
            self._asked.cancel()
        looking = self._looking
        if looking is not None:
            await end(looking)

    def _looked(self, asked: asyncio.Future[Probed], done: asyncio.Task[Probed]) -> None:
        self._looking = None
        if asked.done():
            # It came too late; whatever went wrong in it was the look's, and it is over.
            if not done.cancelled():
                done.exception()
            if not (self._asked is None or self._asked.done()):
                self._start(self._asked)
        elif done.cancelled():
            asked.cancel()
        elif (bug := done.exception()) is not None:
            asked.set_exception(bug)
        else:
            asked.set_result(done.result())

    def _overdue(self, asked: asyncio.Future[Probed]) -> None:
        # As for connections: what is ready is taken first, in the turn after the next.
        loop = asyncio.get_running_loop()
        loop.call_soon(lambda: loop.call_soon(self._judge, asked))

    def _judge(self, asked: asyncio.Future[Probed]) -> None:
        if not asked.done():
            asked.set_result(
                self._failure(
                    Evidence.OVERDUE,
                    "the look has not ended",
                    late_us=max(0, self._clock() - self._due_us),
                )
            )

    def _failure(self, evidence: Evidence, detail: str, *, late_us: int = 0) -> Failure:
        return Failure(
            evidence=evidence,
            waited_us=self._clock() - self._asked_us,
            late_us=late_us,
            detail=shortened(detail),
        )


class ProgramLink(_Tasked):
    """Looks by running a program, which is told of the master in its environment.

    Exit 0: well; 1: not well, but it answers; anything else: it failed. A health document on its
    standard output says more; else the last line that it says is why.
    """

    def __init__(
        self,
        words: tuple[str, ...],
        master: Master,
        *,
        clock: Callable[[], int] = monotonic_us,
    ) -> None:
        super().__init__(clock)
        self._words: Final = words
        self._environment: Final[Mapping[str, str]] = {
            "TANIST_GROUP": master.group,
            "TANIST_MASTER": master.id,
            "TANIST_ADDRESS": master.address,
        }

    async def _look(self, timeout_us: int) -> Probed:
        ran = await programs.run(self._words, environment=self._environment, timeout_us=timeout_us)
        match ran:
            case programs.NotStarted():
                # That our machine cannot start it says nothing of the master.
                said = f"the observer itself: {ran.detail}"
                return self._failure(Evidence.OVERDUE, said, late_us=LATE_OWN_US)
            case programs.TooLong():
                late_us = max(0, self._clock() - self._due_us)
                return self._failure(Evidence.OVERDUE, "the look was ended", late_us=late_us)
            case programs.TooMuch():
                limit = programs.OUTPUT_BYTES_MAX
                return self._failure(Evidence.PROTOCOL, f"more than {limit} bytes of output")
            case programs.Exited():
                return self._read(ran)

    def _read(self, ran: programs.Exited) -> Probed:
        why = programs.last_line(ran.errors) or programs.last_line(ran.output)
        if ran.code not in (0, 1):
            how = f"signal {-ran.code}" if ran.code < 0 else f"exit {ran.code}"
            return self._failure(Evidence.STATUS, f"{how}: {why}" if why else how)
        answer = read_health(ran.output.lstrip(), latency_us=self._clock() - self._asked_us)
        if ran.code == 1 and isinstance(answer, Answer) and not answer.degraded:
            return msgspec.structs.replace(answer, degraded=shortened(why) or "exit 1")
        return answer


class FunctionLink(_Tasked):
    """Looks by calling a function of the service, in this loop or, if it is a plain one, a thread.

    It returns None or True if all is well, False if it is not, or a health document. An OSError
    says what it met; any other exception is one that says no.
    """

    def __init__(
        self,
        check: Check,
        master: Master,
        *,
        clock: Callable[[], int] = monotonic_us,
    ) -> None:
        super().__init__(clock)
        self._check: Final = check
        self._master: Final = master

    async def _look(self, timeout_us: int) -> Probed:
        try:
            said = await self._call()
        except OSError as err:
            return self._failure(evidence_of(err), str(err) or type(err).__name__)
        except asyncio.CancelledError:
            if is_asked_to_end():
                raise
            return self._failure(Evidence.STATUS, "CancelledError: what it waited for was ended")
        except Exception as err:  # it is somebody else's, and it said no
            return self._failure(Evidence.STATUS, f"{type(err).__name__}: {err}")
        latency_us = self._clock() - self._asked_us
        if said is None or said is True:
            return Answer(latency_us=latency_us)
        if said is False:
            return self._failure(Evidence.STATUS, "the check says no")
        try:
            document = msgspec.json.encode(said)
        except (TypeError, ValueError, RecursionError) as err:
            return self._failure(Evidence.PROTOCOL, f"expected a health document: {err}")
        if not document.startswith(b"{"):
            return self._failure(Evidence.PROTOCOL, f"expected a health document, found {said!r}")
        return read_health(document, latency_us=latency_us)

    async def _call(self) -> object:
        if inspect.iscoroutinefunction(self._check):
            return await self._check(self._master)
        said = await _CHECKS.call(lambda: self._check(self._master))
        return await said if isinstance(said, Awaitable) else said

    async def close(self) -> None:
        """End the look under way; a thread cannot be ended, and is not waited for."""
        with contextlib.suppress(asyncio.CancelledError):
            await super().close()
