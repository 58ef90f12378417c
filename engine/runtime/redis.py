"""A Redis server, asked how it is: one question of a few commands over a connection held open.

What makes up an answer:
- role: `master` is active, or fenced if it demands more replicas for a write than there can be;
  `slave` is standby; boot: the run id, which a restart changes.
- epoch: what the key `tanist:{GROUP}:epoch` holds. It is data, so it is replicated and saved with
  the rest. A server without it has never been told one, or has lost its data: 0. But if the same
  process held one before, somebody emptied the database, and that says nothing of who may act.
- position: the offset of its replication [bytes]; follows: whom it replicates from.
- lag: while its link is up a replica is behind by its position alone, so 0; else how long the link
  has been down. Redis itself tells no more.
- lease: a primary that has lost its replicas goes on taking writes for min-replicas-max-lag, or for
  ever if min-replicas-to-write is 0.

The run id cannot change under an open connection, so it is asked for once.
"""

from collections.abc import Mapping
from typing import Final

from engine.core.events import Evidence, LoadReported
from engine.core.fleet import Role
from engine.runtime.resp import Parser, Refusal, Replies, Value, command
from engine.runtime.seen import COUNT_MAX, Answer, Failure, shortened

_ROLES: Final = {b"master": Role.ACTIVE.value, b"slave": Role.STANDBY.value}
_LEASE: Final = "min-replicas-*"
FENCED: Final = 1_000_000_000  # replicas that nobody has: a primary that demands so many is fenced
_QUESTION: Final = 3  # commands in it
# Of an error reply: the server answers, and can do nothing else just now.
_BUSY: Final = ("LOADING", "BUSY")

Fields = Mapping[bytes, bytes]


def epoch_key(group: str) -> str:
    """Return where a server keeps the epoch that it acts under."""
    return f"tanist:{{{group}}}:epoch"


class Redis:
    """The questions to one server of `group`.

    Args:
        group: Whose epoch it keeps.
        user: Whom to log in as; "": the default user.
        password: Its password; "": nobody logs in.
        told: The run id of a process that is known to have been told an epoch; "": none is.
    """

    greeting: Replies | None = None
    unasked_bytes_max = 0

    def __init__(self, group: str, *, user: str = "", password: str = "", told: str = "") -> None:
        self.question = b"".join(
            (
                command("INFO", "replication"),
                command("GET", epoch_key(group)),
                command("CONFIG", "GET", _LEASE),
            )
        )
        login = command("AUTH", *([user] if user else []), password) if password else b""
        self.opening = login + command("INFO", "server") + self.question
        self._logins = 1 if login else 0
        self._told = told
        self._boot = ""

    def parser(self) -> Parser:
        """Return what reads the replies of a new connection."""
        return Parser(first=self._logins + 1 + _QUESTION, later=_QUESTION)

    def unfinished(self, parser: object) -> str:
        """Return "": half an answer is nothing."""
        return ""

    def read(self, reply: Replies, *, latency_us: int) -> Answer | Failure:
        """Return what the replies say."""
        *before, replication, epoch, lease = reply.values
        for value in (*before, replication):
            if isinstance(value, Refusal):
                return _refused(value, latency_us)
        if isinstance(epoch, Refusal) and epoch.text.startswith(_BUSY):
            return _refused(epoch, latency_us)
        if reply.is_first:
            self._boot = _text(_fields(before[-1]), b"run_id")
        said = _fields(replication)
        role = _ROLES.get(said.get(b"role", b""), "")
        if not role:
            return Failure(
                evidence=Evidence.PROTOCOL,
                waited_us=latency_us,
                detail="expected a role of Redis, found none",
            )
        return Answer(
            latency_us=latency_us,
            boot=self._boot,
            epoch=self._epoch(epoch),
            # A primary that takes no writes, because it was told so, does not act.
            role=Role.FENCED.value if _is_fenced(role, lease) else role,
            report=_report(said, role, lease),
        )

    def _epoch(self, value: Value) -> int | None:
        """Return the epoch that the server keeps; None if it says nothing of it."""
        if isinstance(value, bytes) and value.isdigit() and len(value) <= 15:
            epoch = int(value)
            if epoch:
                self._told = self._boot
            return epoch if epoch <= COUNT_MAX else None
        if value is None and self._told != self._boot:
            return 0
        return None


def _refused(refusal: Refusal, latency_us: int) -> Failure:
    return Failure(evidence=Evidence.STATUS, waited_us=latency_us, detail=shortened(refusal.text))


def _fields(value: Value) -> Fields:
    """Return the fields of an INFO; what is none has none."""
    if not isinstance(value, bytes):
        return {}
    pairs = (line.partition(b":") for line in value.split(b"\r\n"))
    return {name: content for name, colon, content in pairs if colon}


def _report(said: Fields, role: str, lease: Value) -> LoadReported:
    is_active = role == Role.ACTIVE.value
    host, port = _text(said, b"master_host"), _text(said, b"master_port")
    return LoadReported(
        position=_count(said, b"master_repl_offset" if is_active else b"slave_repl_offset"),
        lag_us=-1 if is_active else _lag_us(said),
        lease_us=_lease_us(lease),
        follows=f"{host}:{port}" if host and port and not is_active else "",
    )


def _lag_us(said: Fields) -> int:
    if said.get(b"master_link_status") == b"up":
        return 0
    down_s = _count(said, b"master_link_down_since_seconds")
    return -1 if down_s < 0 else down_s * 1_000_000


def _is_fenced(role: str, value: Value) -> bool:
    """Return whether a primary demands more replicas than there can be."""
    is_primary = role == Role.ACTIVE.value
    return is_primary and _count(_settings(value), b"min-replicas-to-write") >= FENCED


def _settings(value: Value) -> Fields:
    """Return the pairs of a CONFIG GET; what is none has none."""
    if not isinstance(value, list) or len(value) % 2:
        return {}
    return {
        name: content
        for name, content in zip(value[::2], value[1::2], strict=True)
        if isinstance(name, bytes) and isinstance(content, bytes)
    }


def _lease_us(value: Value) -> int:
    """Return the lease that a primary keeps by itself [us]; 0: none; -1: it does not say."""
    said = _settings(value)
    replicas, lag_s = (
        _count(said, b"min-replicas-to-write"),
        _count(said, b"min-replicas-max-lag"),
    )
    if replicas < 0 or lag_s < 0:
        return -1
    return lag_s * 1_000_000 if replicas else 0


def _count(said: Fields, name: bytes) -> int:
    """Return a field that is a count; -1 if it is none."""
    digits = said.get(name, b"")
    is_count = digits.isdigit() and len(digits) <= 15
    return min(int(digits), COUNT_MAX) if is_count else -1


def _text(said: Fields, name: bytes) -> str:
    return shortened(said.get(name, b"").decode("ascii", errors="replace"))
