"""What strikes the active master of the demonstration, by signals to its process.

- `kill`: SIGKILL.
- `hang`: SIGSTOP, and SIGCONT later: the zombie is stopped at the sink and refused by the engine.
- `slow`: stopped most of the time, each time for less than the time-out: every answer comes, late.
- `flap`: stopped for longer than the time-out and let go again, time after time.
"""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from typing import Final

import msgspec

from engine.core.policy import GroupPolicy
from engine.demo.fleet import Process

SAYS: Final = {
    "kill": "gets SIGKILL",
    "hang": "gets SIGSTOP",
    "slow": "is stopped for four fifths of the time, and answers late",
    "flap": "stops and goes on, again and again",
}
AFTER: Final = {
    "kill": "was killed",
    "hang": "got SIGCONT: the zombie is back",
    "slow": "is as quick as before",
    "flap": "goes on for good",
}
# How long a process is stopped and how long it runs, in turns [time-outs of a probe].
_BEATS: Final = {"slow": (0.4, 0.1), "flap": (1.6, 0.6)}
FLAP_HIGH_PPM: Final = 300_000
FLAP_LOW_PPM: Final = 200_000


def watchful(policy: GroupPolicy, fault: str) -> GroupPolicy:
    """Return the policy with what notices this fault: slow answers, or results that flap."""
    probe = policy.probe
    if fault == "slow":
        probe = msgspec.structs.replace(probe, slow_us=probe.timeout_us // 5)
    elif fault == "flap":
        probe = msgspec.structs.replace(
            probe, flap_high_ppm=FLAP_HIGH_PPM, flap_low_ppm=FLAP_LOW_PPM
        )
    return msgspec.structs.replace(policy, probe=probe)


@contextlib.asynccontextmanager
async def striking(fault: str, process: Process, *, timeout_s: float = 0.05) -> AsyncIterator[None]:
    """Strike `process` while the block runs; on leaving, it is let be (unless it was killed).

    `timeout_s` is that of a probe [s].
    """
    if fault == "kill":
        process.signal(signal.SIGKILL)
        yield
        return
    if fault == "hang":
        process.signal(signal.SIGSTOP)
        beating = None
    else:
        stopped, runs = _BEATS[fault]
        beating = asyncio.create_task(
            _beat(process, stopped_s=stopped * timeout_s, runs_s=runs * timeout_s)
        )
    try:
        yield
    finally:
        if beating is not None:
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)
        process.signal(signal.SIGCONT)


async def _beat(process: Process, *, stopped_s: float, runs_s: float) -> None:
    while True:
        process.signal(signal.SIGSTOP)
        await asyncio.sleep(stopped_s)
        process.signal(signal.SIGCONT)
        await asyncio.sleep(runs_s)
