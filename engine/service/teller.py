"""What the service tells people while it decides: its decisions, and what its groups wait for.

A master that flaps must not bury the rest. Of its verdicts the first few are said, then one a
second; how many were left out is said once it has calmed down.
"""

from collections.abc import Callable
from typing import Final

import msgspec

from engine.answers.telling import PLAIN, line
from engine.answers.waiting import sentence, wait_of
from engine.answers.words import harmless, lasting, moment
from engine.core import events as ev
from engine.core.blocking import Block, want
from engine.core.events import Recorded
from engine.core.policy import SECOND
from engine.core.state import GroupState, State

VERDICTS_MAX: Final = 5  # of one master in a row, before it is one for each PACE_US [count]
PACE_US: Final = SECOND
CALM_US: Final = 3 * SECOND  # without a verdict a master has calmed down [us]
LOOK_US: Final = SECOND  # how often the groups are asked what they wait for [us]

_VERDICTS: Final = (
    ev.MasterHealthy,
    ev.MasterDegraded,
    ev.MasterFailed,
    ev.MasterRecovering,
    ev.MasterUnknown,
)


class _Flaps(msgspec.Struct, frozen=False, kw_only=True):
    """The verdicts on one master."""

    owed_us: int = 0  # until when what was said is paid for: PACE_US each
    last_us: int = 0
    since_us: int = 0  # of the first one that was left out
    left_out: int = 0


class Teller:
    """Says what an engine decides, as it becomes durable."""

    def __init__(self, state: Callable[[], State], say: Callable[[str], None]) -> None:
        """Begin to tell.

        Args:
            state: Returns the durable state, as of the batch that was published last.
            say: Says a line.
        """
        self._state: Final = state
        self._say: Final = say
        self._flaps: Final[dict[str, _Flaps]] = {}
        self._waits: Final[dict[str, tuple[object, ...]]] = {}  # what was said of each group last
        self._looked_us = 0

    def published(self, events: tuple[Recorded, ...]) -> None:
        """Say what is news in a batch, and what a group waits for that has lost its active."""
        state = self._state()
        lost: dict[str, int] = {}
        for recorded in events:
            if type(recorded.event) in PLAIN:
                continue
            group = state.group_of(recorded.subject)
            said = line(recorded, group.id if group is not None else "")
            if said and self._is_due(recorded):
                self._say(said)
            if group is not None and _is_lost(recorded, group):
                lost[group.id] = recorded.at_us
        for name, at_us in lost.items():
            if name in state.groups:
                self._say_wait(state, state.groups[name], at_us)
        if events and not 0 <= events[-1].at_us - self._looked_us < LOOK_US:
            self._look(state, events[-1].at_us)

    def close(self) -> None:
        """Say what was left out so far."""
        for master in tuple(self._flaps):
            self._say_flaps(self._state(), master)

    def _look(self, state: State, at_us: int) -> None:
        """Say which masters have calmed down, and what groups wait for by now.

        Much of what ends a wait or begins another is no decision: a time that has passed, a role
        that a master reports. So this looks, and not at each probe: with many masters it is work.
        """
        is_first = not self._looked_us
        self._looked_us = at_us
        for master, flaps in tuple(self._flaps.items()):
            if at_us - flaps.last_us >= CALM_US:
                self._say_flaps(state, master)
                if at_us >= flaps.owed_us:
                    del self._flaps[master]
        if is_first:
            return  # who has just begun to listen has hardly heard a master yet
        for name in [name for name in self._waits if name not in state.groups]:
            del self._waits[name]
        for group in state.groups.values():
            self._say_wait(state, group, at_us)

    # What a group waits for.

    def _say_wait(self, state: State, group: GroupState, at_us: int) -> None:
        """Say what `group` waits for, if that is not what was said last."""
        if group.saga is not None:
            return  # its own lines say that
        block = wait_of(state, group)
        if block is None:
            if want(group) is None:
                self._waits.pop(group.id, None)  # it is served again
            return
        if block.reason == "observing":
            return  # the proposal says that
        what = _identity(group, block)
        if self._waits.get(group.id) == what:
            return
        self._waits[group.id] = what
        said = harmless(sentence(state, group, block))
        self._say(f"{moment(at_us)} {group.id}: {said}")

    # Masters that flap.

    def _is_due(self, recorded: Recorded) -> bool:
        """Return whether to say an event: of the verdicts on a master, a few and one a second."""
        if not isinstance(recorded.event, _VERDICTS):
            return True
        at_us = recorded.at_us
        flaps = self._flaps.setdefault(recorded.subject, _Flaps())
        flaps.last_us = at_us
        owed_us = max(flaps.owed_us, at_us) + PACE_US
        if owed_us - at_us <= VERDICTS_MAX * PACE_US:
            flaps.owed_us = owed_us
            return True
        if not flaps.left_out:
            flaps.since_us = at_us
        flaps.left_out += 1
        return False

    def _say_flaps(self, state: State, master: str) -> None:
        flaps = self._flaps[master]
        if not flaps.left_out:
            return
        group = state.group_of(master)
        found = group.masters.get(master) if group is not None else None
        now = f"; it is {found.health.value} now" if found is not None else ""
        changes = f"{flaps.left_out} more change{'' if flaps.left_out == 1 else 's'}"
        spent = lasting(flaps.last_us - flaps.since_us)
        where = group.id if group is not None else master
        said = f"{moment(flaps.last_us)} {where}: ... {changes} of {master} in {spent}{now}"
        self._say(harmless(said))
        flaps.left_out = 0


def _is_lost(recorded: Recorded, group: GroupState) -> bool:
    """Return whether an event takes its active from `group`."""
    if isinstance(recorded.event, ev.ActivationLost):
        return True
    if not isinstance(recorded.event, ev.MasterFailed):
        return False
    wanted = want(group)
    return wanted is not None and wanted.source == recorded.subject


def _identity(group: GroupState, block: Block) -> tuple[object, ...]:
    """Return what makes a wait another one.

    Who is unfit and why is no part of it: with many masters down that changes with each verdict.
    """
    wanted = want(group)
    lead = None if wanted is None else (wanted.why, wanted.source)
    return block.reason, block.until_us, lead
