"""A first look at masters, before a policy is chosen: who answers, how fast, in which role."""

import asyncio
from collections.abc import Callable
from typing import Final

import msgspec

from engine.core.fleet import Master
from engine.core.policy import MS, PRESETS, Probe
from engine.runtime.clock import monotonic_us
from engine.runtime.eyes import Eyes
from engine.runtime.seen import Answer, Failure

INTERVAL_US: Final = 250 * MS
# Above a lost SYN and a round trip: what is slower than this is not told from a failure.
TIMEOUT_US: Final = 1500 * MS
# A time-out has to be this many times the slowest answer seen.
MARGIN: Final = 4


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen of one address."""

    address: str
    answered: int  # probes [count]
    failed: int
    median_us: int  # of the answers; 0: none
    slowest_us: int
    role: str  # as the master reports it; "" if it says nothing
    last_failure: str
    follows: str = ""  # whom it says that it replicates from, host:port


async def survey(
    addresses: tuple[str, ...],
    probe: Probe,
    *,
    length_us: int,
    progress: Callable[[int], None] = lambda spent_us: None,
) -> list[Seen]:
    """Return what probes of `addresses` saw within `length_us` [us].

    Each is probed as `probe` says, but as often and as patiently as a look has to be. `progress` is
    told how much of the time is spent [us].
    """
    began_us = monotonic_us()
    looks = [_look(address, probe, began_us + length_us) for address in addresses]
    watched = asyncio.gather(*looks)
    while not watched.done():
        progress(min(length_us, monotonic_us() - began_us))
        await asyncio.wait({watched}, timeout=INTERVAL_US / 1e6)
    progress(length_us)
    return list(watched.result())


async def _look(address: str, probe: Probe, until_us: int) -> Seen:
    latencies: list[int] = []
    failed, role, follows, last_failure = 0, "", "", ""
    master = Master(id="master", group="main", address=address)
    link = Eyes("tanist init").link(master, probe, on_closed=lambda evidence: None)
    try:
        while True:
            began_us = monotonic_us()
            seen = await link.probe(fresh=False, timeout_us=TIMEOUT_US)
            if isinstance(seen, Answer):
                latencies.append(seen.latency_us)
                role = seen.role
                follows = seen.report.follows if seen.report else ""
            elif isinstance(seen, Failure):
                failed += 1
                last_failure = f"{seen.evidence.value} {seen.detail}".strip()
            if monotonic_us() >= until_us:
                break
            await asyncio.sleep(max(0, began_us + INTERVAL_US - monotonic_us()) / 1e6)
    finally:
        await link.close()
    latencies.sort()
    return Seen(
        address=address,
        answered=len(latencies),
        failed=failed,
        median_us=latencies[len(latencies) // 2] if latencies else 0,
        slowest_us=latencies[-1] if latencies else 0,
        role=role,
        follows=follows,
        last_failure=last_failure,
    )


def fitting_preset(seen: list[Seen]) -> str:
    """Return the fastest preset whose time-out is well above the slowest answer.

    Where nobody answered nothing is known, and the answer is zone.
    """
    slowest_us = max((one.slowest_us for one in seen), default=0)
    if not slowest_us:
        return "zone"
    for name in ("lan", "zone"):
        if MARGIN * slowest_us <= PRESETS[name].timeout_us:
            return name
    return "region"
