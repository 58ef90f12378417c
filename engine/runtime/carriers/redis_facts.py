"""What Redis servers say of themselves, and where what is said to them is kept."""

from typing import Final

import msgspec

from engine.core.events import LoadReported
from engine.runtime.carriers.redis_server import Server
from engine.runtime.redis import FENCED
from engine.runtime.resp import Value

EPOCH_DIGITS_MAX: Final = 15
EMPTY: Final = 1  # the highest position of a server that has no data


def key_of(group: str, what: str) -> str:
    """Return the name of a key of `group`; all of them lie in one slot."""
    return f"tanist:{{{group}}}:{what}"


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """What a server says of its replication."""

    is_primary: bool
    history: str  # the id of the stream of writes that its data come from
    earlier: str  # the one before it, if it was promoted; "" if there is none
    earlier_end: int  # up to where it has that one [bytes]
    position: int  # in the stream of its history [bytes]
    is_linked: bool  # a replica whose primary sends
    is_loading: bool  # a full copy is under way, so what it has is not whole
    follows: str

    @property
    def holds_data(self) -> bool:
        """Return whether it has taken in any writes; one that starts empty is at 0 or 1."""
        return self.position > EMPTY

    def shared(self, other: "Standing") -> tuple[int, int] | None:
        """Return up to where it and `other` have the newest stream that both are of [bytes].

        None: their data have nothing in common, as those of one that was emptied.
        """
        for history in (self.history, self.earlier):
            if history and history in (other.history, other.earlier):
                return self._upto(history), other._upto(history)
        return None

    def _upto(self, history: str) -> int:
        return self.position if history == self.history else min(self.position, self.earlier_end)

    def report(self) -> LoadReported:
        """Return it as what the log keeps of it."""
        return LoadReported(position=self.position, follows=self.follows)


def demanded_by(server: Server) -> tuple[int, int]:
    """Return how many replicas a server demands when it is not fenced, and how late [s]."""
    assert server.settings is not None
    replicas, lag_s = server.settings.replicas, server.settings.lag_s
    if replicas >= FENCED:
        return replicas - FENCED, lag_s
    return (replicas, lag_s) if lag_s else (0, 0)  # with a lag of 0 nothing is demanded


def standing_of(info: Value) -> Standing:
    """Return what an INFO of replication says."""
    said = {}
    if isinstance(info, bytes):
        for each in info.decode(errors="replace").splitlines():
            name, _, value = each.partition(":")
            said[name] = value
    is_primary = said.get("role") == "master"
    position = said.get("master_repl_offset" if is_primary else "slave_repl_offset", "")
    earlier, second = said.get("master_replid2", ""), said.get("second_repl_offset", "")
    host, port = said.get("master_host", ""), said.get("master_port", "")
    return Standing(
        is_primary=is_primary,
        history=said.get("master_replid", ""),
        earlier="" if not earlier.strip("0") else earlier,
        earlier_end=int(second) - 1 if second.isdigit() else -1,
        position=int(position) if position.isdigit() else -1,
        is_linked=said.get("master_link_status") == "up",
        is_loading=said.get("master_sync_in_progress") == "1",
        follows=f"{host}:{port}" if host and not is_primary else "",
    )


def number(value: Value) -> int:
    """Return an epoch; 0 if the value is none."""
    is_number = isinstance(value, bytes) and value.isdigit() and len(value) <= EPOCH_DIGITS_MAX
    return int(value) if is_number and isinstance(value, bytes) else 0
