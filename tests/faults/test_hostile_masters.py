"""One engine watches masters that answer garbage, half, for ever, drop by drop, or not at all.

Each probe ends in time, with evidence of its kind in the log; memory stays what it was; and the one
good master beside the bad ones is never taken for failed.
"""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from engine.config import Configuration
from engine.core import events as ev
from engine.core.events import Evidence
from engine.core.fleet import Master, Mode
from engine.core.policy import MS, SECOND, GroupPolicy, Policy, content_digest, preset
from engine.embed import Engine
from engine.log.sqlite import open_log
from tests.contracts.looking import TCP, black_hole
from tests.engine.cli.shell import ROOT

GUARD_S = 90
FAILURES = 3  # of each bad one, before the engine is left
GROWTH_BYTES_MAX = 128 << 20  # of the resident memory; an endless answer alone sends more
# The endless ones may be ended by their time, which is as well: they are cut off either way.
EITHER = frozenset((Evidence.PROTOCOL, Evidence.OVERDUE))
OVERDUE = frozenset((Evidence.OVERDUE,))
EXPECTED = {
    "garbage": frozenset((Evidence.PROTOCOL,)),
    "half": frozenset((Evidence.CLOSED,)),
    "huge-array": frozenset((Evidence.PROTOCOL,)),
    "drip": OVERDUE,
    "silent": OVERDUE,
    "black-hole": OVERDUE,
    "nobody": frozenset((Evidence.REFUSED,)),
    "endless-interim": EITHER,
}
# Answers, although odd ones: a redirect is an answer, and what comes on top ends the connection.
AT_ONCE = frozenset(("garbage", "half", "huge-array", "nobody"))  # whatever they come to
ANSWERING = frozenset(("good", "redirects"))

# The machine must get to read 50 masters within their time.
pytestmark = pytest.mark.alone


@pytest.fixture
def ports(tmp_path: Path) -> Iterator[dict[str, dict[str, int]]]:
    words = [sys.executable, "-m", "tests.faults.hostile_child", str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(words, stdout=subprocess.PIPE, env=environment) as process:
        try:
            assert process.stdout is not None
            yield json.loads(process.stdout.readline())
        finally:
            process.kill()


def policy(kind: str, root: Path, *, timeout_us: int) -> GroupPolicy:
    base = preset("lan", mode=Mode.ACTIVE_ACTIVE)
    settings: dict[str, object] = {
        "http": {},
        "https": {"ca": str(root / "127.0.0.1-2120.pem")},
        "redis": {},
        "tcp": TCP,
    }[kind]  # type: ignore[assignment]
    probe = msgspec.structs.replace(
        base.probe,
        kind=kind,
        interval_us=200 * MS,
        recheck_us=200 * MS,
        timeout_us=timeout_us,
        late_us_max=10 * SECOND,
        **settings,  # type: ignore[arg-type]
    )
    return msgspec.structs.replace(base, probe=probe)


def fleet(root: Path, ports: dict[str, dict[str, int]], hole: int) -> Configuration:
    groups, masters = {}, []
    for kind, servers in ports.items():
        quick, patient = f"quick-{kind}", f"patient-{kind}"
        groups[quick] = policy(kind, root, timeout_us=200 * MS)
        groups[patient] = policy(kind, root, timeout_us=20 * SECOND)
        for name, port in {**servers, "black-hole": hole, "nobody": 1}.items():
            masters.append(
                Master(
                    id=f"{kind}.{name}",
                    group=patient if name in ANSWERING | AT_ONCE else quick,
                    address=f"{kind}://127.0.0.1:{port}",
                )
            )
    whole = Policy(groups=groups)
    return Configuration(
        policy=whole,
        masters=tuple(masters),
        log=str(root / "t.db"),
        listen="",
        flush_us=0,
        digest=content_digest(whole, tuple(masters)),
        source="a test",
    )


def resident() -> int:
    """Return the resident memory of this process [bytes]."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
def test_bad_masters_are_classified_in_time_and_harm_nobody(
    tmp_path: Path, ports: dict[str, dict[str, int]]
) -> None:
    async def body() -> None:
        with black_hole() as hole:
            declared = fleet(tmp_path, ports, hole)
            bad = {
                each.id for each in declared.masters if each.id.partition(".")[2] not in ANSWERING
            }
            left = dict.fromkeys(bad, FAILURES)
            done = asyncio.Event()

            def published(events: tuple[ev.Recorded, ...]) -> None:
                for recorded in events:
                    if isinstance(recorded.event, ev.ProbeFailed) and recorded.subject in left:
                        left[recorded.subject] -= 1
                        if not left[recorded.subject]:
                            del left[recorded.subject]
                if not left:
                    done.set()

            before = resident()
            async with Engine(declared) as engine:
                engine.listen(published)
                try:
                    async with asyncio.timeout(GUARD_S):
                        await done.wait()
                except TimeoutError:
                    raise AssertionError(f"without a verdict: {left}") from None
            assert resident() - before < GROWTH_BYTES_MAX

    asyncio.run(body())
    with open_log(tmp_path / "t.db") as log:
        events = list(log.read())
    for recorded in events:
        event = recorded.event
        name = recorded.subject.partition(".")[2]
        if isinstance(event, ev.ProbeFailed):
            assert name not in ANSWERING, (recorded.subject, event)
            expected = EXPECTED.get(name, EITHER)
            assert event.evidence in expected, (recorded.subject, event)
            if name not in AT_ONCE:  # within their time, and what this machine was late itself
                assert event.waited_us <= 200 * MS + event.late_us + SECOND
        elif isinstance(event, ev.MasterFailed):
            assert name not in ANSWERING
    answered = {each.subject for each in events if isinstance(each.event, ev.ProbeOk)}
    assert {f"{kind}.good" for kind in ports} <= answered
