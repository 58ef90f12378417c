"""What it takes to tell the masters of a group something, and only this process knows."""

import ssl
from collections.abc import Callable
from typing import Final, TypeAlias

import msgspec

from engine.config.secrets import password
from engine.core.policy import GroupPolicy
from engine.runtime.trust import tls_of


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """How a connection to a server begins; "" for what is not needed."""

    user: str = ""
    password: str = ""
    tls: ssl.SSLContext | None = None  # None: what this machine trusts


OPEN: Final = Access()
AccessOf: TypeAlias = Callable[[str], Access]  # of a group


def access_of(policy: GroupPolicy, *, group: str, source: str) -> Access:
    """Return how the servers of `group` are reached: its effects' own login, or its probe's.

    Args:
        policy: Of the group.
        group: Its name.
        source: The file of the configuration: relative files of it are beside that.

    Raises:
        ConfigurationError: A password or a file of certificates is not there.
    """
    reach, probe = policy.reach, policy.probe
    user, where, name = probe.user, probe.password, f"groups.{group}.probe.password"
    if reach is not None and (reach.user or reach.password):
        user, where, name = reach.user, reach.password, f"groups.{group}.effects.password"
    secret = "" if where is None else password(where, name=name, source=source)
    return Access(user=user, password=secret, tls=tls_of(probe, group=group, source=source))
