"""Whether stored snapshots are the folds that they say they are."""

from engine.core import state as st
from engine.core.state import FOLD_VERSION, State
from engine.log.protocol import Log
from engine.log.snapshots import Snapshot, unpack


class SnapshotCheck:
    """Holds each snapshot of a log against the fold up to its position."""

    def __init__(self, log: Log) -> None:
        self.problems: list[str] = []
        self._log = log
        self._waiting = set(log.snapshots.seqs())

    def passed(self, state: State) -> None:
        """Take note that the fold has come to `state`."""
        if state.seq in self._waiting:
            self._waiting.remove(state.seq)
            snapshot = self._log.snapshots.newest(state.seq)
            problem = None if snapshot is None else misfit(snapshot, state)
            if problem is not None:
                self.problems.append(problem)

    def end(self) -> None:
        """Take note that the fold has come to the end of the log."""
        for seq in sorted(self._waiting):
            self.problems.append(f"the snapshot at {seq} is of no event in the log")
        self._waiting.clear()


def misfit(snapshot: Snapshot, state: State) -> str | None:
    """Return what is wrong with `snapshot`, where the fold is `state`; None: nothing.

    Of one of another fold version only the bytes are judged: it is never believed anyway.
    """
    try:
        stored = unpack(snapshot)
    except ValueError as err:
        return str(err)
    if snapshot.fold_version != FOLD_VERSION:
        return None
    if stored != st.dump(state) or snapshot.policy_digest != state.fleet.policy_digest:
        return f"the snapshot at {snapshot.seq} is not what the events up to there add up to"
    return None
