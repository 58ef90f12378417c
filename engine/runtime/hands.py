"""What carries effects out: control steps and messages, each with a limit and one outcome."""

import asyncio
import base64
import contextlib
import hashlib
from collections.abc import Callable, Coroutine
from typing import Any, Final

from engine.core import events as ev
from engine.core.errors import LogError
from engine.core.events import Recorded, Result
from engine.core.owed import Deliver, Effect, owed
from engine.core.policy import MS
from engine.core.transfer import kept_digest
from engine.runtime.control import Control
from engine.runtime.failpoints import Failpoint
from engine.runtime.loop import Turning

UNDELIVERED_US: Final = 50 * MS  # a message that did not arrive is tried again after this [us]
# After these a step that is under way may not be owed any more.
_SETTLING: Final = frozenset({ev.AttemptFailed, ev.FailoverEnded, ev.MasterFenced})
CONCURRENT_MAX: Final = 256  # messages under way to all masters [count]


class HttpHands:
    """Carries effects out over the masters' HTTP protocol."""

    def __init__(
        self, turning: Turning, *, failpoint: Failpoint, on_switch: Callable[[], None]
    ) -> None:
        """`on_switch` makes all traffic go where the durable state says."""
        self._turning: Final = turning
        self._failpoint: Final = failpoint
        self._on_switch: Final = on_switch
        self._controls: dict[str, Control] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._steps: dict[Effect, asyncio.Task[None]] = {}
        self._bodies: dict[bytes, bytes] = {}
        self._gate = asyncio.Semaphore(CONCURRENT_MAX)
        turning.listen(self._published)

    async def close(self) -> None:
        """Give up what is under way (it stays owed) and close every connection."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for control in self._controls.values():
            await control.close()

    def remember(self, digest: bytes, body: bytes) -> None:
        """Keep a body at hand until its message is done."""
        self._bodies[digest] = body

    def _published(self, events: tuple[Recorded, ...]) -> None:
        if self._steps and any(type(recorded.event) in _SETTLING for recorded in events):
            self._give_up_settled()
        for recorded in events:
            if type(recorded.event) is ev.MasterFenced:
                control = self._controls.get(recorded.subject)
                if control is not None:
                    control.close_idle()

    def _give_up_settled(self) -> None:
        """Give up steps that are not owed any more: one that is tried again late could still act.

        A promotion must not reach a master whose restart was taken for its fence.
        """
        alive = set(owed(self._turning.state))
        for effect, task in self._steps.items():
            if effect not in alive:
                task.cancel()

    def _control(self, master: str) -> Control:
        control = self._controls.get(master)
        if control is None:
            place = self._turning.state.cache.places[master]
            control = self._controls[master] = Control(place.master.declared.address)
        return control

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # Steps.

    def start(self, effect: Effect) -> None:
        """Begin to carry out `effect`; its outcome is reported once."""
        task = self._spawn(self._carry_out(effect))
        self._steps[effect] = task
        task.add_done_callback(lambda done: self._forget(effect, done))

    def _forget(self, effect: Effect, done: asyncio.Task[None]) -> None:
        if self._steps.get(effect) is done:
            del self._steps[effect]

    async def _carry_out(self, effect: Effect) -> None:
        self._failpoint("effect.before", effect.step)
        began_us = self._turning.clock.monotonic_us()
        result, detail, digest = await self._step(effect)
        elapsed_us = self._turning.clock.monotonic_us() - began_us
        self._failpoint("effect.after", f"{effect.step} {result.value}")
        self._turning.outcome(
            effect,
            ev.Outcome(
                step=effect.step,
                failover=effect.failover,
                epoch=effect.epoch,
                result=result,
                digest=digest,
                detail=detail,
                elapsed_us=elapsed_us,
            ),
        )

    async def _step(self, effect: Effect) -> tuple[Result, str, str]:
        if effect.step == "switch":
            self._on_switch()
            return Result.OK, "", ""
        state = self._turning.state
        group = state.groups[effect.group]
        timeout_us = state.policy_of(group).failover.step_timeout_us
        body: dict[str, object] = {
            "failover": effect.failover,
            "step": effect.step,
            "epoch": effect.epoch or group.epoch,
            "group": effect.group,
        }
        if effect.step == "transfer":
            try:
                blobs = {key: self._turning.log.body(digest) for key, digest in group.kept.items()}
            except LogError as err:
                return Result.FAILED, str(err), ""
            lacking = [key for key, blob in blobs.items() if blob is None]
            if lacking:
                return Result.FAILED, f"the log holds no body of {', '.join(lacking)}", ""
            body["state"] = {
                key: base64.b64encode(blob or b"").decode() for key, blob in blobs.items()
            }
            body["digest"] = kept_digest(group.kept)
        reply = await self._control(effect.master).step(effect.step, body, timeout_us=timeout_us)
        return reply.result, reply.detail, str(reply.data.get("digest", ""))

    # Messages.

    def deliver(self, deliver: Deliver) -> None:
        """Begin to send a message."""
        self._spawn(self._deliver(deliver))

    async def _deliver(self, deliver: Deliver) -> None:
        turning = self._turning
        async with self._gate:
            body = self._bodies.get(deliver.digest)
            if body is None:
                with contextlib.suppress(LogError):  # it is asked for again after the time-out
                    body = turning.log.body(deliver.digest)
            if body is None:
                return  # purged: it stays open, and `verify` says so
            self._failpoint("deliver.before", deliver.key)
            group = turning.state.groups[deliver.group]
            timeout_us = turning.state.policy_of(group).messages.deliver_timeout_us
            sent = await self._control(deliver.master).deliver(
                epoch=deliver.epoch,
                key=deliver.key,
                lane=deliver.lane,
                body=body,
                timeout_us=timeout_us,
            )
            self._failpoint("deliver.after", deliver.key)
        if sent.kind == "done":
            self._acked(deliver, sent.state)
        elif sent.kind == "taken":
            self._bodies.pop(deliver.digest, None)  # should it be sent again, the log has it
        else:
            retry_us = turning.clock.at_us() + UNDELIVERED_US
            turning.driver.undelivered(deliver, retry_at_us=retry_us)
            turning.kick()

    def _acked(self, deliver: Deliver, state: dict[str, bytes | None]) -> None:
        """Record the acknowledgement with the state that the master asked to be kept with it."""
        self._bodies.pop(deliver.digest, None)
        blobs = {key: (hashlib.sha256(blob or b"").digest(), blob) for key, blob in state.items()}
        self._turning.record(
            ev.MessageAcked(
                key=deliver.key,
                epoch=deliver.epoch,
                keeps=tuple(
                    (key, -1 if blob is None else len(blob), digest)
                    for key, (digest, blob) in blobs.items()
                ),
            ),
            subject=deliver.master,
            bodies={digest: blob for digest, blob in blobs.values() if blob is not None},
        )
        self._failpoint("ack.after", deliver.key)
