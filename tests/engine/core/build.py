"""Stories: a state made by events alone, told so that a test reads like an incident."""

from collections.abc import Iterable
from typing import TypeVar

import msgspec

from engine.core import events as ev
from engine.core.decider import step
from engine.core.events import FLEET, AnyEvent, Evidence, Observation, Recorded, Result
from engine.core.fleet import Master, Mode
from engine.core.owed import Effect, owed
from engine.core.policy import (
    MS,
    SECOND,
    Automation,
    Fence,
    FenceKind,
    GroupPolicy,
    Policy,
    content_digest,
    preset,
)
from engine.core.state import GroupState, MasterState, State

E = TypeVar("E")

START_US = 1_000 * SECOND
PARTS = ("probe", "failover", "messages")


def made(
    name: str = "bench",
    *,
    mode: Mode = Mode.ACTIVE_STANDBY,
    fence: FenceKind = FenceKind.GATE,
    **changes: object,
) -> GroupPolicy:
    """Return the policy of a preset with `changes`, each a setting of whatever part has it."""
    policy = preset(name, mode=mode)
    changed: dict[str, object] = {"fence": Fence(kind=fence, clients="route")}
    for part in PARTS:
        settings = getattr(policy, part)
        own = {key: changes.pop(key) for key in settings.__struct_fields__ if key in changes}
        changed[part] = msgspec.structs.replace(settings, **own)
    return msgspec.structs.replace(policy, **changed, **changes)


def declared(names: Iterable[str], *, group: str = "g") -> tuple[Master, ...]:
    """Return masters of `group` whose priorities follow the order of `names`."""
    return tuple(
        Master(id=name, group=group, address=f"http://{name}:1", priority=rank)
        for rank, name in enumerate(names, start=1)
    )


def loaded(
    policy: GroupPolicy | dict[str, GroupPolicy] | Policy, masters: tuple[Master, ...]
) -> ev.ConfigurationLoaded:
    """Return the observation of a file that says this."""
    if isinstance(policy, Policy):
        whole = policy
    else:
        whole = Policy(groups=policy if isinstance(policy, dict) else {"g": policy})
    return ev.ConfigurationLoaded(
        digest=content_digest(whole, masters), policy=whole, masters=masters
    )


class Story:
    """One log of one group `g`, told step by step.

    Its masters answer as promised: under the epoch that they were last given, with a boot id that
    changes when they restart, and not at all while they are in `dead`.
    """

    def __init__(
        self,
        policy: GroupPolicy | dict[str, GroupPolicy] | Policy | None = None,
        *,
        names: str = "abc",
        masters: tuple[Master, ...] | None = None,
    ) -> None:
        self.state = State()
        self.log: list[Recorded] = []
        self.at_us = START_US
        self.n = 0
        self.epochs: dict[str, int] = {}
        self.roles: dict[str, str] = {}
        self.boots: dict[str, str] = {}
        self.dead: set[str] = set()
        self.answered: set[Effect] = set()
        self.see(loaded(policy or made(), declared(names) if masters is None else masters))
        self.see(ev.EngineStarted(release="1", stopped_at_us=0))
        self.wait(MS)

    # What there is.

    @property
    def group(self) -> GroupState:
        return self.state.groups["g"]

    def master(self, name: str) -> MasterState:
        return self.state.cache.places[name].master

    def owed(self) -> list[tuple[str, str]]:
        """Return the steps that are owed and to whom."""
        return [(effect.step, effect.master) for effect in owed(self.state)]

    # What happens.

    def see(self, event: Observation, subject: str = FLEET) -> list[Recorded]:
        """Return what this observation appends."""
        taken = step(self.state, event, subject=subject, at_us=self.at_us)
        assert not self.state.cache.dues.spent  # whatever was due is not so any more
        self.log += taken
        return taken

    def ask(self, event: Observation, subject: str = "g") -> list[Recorded]:
        return self.see(event, subject)

    def tick(self) -> list[Recorded]:
        """Return what the timer appends."""
        taken = step(self.state, None, at_us=self.at_us)
        assert not self.state.cache.dues.spent
        self.log += taken
        return taken

    def wait(self, us: int) -> None:
        """Let time pass unseen."""
        self.at_us += us

    def ok(self, *names: str, **fields: object) -> list[Recorded]:
        return self._answer(ev.ProbeOk, names, fields)

    def degraded(self, *names: str, **fields: object) -> list[Recorded]:
        return self._answer(ev.ProbeDegraded, names, {"reason": "slow", **fields})

    def _answer(
        self,
        kind: type[ev.ProbeOk | ev.ProbeDegraded],
        names: Iterable[str],
        fields: dict[str, object],
    ) -> list[Recorded]:
        taken: list[Recorded] = []
        for name in names:
            self.n += 1
            said: dict[str, object] = {
                "n": self.n,
                "latency_us": 500,
                "boot": self.boots.get(name, f"{name}1"),
                "epoch": self.epochs.get(name, 0),
                "role": self.roles.get(name, ""),
            }
            taken += self.see(kind(**{**said, **fields}), name)  # type: ignore[arg-type]
        return taken

    def fails(
        self, *names: str, evidence: Evidence = Evidence.OVERDUE, late_us: int = 0
    ) -> list[Recorded]:
        taken: list[Recorded] = []
        for name in names:
            self.n += 1
            failed = ev.ProbeFailed(n=self.n, evidence=evidence, late_us=late_us)
            taken += self.see(failed, name)
        return taken

    def refuses(self, *names: str) -> list[Recorded]:
        return self.fails(*names, evidence=Evidence.REFUSED)

    def closes(self, name: str, evidence: Evidence = Evidence.CLOSED) -> list[Recorded]:
        return self.see(ev.ConnectionClosed(evidence=evidence), name)

    def crashes(self, name: str) -> list[Recorded]:
        """Its process is gone: the connection ends and a fresh one is refused."""
        self.dead.add(name)
        return [*self.closes(name), *self.refuses(name)]

    def restarts(self, name: str) -> None:
        """It comes back, and knows nothing of what it was."""
        self.dead.discard(name)
        self.boots[name] = self.boots.get(name, f"{name}1") + "+"
        self.epochs[name] = 0

    def accepts(self, key: str, *, lane: str = "g") -> list[Recorded]:
        accepted = ev.MessageAccepted(key=key, lane=lane, size=1, digest=key.encode())
        return self.see(accepted, "g")

    def keeps(self, name: str, *blobs: tuple[str, int, bytes]) -> list[Recorded]:
        """Have a master do a message and ask for blobs to be kept with it."""
        key = f"keeps-{self.state.seq}"
        self.accepts(key, lane=key)
        return self.see(ev.MessageAcked(key=key, epoch=self.epochs[name], keeps=blobs), name)

    def acks(self, key: str, name: str, epoch: int | None = None) -> list[Recorded]:
        under = self.epochs[name] if epoch is None else epoch
        return self.see(ev.MessageAcked(key=key, epoch=under), name)

    def answers(
        self, step_name: str, result: Result = Result.OK, *, master: str = "", digest: str = ""
    ) -> list[Recorded]:
        """Give the outcome of the step of this name that is owed (to `master`)."""
        effect = next(
            effect
            for effect in owed(self.state)
            if effect.step == step_name and master in ("", effect.master)
        )
        return self.ends(effect, result, digest=digest)

    def ends(self, effect: Effect, result: Result, *, digest: str = "") -> list[Recorded]:
        """Give the outcome of an effect."""
        self.answered.add(effect)
        saga = self.group.saga
        if not digest and effect.step == "transfer" and saga is not None:
            digest = saga.transfer_digest
        if result is Result.OK and effect.step in ("promote", "fence"):
            self.epochs[effect.master] = effect.epoch
        outcome = ev.Outcome(
            step=effect.step,
            failover=effect.failover,
            epoch=effect.epoch,
            result=result,
            digest=digest,
        )
        return self.see(outcome, effect.master)

    def work(self) -> list[Recorded]:
        """Answer whatever is owed until nothing new is; the dead answer nothing, and are told."""
        taken: list[Recorded] = []
        while True:
            new = [effect for effect in owed(self.state) if effect not in self.answered]
            if not new:
                return taken
            is_dead = new[0].master in self.dead
            taken += self.ends(new[0], Result.FAILED if is_dead else Result.OK)

    def serve(self) -> "Story":
        """Let all masters be well, and the first of them become the active one."""
        names = list(self.group.masters)
        self.ok(*names)
        self.work()
        self.ok(*names)
        return self


def story(name: str = "bench", *, names: str = "abc", **changes: object) -> Story:
    """Return a story in which the first of `names` serves."""
    return Story(made(name, **changes), names=names).serve()  # type: ignore[arg-type]


def kinds(taken: Iterable[Recorded]) -> list[str]:
    """Return the names of what was decided, in order."""
    return [
        type(recorded.event).__name__
        for recorded in taken
        if type(recorded.event) not in ev.OBSERVATIONS
    ]


def only(taken: Iterable[Recorded], kind: type[E]) -> E:
    """Return the one event of `kind`; anything but one fails."""
    (found,) = [recorded.event for recorded in taken if isinstance(recorded.event, kind)]
    return found


def subjects(taken: Iterable[Recorded], kind: type[AnyEvent]) -> list[str]:
    """Return whom the events of `kind` are about."""
    return [recorded.subject for recorded in taken if isinstance(recorded.event, kind)]


def refused(taken: list[Recorded]) -> tuple[str, ...]:
    """Return the reasons; whatever else was decided fails."""
    assert kinds(taken) == ["Refused"]
    refusal = only(taken, ev.Refused)
    assert taken[-1].cause == taken[0].seq
    return refusal.reasons


def switch(tale: Story, to: str = "", *, at_rest: bool = False) -> list[Recorded]:
    return tale.ask(ev.SwitchoverAsked(to=to, author="x", at_rest=at_rest))


def force(tale: Story, to: str = "", *, at_rest: bool = False) -> list[Recorded]:
    return tale.ask(ev.FailoverAsked(to=to, author="x", at_rest=at_rest))


def abandoned() -> Story:
    """Return a story in which a, the last to be assigned, stands by like everybody else."""
    tale = story(names="ab", attempts_max=1, automation=Automation.CONFIRM)
    tale.ask(ev.Approved(author="x"))
    tale.work()
    tale.crashes("a")
    tale.ask(ev.Approved(author="x"))
    tale.answers("transfer", Result.FAILED)
    tale.restarts("a")
    tale.answers("fence")
    return tale


def offer(tale: Story, **changes: object) -> list[Recorded]:
    names = str(changes.pop("names", "abc"))
    return tale.see(loaded(made(**changes), declared(names)))  # type: ignore[arg-type]
