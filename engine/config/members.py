"""One master, declared outside a file, under the rules that a file has for it."""

from engine.config import kinds
from engine.config.acting import speaks_http
from engine.config.loading import NUMBER_MAX
from engine.config.tables import Unfit, shown
from engine.core.errors import ConfigurationError
from engine.core.fleet import Master
from engine.core.policy import GroupPolicy


def declared(
    name: str,
    *,
    group: str,
    address: str,
    priority: int = 1,
    weight: int = 1,
    region: str = "",
) -> Master:
    """Return a master as it is declared.

    Raises:
        ConfigurationError: Its name is none, its address is no URL, or a number is out of bounds;
            every mistake is named.
    """
    mistakes = []
    where = address
    for what, value, kind in (
        ("name", name, kinds.name),
        ("region", region or "any", kinds.name),
        ("priority", priority, kinds.count(least=1, most=NUMBER_MAX)),
        ("weight", weight, kinds.count(least=0, most=NUMBER_MAX)),
    ):
        try:
            kind(value)
        except Unfit as unfit:
            mistakes.append(
                f"{what}: expected {unfit.expected}, found {shown(value)}; {unfit.remedy}"
            )
    try:
        where = kinds.address(address, schemes=())
    except Unfit as unfit:
        mistakes.append(
            f"address: expected {unfit.expected}, found {shown(address)}; {unfit.remedy}"
        )
    if mistakes:
        raise ConfigurationError(mistakes)
    return Master(
        id=name, group=group, address=where, priority=priority, weight=weight, region=region
    )


def misfit(policy: GroupPolicy, master: Master) -> str:
    """Return why a master cannot be asked as its group asks its masters; "" if it can."""
    scheme = master.address.partition(":")[0]
    schemes = kinds.PROBED_SCHEMES[policy.probe.kind]
    if schemes and scheme not in schemes:
        kind = policy.probe.kind
        return (
            f"{master.group} probes by {kind}: expected an address of {' or '.join(schemes)}, "
            f"found {master.address}"
        )
    if policy.effects == "http" and not speaks_http([scheme]):
        return f"{master.address} takes no control protocol, by which {master.group} is led"
    return ""
