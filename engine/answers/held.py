"""What is to be said beside a causal chain: why nothing followed, and what is waited for."""

from collections.abc import Iterable

from engine.answers.folds import state_at
from engine.answers.search import Finder
from engine.answers.waiting import sentence, wait_of
from engine.answers.words import moment
from engine.core import events as ev
from engine.core.blocking import want
from engine.core.errors import LogCorrupted, StateDropped
from engine.core.events import GroupControl, Recorded
from engine.core.state import GroupState, State, is_active_standby
from engine.log.protocol import Log

CALLING: tuple[type[ev.AnyEvent], ...] = (ev.MasterFailed, ev.ActivationLost)


class Held:
    """What a log says about who waits; it is folded only where that is asked."""

    def __init__(self, log: Log, finder: Finder) -> None:
        self._log = log
        self._finder = finder
        self._states: dict[int, State | None] = {}
        self._is_dropped = False  # whether a state was asked for that retention has let go

    def state(self, seq: int) -> State | None:
        """Return the fold up to `seq`; None if the log cannot be folded so far."""
        if seq not in self._states:
            try:
                self._states[seq] = state_at(self._log, seq)
            except LogCorrupted:
                self._states[seq] = None
            except StateDropped:
                self._states[seq] = None
                self._is_dropped = True
        return self._states[seq]

    @property
    def now(self) -> State | None:
        """Return the fold of the whole log."""
        return self.state(self._finder.head)

    def has_group(self, name: str) -> bool:
        """Return whether the log ends with a group of this name."""
        return self.now is not None and name in self.now.groups

    def knows(self, name: str) -> bool:
        """Return whether the log ends with a master or a group of this name."""
        return self.now is not None and self.now.group_of(name) is not None

    def unanswered(self, name: str | None) -> Recorded | None:
        """Return the newest failure that nobody has taken over upon yet.

        Args:
            name: Of the group; None: of any of them.
        """
        state = self.now
        if state is None:
            return None
        groups = [group for group in state.groups.values() if name in (None, group.id)]
        seqs = [seq for group in groups for seq in _unanswered(state, group)]
        return self._finder.at(max(seqs)) if seqs else None

    def says(self, root: Recorded, *, is_named: bool) -> list[str]:
        """Return sentences for people about `root`, which was asked for by its seq or by name."""
        event = root.event
        if isinstance(event, ev.RollbackAccepted):
            return [_gone_back(event)]
        if isinstance(event, ev.RollbackEnded):
            before = self._finder.before(root.seq, (ev.RollbackAccepted,), root.subject)
            accepted = next((found.event for found in before), None)
            return [_gone_back(accepted)] if isinstance(accepted, ev.RollbackAccepted) else []
        if isinstance(event, CALLING):
            return self._after_failure(root, is_named=is_named)
        state = self.now if is_named else None
        group = None if state is None else state.groups.get(root.subject)
        if state is None or group is None:
            return []
        return list(_waits(state, group))

    def waits(self, name: str | None) -> list[str]:
        """Return what the group `name`, or any group, waits for at the end of the log."""
        state = self.now
        if state is None:
            return []
        return [
            said
            for group in state.groups.values()
            if name in (None, group.id)
            for said in _waits(state, group)
        ]

    def _after_failure(self, root: Recorded, *, is_named: bool) -> list[str]:
        then = self._group_at(root.seq, root.subject)
        if then is None:
            return self._long_after(root)
        state, group = then
        if not is_active_standby(state, group):
            return []  # whoever is healthy serves: nobody takes anything over
        wanted = want(group)
        if wanted is None or root.seq not in wanted.evidence:
            return [f"{root.subject} was not the active master: nobody had to take over"]
        followed = self._followed(root, group.id)
        if followed:
            return followed
        now = self._group_at(self._finder.head, root.subject) if is_named else None
        if now is not None:
            wanted = want(now[1])
            if wanted is not None and root.seq in wanted.evidence:
                return list(_waits(*now))
        return [f"nothing failed over then: {said}" for said in _waits(state, group)]

    def _long_after(self, root: Recorded) -> list[str]:
        """Return the same where the state of then cannot be had: what the events say of it."""
        now = self._group_at(self._finder.head, root.subject)
        followed = [] if now is None else self._followed(root, now[1].id)
        if followed or not self._is_dropped:
            return followed
        return ["nothing failed over then; why is not known, for what was observed was dropped"]

    def _group_at(self, seq: int, subject: str) -> tuple[State, GroupState] | None:
        state = self.state(seq)
        group = None if state is None else state.group_of(subject)
        return None if state is None or group is None else (state, group)

    def _followed(self, root: Recorded, group: str) -> list[str]:
        kinds = (ev.FailoverStarted, ev.FailoverProposed)
        for found in self._finder.after(root.seq, kinds, group):
            assert isinstance(found.event, ev.FailoverStarted | ev.FailoverProposed)
            if root.seq in found.event.evidence:
                is_failover = isinstance(found.event, ev.FailoverStarted)
                what = "failover" if is_failover else "the proposal"
                return [f"{what} {found.seq} followed: tanist why {found.seq}"]
        return []


def _unanswered(state: State, group: GroupState) -> Iterable[int]:
    if not is_active_standby(state, group) or group.saga is not None:
        return
    wanted = want(group)
    if wanted is not None and wanted.evidence:
        yield wanted.evidence[0]


def _waits(state: State, group: GroupState) -> Iterable[str]:
    block = wait_of(state, group)
    if block is not None:
        said = sentence(state, group, block)
        yield f"{said} (as of event {state.seq}, {moment(state.at_us)})"


def _gone_back(event: ev.RollbackAccepted) -> str:
    """Return what a rollback changed, or that it changed nothing."""
    changed = list(_changes(event.before, event.after))
    if not changed:
        served = f"{event.after.assigned} was active already" if event.after.assigned else ""
        same = ", ".join(part for part in (served, "strategy and weights were the same") if part)
        return f"nothing had to change to be as at position {event.position}: {same}"
    return f"back to what position {event.position} gives: {', '.join(changed)}"


def _changes(before: GroupControl, after: GroupControl) -> Iterable[str]:
    if before.assigned != after.assigned:
        yield f"active {before.assigned or 'nobody'} becomes {after.assigned or 'nobody'}"
    if before.strategy != after.strategy:
        yield f"strategy {before.strategy} becomes {after.strategy}"
    if before.weights != after.weights:
        yield "weights become " + ", ".join(f"{name} {weight}" for name, weight in after.weights)
