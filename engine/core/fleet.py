"""Who is there: groups and their masters, as the operator declared them."""

import enum
from typing import Final

import msgspec


class Mode(enum.Enum):
    """How the masters of a group share its work."""

    ACTIVE_ACTIVE = "active-active"  # every healthy one serves
    ACTIVE_STANDBY = "active-standby"  # one serves, the others stand by


class Health(enum.Enum):
    """What the engine believes of a master; silence makes *unknown*, only evidence *failed*."""

    UNKNOWN = "unknown"
    HEALTHY = "healthy"
    DEGRADED = "degraded"
    FAILED = "failed"
    RECOVERING = "recovering"


class Role(enum.Enum):
    """What a master may do for its group."""

    STANDBY = "standby"
    PROMOTING = "promoting"
    ACTIVE = "active"
    DRAINING = "draining"
    FENCED = "fenced"


# By names of their own, for what is asked of every master after every step: Python 3.11 finds a
# member of an enum at five times the time of a name.
ACTIVE_STANDBY: Final = Mode.ACTIVE_STANDBY
UNKNOWN: Final = Health.UNKNOWN
HEALTHY: Final = Health.HEALTHY
FAILED: Final = Health.FAILED
STANDBY: Final = Role.STANDBY
ACTIVE: Final = Role.ACTIVE
DRAINING: Final = Role.DRAINING
WELL: Final = (Health.HEALTHY, Health.DEGRADED)


class Master(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """One instance that serves, as declared; ids are unique in the whole fleet."""

    id: str
    group: str
    address: str  # an URL: http://host:port
    priority: int = 1  # 1 is the first choice [count, >= 1]
    weight: int = 1  # its base share among equals [count, >= 0]
    region: str = ""
    location: tuple[int, int] | None = None  # latitude, longitude [microdegrees]
