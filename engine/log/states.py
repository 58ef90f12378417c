"""The state at any position of a log: from the nearest snapshot, and the events after it.

A snapshot is a cache. One that cannot be believed is passed over and said so; without any, the
state is folded from the beginning, and is the same.
"""

from collections.abc import Callable
from typing import Final

import msgspec

from engine.core import lulls
from engine.core import state as st
from engine.core.replay import replay, replay_stretches
from engine.core.state import FOLD_VERSION, State
from engine.log.protocol import Log
from engine.log.snapshots import Snapshot, pack, spare, unpack
from engine.log.thinning import begins_with
from engine.log.uncollected import uncollected

EACH_EVENTS: Final = 10_000  # between two snapshots, at least
_BYTES_AN_EVENT: Final = 4  # what the older snapshots may take, for each event of the log

Say = Callable[[str], None]


def state_at(log: Log, until: int | None = None, *, say: Say | None = None) -> State:
    """Return the fold of the events up to the seq `until` (None: the head).

    `say` is told of each snapshot that is not believed.

    Raises:
        LogCorrupted: At the first event that is missing, repeated, or asks for an illegal move.
        LogError: What was observed up to there was dropped, so that nobody can tell any more.
    """
    until = log.head.seq if until is None else until
    limit = until
    while (snapshot := log.snapshots.newest(limit)) is not None:
        try:
            with uncollected():
                state = _believed(snapshot)
                upto = min(until, state.seq + EACH_EVENTS)
                state = replay(log.read(state.seq, upto), state=state)
        except ValueError as err:
            if say is not None:
                say(str(err))
            limit = snapshot.seq - 1
        else:
            if upto == until:
                return state
            return replay_stretches(log.stretches(upto, until), state=state)
    base = begins_with(log, until)
    if base is None:
        return replay_stretches(log.stretches(until=until))
    return replay_stretches(log.stretches(base.seq, until), state=replay((base,)))


def _believed(snapshot: Snapshot) -> State:
    """Return the state of `snapshot`; ValueError says why it is not to be believed."""
    if snapshot.fold_version != FOLD_VERSION:
        found = f"fold version {snapshot.fold_version}, this release has {FOLD_VERSION}"
        raise ValueError(f"the snapshot at {snapshot.seq} is of {found}")
    try:
        state = st.restore(unpack(snapshot))
    except msgspec.DecodeError as err:
        raise ValueError(f"the snapshot at {snapshot.seq} is damaged: {err}") from err
    if (state.seq, state.fleet.policy_digest) != (snapshot.seq, snapshot.policy_digest):
        raise ValueError(f"the snapshot at {snapshot.seq} is that of another position")
    lulls.settle(state)
    return state


def keep(log: Log, state: State) -> None:
    """Store a snapshot of `state`, a fold of `log`, and let go of those that are spare.

    The newest is always kept. Of the older ones so many stay that they take a few bytes for each
    event of the log, however large a state is.
    """
    snapshot = pack(
        state.seq,
        st.dump(state),
        fold_version=FOLD_VERSION,
        policy_digest=state.fleet.policy_digest,
    )
    log.snapshots.store(snapshot)
    each = max(EACH_EVENTS, len(snapshot.data) // _BYTES_AN_EVENT)
    log.snapshots.drop(spare(log.snapshots.seqs(), each=each))


def is_due(log: Log) -> bool:
    """Return whether so much was appended that another snapshot is worth its while."""
    head = log.head.seq
    newest = log.snapshots.newest(head)
    return head - (0 if newest is None else newest.seq) >= EACH_EVENTS
