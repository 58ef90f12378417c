"""One effect of the simulated engine: tried until the time of its step is up, then one outcome.

Rule: a step is tried again only while the durable state owes it. Otherwise a promotion that was
given up could reach the next process of a master whose restart was its fence.
"""

from collections.abc import Callable, Mapping
from typing import Final, Protocol

from engine.core import events as ev
from engine.core.events import Result
from engine.core.fleet import Role
from engine.core.owed import Effect
from engine.core.policy import MS
from engine.core.standing import Heard, Lack
from engine.core.state import GroupState
from engine.simulation import programs
from engine.simulation.comparing import compare
from engine.simulation.masters import Answer, Phase, Status
from engine.simulation.outside import RETRY_US, Outside

TRIES: Final = 8  # of a step within its time, where nobody listens [count]


class Trier(Protocol):
    """The engine's process, as one of its effects meets it."""

    def guarded(self, action: Callable[[int], None]) -> Callable[[], None]:
        """Return what happens only in this life."""

    def owes(self, effect: Effect) -> bool:
        """Return whether the durable state owes `effect`."""

    def kept(self, group: str) -> Mapping[str, bytes]:
        """Return the digests of the state that is kept for `group`."""

    def leader(self, group: str) -> str:
        """Return whom the standbys of `group` have to follow."""

    def part(self, group: str) -> GroupState:
        """Return the durable state of `group`."""

    def lack(
        self, heir: Answer, heard: list[Heard], *, silent: set[str], served: int
    ) -> Lack | None:
        """Return what an heir lacks that somebody has."""

    def learnt(self, answers: Mapping[str, Answer]) -> None:
        """Take what masters said when an heir was held against them."""

    def finished(self, effect: Effect, outcome: ev.Outcome) -> None:
        """Take the one outcome of an effect."""


class Try:
    """One effect, tried until the time of its step is up; then it has exactly one outcome."""

    def __init__(self, rim: Trier, outside: Outside, effect: Effect) -> None:
        self._rim: Final = rim
        self._outside: Final = outside
        self._effect: Final = effect
        self._is_over = False
        self._was_sent = False
        self._server: Final = outside.servers.get(effect.master)
        self._no: Mapping[str, Answer] | None = None  # what was learnt when it was "not yet"
        self._detail = ""
        self._let: Answer | None = None  # how the heir stood when nothing spoke against it
        self._lacks = 0

    def begin(self) -> None:
        """Try it, and set its time."""
        # That of the routes is this engine's own, and cannot fail.
        if self._effect.step == "switch" and self._server is None:
            self._outside.later(MS, self._rim.guarded(lambda _: self._end(Result.OK)))
            return
        if programs.is_program(self._effect):
            policy = self._outside.policy_of(self._effect.group)
            fate = self._outside.programs.begun(self._effect, policy)
            self._outside.later(fate.takes_us, self._rim.guarded(lambda _: self._ran(fate)))
            return
        timeout_us = self._outside.policy_of(self._effect.group).failover.step_timeout_us
        self._outside.later(timeout_us, self._rim.guarded(self._late))
        self._attempt(0)

    def _ran(self, fate: programs.Fate) -> None:
        effect = self._effect
        result, said = programs.ended(effect, fate, self._outside.masters[effect.master])
        self._end(result, detail=said)

    def _late(self, _: int) -> None:
        if self._no is not None:
            self._refuse(self._no, self._detail)
        else:
            self._end(Result.UNKNOWN if self._was_sent else Result.FAILED)

    def _refuse(self, answers: Mapping[str, Answer], detail: str) -> None:
        if not self._is_over:
            self._rim.learnt(answers)
            self._end(Result.REFUSED, detail=detail)

    def _attempt(self, _: int) -> None:
        effect, rim = self._effect, self._rim
        if self._is_over or not rim.owes(effect):
            return
        if self._server is not None and effect.step == "transfer":
            timeout_us = self._outside.policy_of(effect.group).failover.step_timeout_us
            compare(rim, self._outside, effect, timeout_us, self._compared)
            return
        self._ask()

    def _compared(self, found: Lack | None, answers: Mapping[str, Answer]) -> None:
        """Take what an heir lacks: nothing, what may still come, or what the policy lets go."""
        if self._is_over:
            return
        allow_loss = self._outside.policy_of(self._effect.group).failover.allow_loss
        if found is not None and not found.is_let(allow_loss=allow_loss):
            self._no, self._detail = answers, found.detail
            if found.is_moving:
                self._soon()
            else:
                self._refuse(answers, found.detail)
            return
        self._lacks = 0 if found is None else found.bytes
        self._let = answers[self._effect.master]
        served = self._rim.part(self._effect.group).switch_epoch
        self._outside.compared(self._effect, answers, served=served)
        self._ask()

    def _ask(self) -> None:
        effect, rim = self._effect, self._rim
        master, server = self._outside.masters[effect.master], self._server
        kept, leader = rim.kept(effect.group), rim.leader(effect.group)
        self._no = None
        epoch, beside = effect.epoch, ""
        if server is not None:
            part = rim.part(effect.group)
            epoch = effect.epoch or part.epoch
            beside = next(
                (
                    name
                    for name, other in part.masters.items()
                    if other.role is Role.ACTIVE and name != effect.master
                ),
                "",
            )

        def take() -> Answer | None:
            master.leader = leader
            if server is not None:
                server.beside = beside
                server.let = None if self._let is None else self._let.standing
            return master.control(effect.step, failover=effect.failover, epoch=epoch, kept=kept)

        self._outside.send(
            effect.master,
            take,
            lambda answer: rim.guarded(lambda _: self._answered(answer))(),
            rim.guarded(self._again),
        )
        # It may have been sent from here on; that nobody listened takes it back.
        self._was_sent = self._was_sent or master.phase is not Phase.DOWN

    def _soon(self) -> None:
        self._outside.later(RETRY_US, self._rim.guarded(self._attempt))

    def _again(self, _: int) -> None:
        step_us = self._outside.policy_of(self._effect.group).failover.step_timeout_us
        again_us = max(RETRY_US, step_us // TRIES)
        self._outside.later(again_us, self._rim.guarded(self._attempt))

    def _answered(self, answer: Answer) -> None:
        match answer.status:
            case Status.OK:
                self._end(Result.OK, digest=answer.digest)
            case Status.CLOSED:
                self._again(0)
            case Status.AGAIN:
                self._no, self._detail = {}, "not yet"
                self._soon()
            case Status.ERROR:
                self._end(Result.UNKNOWN, detail="error")
            case _:
                self._end(Result.REFUSED, detail=answer.status.name.lower())

    def _end(self, result: Result, *, digest: str = "", detail: str = "") -> None:
        if self._is_over:
            return
        self._is_over = True
        effect = self._effect
        self._rim.finished(
            effect,
            ev.Outcome(
                step=effect.step,
                failover=effect.failover,
                epoch=effect.epoch,
                result=result,
                digest=digest,
                detail=detail,
                lacks=self._lacks if result is Result.OK else 0,
            ),
        )
