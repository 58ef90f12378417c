"""What events are made of: how one is stored, and the values that several kinds have in common."""

import enum
from typing import Final, TypeAlias

import msgspec

FLEET: Final = "fleet"  # the subject of what concerns all groups
TRAFFIC: Final = "traffic"  # the observer of what real requests met
Figures: TypeAlias = tuple[tuple[str, int], ...]


class Evidence(enum.Enum):
    """What exactly was seen when a probe or a connection did not do what it should."""

    CLOSED = "closed"  # a question, not a death: a reload or a keep-alive time-out does this too
    RESET = "reset"  # likewise
    REFUSED = "refused"  # nobody listens
    UNREACHABLE = "unreachable"
    DNS = "dns"
    TLS = "tls"
    OVERDUE = "overdue"  # no answer within the time-out
    PROTOCOL = "protocol"  # an answer that makes no sense
    STATUS = "status"  # an answer that says no
    RESTARTED = "restarted"  # another boot id than before
    SLOW = "slow"
    RESOURCE = "resource"  # processor, memory, queue
    SILENT = "silent"  # a metric that stopped
    DEPENDENCY = "dependency"  # what it depends on fails
    REPORTED = "reported"  # an imported record says so


class Result(enum.Enum):
    """How an effect ended."""

    OK = "ok"
    REFUSED = "refused"  # the receiver said no, with its reason
    FAILED = "failed"  # nothing was sent
    UNKNOWN = "unknown"  # sent, and no clear answer: it may have taken effect
    ASSUMED = "assumed"  # no effect is ever sent here (import, dry run)


class Verdict(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """One row of a candidate table: fit, with its rank, or passed over, by which rule."""

    master: str
    fit: bool
    rank: int  # 1 is the heir; 0 if passed over
    rule: str
    figures: Figures = ()


class Calls(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """What the requests of a window met at one master [count]."""

    master: str
    calls: int
    failed: int


class GroupControl(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """The control state of one group: what a rollback goes back to."""

    group: str
    assigned: str  # the master of an active-standby group; "" if there was none
    strategy: str
    weights: tuple[tuple[str, int], ...]  # base weights by master, sorted by id


class Event(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    array_like=True,
    gc=False,
    forbid_unknown_fields=True,
):
    """How every event is stored; it has no field of its own.

    Every subclass states `kw_only` again, because msgspec does not inherit it, and `frozen`,
    because mypy does not.
    """
