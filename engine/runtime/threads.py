"""Threads for what may hang or take long: look-ups of names, functions of the service, questions.

The event loop has a few threads, in which the log is read for deliveries and for the state that an
heir is given. Were names looked up in the same ones, a handful of masters whose name nobody
resolves would stop all of that, and every other look-up with it; so would a crowd that asks. So
each kind of call that nothing can end, or that anybody can make, has threads of its own.

They are begun when they are needed and end when they have been idle for a while. At its end the
process waits for none of them: whatever one hangs in, it is not the engine's.
"""

import asyncio
import contextvars
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Final, TypeAlias, TypeVar

T = TypeVar("T")

THREADS_MAX: Final = 256  # of one kind; what comes beyond waits for one of them [count]
IDLE_S: Final = 10.0  # without a call a thread ends [s]

_Call: TypeAlias = tuple["Future[Any]", Callable[[], Any]]


class Threads:
    """Threads for one kind of call.

    Args:
        name: What the threads are called.
        most: As many calls are under way at once [count].
        idle_s: How long a thread waits for another call [s].
    """

    def __init__(self, name: str, *, most: int = THREADS_MAX, idle_s: float = IDLE_S) -> None:
        """Begin none yet."""
        self._name: Final = name
        self._most: Final = most
        self._idle_s: Final = idle_s
        self._calls: Final[deque[_Call]] = deque()  # that no thread has taken yet
        self._changed: Final = threading.Condition()
        self._count = 0  # threads that there are
        self._idle = 0  # those of them that wait for a call

    async def call(self, function: Callable[[], T]) -> T:
        """Return what `function` returns, called in a thread; who gives up does not end it."""
        within = contextvars.copy_context()
        done: Future[T] = Future()
        with self._changed:
            self._calls.append((done, lambda: within.run(function)))
            is_short = self._idle < len(self._calls) and self._count < self._most
            self._count += is_short
            self._changed.notify()
        if is_short:
            self._begin(done)
        return await asyncio.wrap_future(done)

    def _begin(self, done: "Future[Any]") -> None:
        try:
            threading.Thread(target=self._work, name=self._name, daemon=True).start()
        except RuntimeError:  # the system has no more of them
            with self._changed:
                self._count -= 1
            done.cancel()
            raise

    def _work(self) -> None:
        while (taken := self._next()) is not None:
            _make(*taken)
            del taken  # what it holds is not kept while there is nothing to do

    def _next(self) -> _Call | None:
        """Return the next call; None: there was none for so long that this thread ends."""
        with self._changed:
            self._idle += 1
            try:
                self._changed.wait_for(lambda: self._calls, self._idle_s)
                if self._calls:
                    return self._calls.popleft()
                self._count -= 1
                return None
            finally:
                self._idle -= 1


def _make(done: "Future[Any]", call: Callable[[], Any]) -> None:
    """Make a call, unless nobody waits for it any more."""
    if not done.set_running_or_notify_cancel():
        return
    try:
        result = call()
    except Exception as err:
        if isinstance(err, StopIteration):  # no future can have it: who waits would do so for ever
            err = _told(err)
        done.set_exception(err)
    except BaseException as err:
        # It is meant for this thread: whoever waits is not cancelled, nor is the process to end.
        done.set_exception(_told(err))
    else:
        done.set_result(result)


def _told(err: BaseException) -> Exception:
    """Return an exception that a call raised as one that says so."""
    wrong = RuntimeError(f"the call raised {type(err).__name__}: {err}")
    wrong.__cause__ = err
    return wrong
