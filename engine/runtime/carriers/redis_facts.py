"""What Redis servers say of themselves, and where what is said to them is kept."""

from typing import Final

from engine.core.standing import Standing
from engine.runtime.carriers.redis_server import Server
from engine.runtime.redis import FENCED
from engine.runtime.resp import Value

EPOCH_DIGITS_MAX: Final = 15


def key_of(group: str, what: str) -> str:
    """Return the name of a key of `group`; all of them lie in one slot."""
    return f"tanist:{{{group}}}:{what}"


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
