"""Which of the owed effects are issued: each is until its outcome is in, or waits for its turn.

Rule 1: an effect counts as issued until its outcome is durable, for until then it is owed. When the
working state is thrown away, every owed one counts as not issued.

Rule 2: what came to nothing waits, longer each time; a master that answers again is waited for no
longer.

Rule 3: while a pause holds, of which the log need not know yet, an automatic failover that has had
no effect is not begun (`holding`).

Most of a large fleet is quiet. A group is asked what it owes when something happened to it, and the
time at which it has something to be issued is kept; so a turn costs what there is to issue.
"""

from typing import Final, TypeAlias

import msgspec

from engine.core import events as ev
from engine.core.dues import FAR_US, Earliest
from engine.core.events import Recorded, Result
from engine.core.holding import Holding
from engine.core.owed import Effect, owed_of
from engine.core.policy import MS, SECOND
from engine.core.state import State

BACKOFF_US: Final = 100 * MS  # the first pause before an effect is tried again; doubles
BACKOFF_US_MAX: Final = 30 * SECOND
_TOLD_AGAIN: Final = ("follow", "detach")
_SETTLES: Final = frozenset((ev.Outcome, ev.MasterRejoined, ev.FailoverEnded, ev.SwitchDone))

Key: TypeAlias = tuple[str, str, int, int]  # step, master, failover, epoch


class _Try(msgspec.Struct, kw_only=True):
    """How often an effect was tried; volatile, for pacing only."""

    count: int = 0
    not_before_us: int = 0
    last: tuple[Result, str] | None = None

    @property
    def has_succeeded(self) -> bool:
        """Return whether it was done."""
        return self.last is not None and self.last[0] is Result.OK


class _Owing:
    """One group: what it owes, and what became of it so far."""

    __slots__ = ("effects", "issued", "keyed", "tries")

    def __init__(self) -> None:
        self.effects: tuple[Effect, ...] = ()
        self.keyed: tuple[tuple[Key, Effect], ...] = ()  # the same, each with its key
        self.issued: set[Key] = set()
        self.tries: dict[Key, _Try] = {}

    def owe(self, effects: tuple[Effect, ...]) -> None:
        """Take what is owed now; what ended well and is owed no more may be owed again at once."""
        self.effects = effects
        self.keyed = tuple([(key_of(effect), effect) for effect in effects])
        if not self.tries:
            return
        alive = {key for key, _ in self.keyed}
        for key in [key for key in self.tries if key not in alive and key not in self.issued]:
            if self.tries[key].has_succeeded:
                del self.tries[key]

    def not_before_us(self, key: Key) -> int:
        """Return when an effect may be issued [us]; 0: at once."""
        tried = self.tries.get(key)
        return 0 if tried is None else tried.not_before_us


class Issuing:
    """The effects that one durable state owes."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._owing: Final[dict[str, _Owing]] = {}  # by group; most owe nothing and are not here
        self._waits: Final = Earliest()  # when each has something that may be issued
        self._holding: Final = Holding()

    def reset(self, state: State) -> None:
        """Begin again from `state`; every owed effect counts as not issued."""
        self._state = state
        self._forget_all()
        state.cache.unasked.are_all = True

    def _forget_all(self) -> None:
        self._owing.clear()
        self._waits.clear()
        self._holding.clear()

    # What is owed.

    def _ask(self) -> None:
        """Ask the groups that something happened to what they owe now; the others owe the same."""
        state = self._state
        unasked = state.cache.unasked
        if not (unasked.parts or unasked.are_all):
            return
        if unasked.are_all:
            self._forget_gone()
        for name in unasked.take(state.groups):
            group = state.groups.get(name)
            if group is None:
                continue  # the fleet, which owes nothing
            effects = tuple(owed_of(state, group))
            owing = self._owing.get(name)
            if owing is None and effects:
                owing = self._owing[name] = _Owing()
            if owing is not None:
                owing.owe(effects)
                self._holding.look(group, is_owing=bool(effects))
                self._schedule(name, owing)
                if not (effects or owing.issued or owing.tries):
                    self._forget(name)

    def _forget(self, name: str) -> None:
        """Forget a group of which there is nothing to be known."""
        del self._owing[name]
        self._waits.forget(name)
        self._holding.let_go(name)

    def _forget_gone(self) -> None:
        """Forget the groups that were dropped."""
        for name in self._owing.keys() - self._state.groups.keys():
            self._forget(name)

    def _schedule(self, name: str, owing: _Owing) -> None:
        """Note when a group has something that may be issued."""
        held, first_us = self._holding.held.get(name, 0), FAR_US
        for key, effect in owing.keyed:
            if key not in owing.issued and not (held and effect.failover == held):
                first_us = min(first_us, owing.not_before_us(key))
        self._waits.note(name, first_us)

    # What became durable.

    def note(self, recorded: Recorded) -> None:
        """Let go what a durable event, by now evolved, has settled in its group."""
        event = recorded.event
        if type(event) not in _SETTLES:
            return
        group = self._state.group_of(recorded.subject)
        owing = None if group is None else self._owing.get(group.id)
        if group is None or owing is None:
            return
        if isinstance(event, ev.Outcome):
            owing.issued.discard((event.step, recorded.subject, event.failover, event.epoch))
            return  # its group is asked again, for it was told
        self._ask()
        alive = {key for key, _ in owing.keyed}
        owing.issued &= alive
        owing.tries = {key: tried for key, tried in owing.tries.items() if key in alive}
        self._holding.forget(group.id, owing.effects)

    # What is issued.

    @property
    def has_first(self) -> bool:
        """Return whether a failover is owed its first effect, which a pause still holds back."""
        self._ask()
        return bool(self._holding.firsts)

    @property
    def is_holding(self) -> bool:
        """Return whether a pause holds back the first effect of a failover."""
        return bool(self._holding.held)

    def due(self, at_us: int, *, is_paused: bool) -> list[Effect]:
        """Return the effects to issue now, each once, in the order of the groups."""
        self._ask()
        if not (is_paused or self._holding.held) and self._waits.first()[0] > at_us:
            return []
        for name in self._holding.hold(is_paused=is_paused):
            self._schedule(name, self._owing[name])
        due: list[Effect] = []
        for name in sorted(self._waits.upto(at_us)):
            owing, held = self._owing[name], self._holding.held.get(name, 0)
            for key, effect in owing.keyed:
                if key in owing.issued or (held and effect.failover == held):
                    continue
                self._holding.begun(effect)
                if owing.not_before_us(key) <= at_us:
                    owing.issued.add(key)
                    due.append(effect)
            self._schedule(name, owing)
        return due

    def next_us(self) -> int | None:
        """Return when something may be issued [us], 0 if at once; None: nothing may by time."""
        self._ask()
        first_us = self._waits.first()[0]
        return None if first_us == FAR_US else first_us

    def ended(self, effect: Effect, outcome: ev.Outcome, *, at_us: int, is_there: bool) -> bool:
        """Take the one outcome of an issued effect; return whether it is to be observed.

        A repeat that changes nothing is no event, nor is one of a master that is not there any
        more, or of an effect issued before the state was thrown away: it is asked for again.
        """
        owing, key = self._owing.get(effect.group), key_of(effect)
        if owing is None or key not in owing.issued:
            return False
        tried = owing.tries.setdefault(key, _Try())
        tried.count += 1
        pause_us = min(BACKOFF_US << min(tried.count - 1, 16), BACKOFF_US_MAX)
        tried.not_before_us = at_us + pause_us
        result = (outcome.result, outcome.digest)
        # A standby that went astray after it was told, or is another process since, is told again
        # under the same key.
        is_told_again = effect.step in _TOLD_AGAIN and outcome.result is Result.OK
        if is_told_again:
            tried.count = 0
        if is_there and (tried.last != result or is_told_again):
            # It counts as issued until its outcome is durable: until then it is still owed.
            tried.last = result
            return True
        owing.issued.discard(key)
        self._schedule(effect.group, owing)
        return False

    def answered(self, master: str) -> None:
        """Note that `master` answers again: what is owed to it need not wait any longer.

        Nor does it wait for long if that fails: pauses begin anew with the shortest.
        """
        group = self._state.group_of(master)
        owing = None if group is None else self._owing.get(group.id)
        if group is None or owing is None:
            return
        for key, tried in owing.tries.items():
            if key[1] == master:
                tried.count = tried.not_before_us = 0
        self._schedule(group.id, owing)


def key_of(effect: Effect) -> Key:
    """Return the key of an effect, without its group, which its master belongs to."""
    return effect.step, effect.master, effect.failover, effect.epoch
