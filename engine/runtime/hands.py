"""What carries effects out: control steps and messages, each with a limit and one outcome.

The driver says how many messages may be under way to a master, and is told when each has ended, so
nothing waits here for room. What is under way when the working state is thrown away goes on.
"""

import asyncio
import hashlib
from collections.abc import Callable, Coroutine
from typing import Any, Final

from engine.core import events as ev
from engine.core.errors import ConfigurationError, LogError
from engine.core.events import Recorded, Result
from engine.core.fencing import is_told
from engine.core.owed import Deliver, Effect, owed
from engine.core.sending import deliver_timeout_us, is_current
from engine.runtime.bodies import Bodies
from engine.runtime.carriers.access import Access, access_of
from engine.runtime.carriers.asked import Carried, Carrier, line
from engine.runtime.carriers.asking import asked_of, members_of
from engine.runtime.carriers.command import CommandCarrier
from engine.runtime.carriers.function import Functions
from engine.runtime.carriers.http import HttpCarrier
from engine.runtime.carriers.redis import RedisCarrier
from engine.runtime.control import Delivery
from engine.runtime.ending import is_asked_to_end
from engine.runtime.failpoints import Failpoint
from engine.runtime.loop import Turning

# After these a step that is under way may not be owed any more.
_SETTLING: Final = frozenset({ev.AttemptFailed, ev.FailoverEnded, ev.MasterFenced})
# After these there may be masters that no way is held open to.
_DECLARING: Final = frozenset({ev.PolicyAdopted, ev.MasterAdded})
# What runs beside the steps ends by itself: it harms nobody, and half of it might.
_LET_BE: Final = ("after-", "recover")
_WITH_STATE: Final = ("http", "command", "python")  # kinds whose transfer carries what is kept


class EffectHands:
    """Carries effects out, each as the policy of its group says; messages go over HTTP."""

    def __init__(
        self,
        turning: Turning,
        *,
        failpoint: Failpoint,
        on_switch: Callable[[], None],
        functions: Functions | None = None,
        source: str = "",
    ) -> None:
        """Carry out nothing yet.

        Args:
            turning: Says what is owed, and takes the outcomes.
            failpoint: Called before and after each effect.
            on_switch: Makes all traffic go where the durable state says.
            functions: Those of the service, by group and step.
            source: The file of the configuration: relative files of it are beside that.
        """
        self._source: Final = source
        self.bodies: Final = Bodies(turning.log)
        self._turning: Final = turning
        self._failpoint: Final = failpoint
        self._on_switch: Final = on_switch
        self.functions: Final = functions or Functions()
        self._http: Final = HttpCarrier(self._access)
        self._redis: Final = RedisCarrier(self._access)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._steps: dict[Effect, asyncio.Task[None]] = {}
        self._messages: dict[Deliver, asyncio.Task[Delivery]] = {}
        self._unsent: set[Deliver] = set()  # of them: their masters cannot have them yet
        self._is_closed = False
        turning.listen(self._published)

    def leave(self) -> None:
        """Begin nothing more and give up what is under way: it stays owed."""
        self._is_closed = True
        for task in self._tasks:
            task.cancel()

    async def close(self) -> None:
        """Give up what is under way (it stays owed) and close every connection."""
        self.leave()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for carrier in (self._http, self._redis, self.functions):
            await carrier.close()

    def attach(self) -> None:
        """Hold a way open to whoever may have to be told something while it hangs."""
        state = self._turning.state
        for group in state.groups.values():
            if state.policy_of(group).effects == "redis" and is_told(state, group):
                self._redis.attach(group.id, members_of(group))

    def _access(self, group: str) -> Access:
        state = self._turning.state
        return access_of(state.policy_of(state.groups[group]), group=group, source=self._source)

    def _published(self, events: tuple[Recorded, ...]) -> None:
        if any(type(recorded.event) in _DECLARING for recorded in events):
            self.attach()
        if self._steps and any(type(recorded.event) in _SETTLING for recorded in events):
            self._give_up_settled()
        for recorded in events:
            event = recorded.event
            if isinstance(event, ev.MessageDone):
                self.bodies.drop(recorded.subject, event.key)
            elif isinstance(event, ev.MasterFenced):
                self._give_up_unsent(recorded.subject)
                self._http.close_idle(recorded.subject)

    def _give_up_settled(self) -> None:
        """Give up steps that are not owed any more: one that is tried again late could still act.

        A promotion must not reach a master whose restart was taken for its fence.
        """
        alive = set(owed(self._turning.state))
        for effect, task in self._steps.items():
            if effect not in alive and not effect.step.startswith(_LET_BE):
                task.cancel()

    def _give_up_unsent(self, master: str) -> None:
        """Give up the messages that `master` has not got and shall not have any more.

        What was sent may still be acknowledged; the core refuses that.
        """
        for deliver in self._unsent:
            if deliver.master == master and not is_current(self._turning.state, deliver):
                self._messages[deliver].cancel()

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # Steps.

    def start(self, effect: Effect) -> None:
        """Begin to carry out `effect`; its outcome is reported once."""
        if self._is_closed or effect in self._steps:  # the one under way will have its outcome
            return
        task = self._spawn(self._carry_out(effect))
        self._steps[effect] = task
        task.add_done_callback(lambda done: self._forget(effect, done))

    def _forget(self, effect: Effect, done: asyncio.Task[None]) -> None:
        if self._steps.get(effect) is done:
            del self._steps[effect]

    async def _carry_out(self, effect: Effect) -> None:
        self._failpoint("effect.before", effect.step)
        began_us = self._turning.clock.monotonic_us()
        try:
            carried = await self._step(effect)
        except asyncio.CancelledError:
            if is_asked_to_end():
                raise
            detail = "CancelledError: what it waited for was ended"
            carried = Carried(result=Result.UNKNOWN, detail=detail)
        except Exception as err:  # without an outcome it would be under way for ever
            carried = Carried(result=Result.UNKNOWN, detail=line(f"{type(err).__name__}: {err}"))
            asyncio.get_running_loop().call_exception_handler(
                {
                    "message": f"{effect.step} of {effect.master!r} could not be carried out",
                    "exception": err,
                }
            )
        elapsed_us = self._turning.clock.monotonic_us() - began_us
        self._failpoint("effect.after", f"{effect.step} {carried.result.value}")
        self._steps.pop(effect, None)  # from here on it may be asked for again
        if carried.result is Result.REFUSED:  # the next heir is chosen by what was learnt
            for master, report in carried.reports:
                self._turning.record(report, subject=master)
        self._turning.outcome(
            effect,
            ev.Outcome(
                step=effect.step,
                failover=effect.failover,
                epoch=effect.epoch,
                result=carried.result,
                digest=carried.digest,
                detail=carried.detail,
                elapsed_us=elapsed_us,
                lacks=carried.lacks,
            ),
        )

    async def _step(self, effect: Effect) -> Carried:
        if effect.step == "switch":
            self._on_switch()
        program = self._program(effect)
        if program == ():  # the policy had one when this began to be owed
            return Carried(result=Result.FAILED, detail="no program any more")
        carrier = self._carrier(effect) if program is None else CommandCarrier(program)
        if carrier is None:
            return Carried(result=Result.OK)
        state = self._turning.state
        kept: dict[str, bytes] = {}
        if effect.step == "transfer" and state.policy_of(state.groups[effect.group]).effects in (
            _WITH_STATE
        ):
            wanted = dict(state.groups[effect.group].kept)
            try:
                # A step that is settled meanwhile is cancelled, here as anywhere.
                blobs = await self.bodies.kept(effect.group, wanted)
            except LogError as err:
                return Carried(result=Result.FAILED, detail=str(err))
            lacking = [key for key, blob in blobs.items() if blob is None]
            if lacking:
                detail = f"the log holds no body of {', '.join(lacking)}"
                return Carried(result=Result.FAILED, detail=detail)
            kept = {key: blob or b"" for key, blob in blobs.items()}
        try:
            return await carrier.carry(asked_of(self._turning.state, effect, state_blobs=kept))
        except ConfigurationError as err:  # a password that is not where it should be
            return Carried(result=Result.FAILED, detail=line(str(err)))

    def _program(self, effect: Effect) -> tuple[str, ...] | None:
        """Return the program beside the steps that this effect is; None: it is none."""
        state = self._turning.state
        policy = state.policy_of(state.groups[effect.group])
        if effect.step.startswith(("before-", "after-")):
            return policy.hook(effect.step)
        if effect.step == "recover":
            return () if policy.recover is None else policy.recover.command
        return None

    def _carrier(self, effect: Effect) -> Carrier | None:
        """Return who carries this effect out; None: nobody has to."""
        state = self._turning.state
        policy = state.policy_of(state.groups[effect.group])
        if self.functions.has(effect.group, effect.step):
            return self.functions
        match policy.effects:
            case "command":
                assert policy.reach is not None
                return CommandCarrier(policy.reach.command)
            case "python":
                return self.functions
            case "redis":
                return self._redis
            case _:
                return None if effect.step == "switch" else self._http

    # Messages.

    def deliver(self, deliver: Deliver) -> None:
        """Begin to send a message; the driver is told how that ended, once."""
        if self._is_closed:
            return
        assert deliver not in self._messages
        task = self._messages[deliver] = self._spawn(self._deliver(deliver))
        self._unsent.add(deliver)
        # Not by the task itself: one that is cancelled before its first turn runs nothing.
        task.add_done_callback(lambda done: self._delivered(deliver, done))

    async def _deliver(self, deliver: Deliver) -> Delivery:
        try:
            body = await self.bodies.of(deliver)
        except LogError as err:
            return Delivery(kind="failed", detail=str(err))
        if body is None:  # purged: it stays open, and `verify` says so
            return Delivery(kind="failed", detail="the log holds no body of it")
        if not is_current(self._turning.state, deliver):
            return Delivery(kind="failed", detail="not sent: it was revoked")
        self._failpoint("deliver.before", deliver.key)
        place = self._turning.state.cache.places[deliver.master]
        address = place.master.declared.address
        try:
            control = self._http.control(deliver.group, deliver.master, address)
        except ConfigurationError as err:  # a file that is not where it should be
            return Delivery(kind="failed", detail=line(str(err)))
        sent = await control.deliver(
            epoch=deliver.epoch,
            key=deliver.key,
            lane=deliver.lane,
            body=body,
            timeout_us=deliver_timeout_us(self._turning.state, deliver),
            may_send=lambda: self._may_send(deliver),
        )
        self._failpoint("deliver.after", deliver.key)
        return sent

    def _may_send(self, deliver: Deliver) -> bool:
        """Return whether it is still for its master, which has it from here on."""
        if not is_current(self._turning.state, deliver):
            return False
        self._unsent.discard(deliver)
        return True

    def _delivered(self, deliver: Deliver, done: "asyncio.Task[Delivery]") -> None:
        """Tell the driver how a sending ended."""
        del self._messages[deliver]
        self._unsent.discard(deliver)
        turning, sending = self._turning, self._turning.driver.sending
        at_us = turning.clock.at_us()
        if done.cancelled():
            sending.ended(deliver, again_us=at_us)
        elif (err := done.exception()) is not None:
            sending.failed(deliver, at_us=at_us)
            asyncio.get_running_loop().call_exception_handler(
                {"message": f"message {deliver.key!r} could not be sent", "exception": err}
            )
        elif (sent := done.result()).kind == "done":
            sending.ended(deliver, again_us=None)
            self._acked(deliver, sent.state)
        elif sent.kind == "taken":
            self.bodies.drop(deliver.group, deliver.key)  # should it go again, the log has it
            sending.ended(deliver, again_us=at_us + deliver_timeout_us(turning.state, deliver))
        else:
            sending.failed(deliver, at_us=at_us)
        turning.kick()

    def _acked(self, deliver: Deliver, state: dict[str, bytes | None]) -> None:
        """Record the acknowledgement with the state that the master asked to be kept with it."""
        blobs = {key: (hashlib.sha256(blob or b"").digest(), blob) for key, blob in state.items()}
        for key, (digest, blob) in blobs.items():
            self.bodies.keep(deliver.group, key, digest, blob)
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
