"""The machines of masters and failovers, as tables.

Rule 1: every legal move is a row. Guards live in `decide`, which chooses the event; once an event
is in the log its move is a fact, so a row has no condition and no callback.

Rule 2: a log in which a machine would have to make a move that its table lacks is corrupt there.

Rule 3: there is no cell without a rule (`Table.answer`): a kind that has a row in a table moves its
machine from the sources of those rows and is refused in every other state; any other kind leaves
the machine where it is, in every state.

Rule 4: one `transitions.Machine` for each table, for all masters and groups: it is the declaration
and the oracle. The fold uses the mapping compiled from it, some eighty times faster than a trigger;
a test holds every cell of the mapping against the machine.
"""

import enum
from collections.abc import Iterable
from typing import Final, Generic, TypeAlias, TypeVar

from transitions import Machine

from engine.core.errors import LogCorrupted
from engine.core.events import (
    KINDS,
    Activated,
    AnyEvent,
    ApprovalGiven,
    AttemptFailed,
    AttemptStarted,
    Compensated,
    DrainCancelled,
    DrainEnded,
    DrainStarted,
    FailoverEnded,
    FailoverStarted,
    LogBased,
    MasterDegraded,
    MasterFailed,
    MasterFenced,
    MasterHealthy,
    MasterRecovering,
    MasterRejoined,
    MasterUnknown,
    PromotionStarted,
    Recorded,
    Switched,
    TransferStarted,
    VerificationStarted,
)
from engine.core.fleet import Health, Role
from engine.core.state import Phase

S = TypeVar("S", bound=enum.Enum)
Row: TypeAlias = tuple[type[AnyEvent], S, S]

_U, _H, _D, _F, _R = Health
HEALTH_ROWS: Final[tuple[Row[Health], ...]] = (
    *((MasterHealthy, source, _H) for source in (_U, _D, _R)),
    *((MasterDegraded, source, _D) for source in (_U, _H, _R)),
    *((MasterFailed, source, _F) for source in (_U, _H, _D, _R)),
    (MasterRecovering, _F, _R),
    *((MasterUnknown, source, _U) for source in (_H, _D, _F, _R)),
)
ROLE_ROWS: Final[tuple[Row[Role], ...]] = (
    (Activated, Role.STANDBY, Role.ACTIVE),
    (PromotionStarted, Role.STANDBY, Role.PROMOTING),
    (Switched, Role.PROMOTING, Role.ACTIVE),
    (DrainStarted, Role.ACTIVE, Role.DRAINING),
    (DrainCancelled, Role.DRAINING, Role.ACTIVE),
    (DrainEnded, Role.DRAINING, Role.STANDBY),
    *(
        # One that is fenced already is fenced anew if it knows a newer epoch than its fence has.
        (MasterFenced, source, Role.FENCED)
        for source in (Role.STANDBY, Role.PROMOTING, Role.ACTIVE, Role.DRAINING, Role.FENCED)
    ),
    (MasterRejoined, Role.FENCED, Role.STANDBY),
)
FAILOVER_ROWS: Final[tuple[Row[Phase], ...]] = (
    (FailoverStarted, Phase.IDLE, Phase.SELECTING),
    (AttemptStarted, Phase.SELECTING, Phase.FENCING),
    (TransferStarted, Phase.FENCING, Phase.TRANSFERRING),
    (PromotionStarted, Phase.TRANSFERRING, Phase.PROMOTING),
    (VerificationStarted, Phase.PROMOTING, Phase.VERIFYING),
    (Switched, Phase.VERIFYING, Phase.COMPLETED),
    *(
        (AttemptFailed, source, Phase.COMPENSATING)
        for source in (Phase.FENCING, Phase.TRANSFERRING, Phase.PROMOTING, Phase.VERIFYING)
    ),
    (Compensated, Phase.COMPENSATING, Phase.SELECTING),
    # Abandoned while selecting, or completed in the append that switched.
    *((FailoverEnded, source, Phase.IDLE) for source in (Phase.SELECTING, Phase.COMPLETED)),
)


class Table(Generic[S]):
    """One table in its three forms: rows, machine, mapping."""

    def __init__(
        self,
        states: type[S],
        rows: Iterable[Row[S]],
        *,
        refused: Iterable[tuple[type[AnyEvent], S]] = (),
    ) -> None:
        """Declare a machine.

        Args:
            states: Its states, the first one first.
            rows: Every legal move.
            refused: Where a kind that moves nothing cannot have happened.
        """
        self.states: Final = states
        self.rows: Final = tuple(rows)
        self.refused: Final = frozenset(refused)
        # auto_transitions=False: the default adds a to_<state>() trigger for every state, a back
        # door past the table. queued=False: a queued machine returns True for a refused move.
        self.machine: Final = Machine(
            model=None,
            states=states,
            initial=next(iter(states)),
            transitions=[
                {"trigger": kind.__name__, "source": source, "dest": dest}
                for kind, source, dest in self.rows
            ],
            auto_transitions=False,
            queued=False,
        )
        self.moves: Final[dict[tuple[type[AnyEvent], S], S]] = {
            (kind, states[source]): states[str(move.dest)]
            for kind in {kind for kind, _, _ in self.rows}
            for source, (move,) in self.machine.events[kind.__name__].transitions.items()
        }

    def move(self, source: S, recorded: Recorded) -> S:
        """Return the state after `recorded`; raise LogCorrupted if the table has no such row."""
        try:
            return self.moves[type(recorded.event), source]
        except KeyError as err:
            found = f"{type(recorded.event).__name__} of {recorded.subject} while {source.value}"
            raise LogCorrupted(recorded.seq, found) from err

    def answer(self, kind: type[AnyEvent], source: S) -> S | None:
        """Return the state after an event of `kind` in `source`; None: the log is corrupt there."""
        if any(moving is kind for moving, _, _ in self.rows):
            return self.moves.get((kind, source))
        is_refused = (kind, source) in self.refused or kind is LogBased
        return None if is_refused else source

    def cells(self) -> list[tuple[type[AnyEvent], list[S | None]]]:
        """Return for each kind that does not stay everywhere its answer in every state, in order.

        Every other kind stays, but for `LogBased`, which may only begin a log.
        """
        found = []
        for kind in KINDS.values():
            answers = [self.answer(kind, source) for source in self.states]
            if answers != list(self.states) and kind is not LogBased:
                found.append((kind, answers))
        return found

    def mermaid(self) -> str:
        """Return the diagram for ARCHITECTURE.md, drawn from the rows."""
        arrows = (f"    {s.value} --> {d.value}: {kind.__name__}" for kind, s, d in self.rows)
        return "\n".join(("stateDiagram-v2", *arrows))


HEALTH: Final = Table(Health, HEALTH_ROWS)
ROLE: Final = Table(Role, ROLE_ROWS)
FAILOVER: Final = Table(Phase, FAILOVER_ROWS, refused=((ApprovalGiven, Phase.IDLE),))
