"""A healthy server that ends its connections is asked again, and is never taken for a failed one.

The policy is the bench preset, under which one failed probe is enough to fail a master.
"""

import asyncio
from pathlib import Path
from typing import Final

import pytest

from engine.core import events as ev
from engine.runtime.probing import SHORT_MAX
from tests.engine.runtime.peers import answer, free_port, resets, says, says_then_closes, server
from tests.faults.reloading import SUBJECTS, lacking, reloaded
from tests.faults.watching import nginx, nginx_program, watching

RELOADS: Final = 50
CLOSINGS: Final = 50
KEPT: Final = "keepalive_timeout 60s; keepalive_requests 1000000;"

# A server that does not get to answer within 50 ms has failed, under that preset.
pytestmark = pytest.mark.alone
needs_nginx = pytest.mark.skipif(nginx_program() is None, reason="nginx is not installed")


@needs_nginx
@pytest.mark.parametrize("listen", ["", " reuseport"], ids=["shared", "reuseport"])
def test_fifty_reloads_of_nginx_are_no_failure(tmp_path: Path, listen: str) -> None:
    async def body() -> None:
        with nginx(tmp_path, port=free_port(), settings=KEPT, listen=listen) as web:
            async with watching({"web": web.address}, tmp_path / "tanist.db") as watched:
                for _ in range(RELOADS):
                    await web.reload()
                    # Asked and answered after the reload: by a worker of the new generation.
                    await watched.next(ev.ProbeOk, after=len(watched.log))
                assert watched.count(ev.MasterFailed) == 0
                # An answer on the way says itself that its connection ends; the others just end.
                assert watched.count(ev.ConnectionClosed) >= RELOADS / 2
                assert watched.count(ev.MasterHealthy) == 1

    asyncio.run(body())


@needs_nginx
@pytest.mark.parametrize(
    ("settings", "is_announced"),
    [
        ("keepalive_timeout 3ms;", False),
        ("keepalive_timeout 60s; keepalive_requests 5;", True),  # the last answer says so
    ],
)
def test_a_server_that_keeps_no_connection_for_long_is_no_failure(
    tmp_path: Path, settings: str, *, is_announced: bool
) -> None:
    async def body() -> None:
        with nginx(tmp_path, port=free_port(), settings=settings) as web:
            async with watching({"web": web.address}, tmp_path / "tanist.db") as watched:
                place = 0
                for _ in range(CLOSINGS * 5):
                    place = await watched.next(ev.ProbeOk, after=place) + 1
                assert watched.count(ev.MasterFailed) == 0
                if is_announced:
                    assert watched.count(ev.ConnectionClosed) == 0
                else:
                    # After so many it is known not to hold any, and none is held.
                    assert watched.count(ev.ConnectionClosed) == SHORT_MAX

    asyncio.run(body())


def test_a_fresh_connection_that_a_leaving_worker_resets_is_no_failure(tmp_path: Path) -> None:
    """The held one is closed, the next one was taken by a worker on its way out."""

    async def body() -> None:
        well = answer("ok")
        async with (
            server(says_then_closes(well), resets, says(well)) as address,
            watching({"web": address}, tmp_path / "tanist.db") as watched,
        ):
            closed = await watched.next(ev.ConnectionClosed, after=0)
            await watched.next(ev.ProbeOk, after=closed)
            assert watched.count(ev.ProbeFailed) == 0
            assert watched.count(ev.MasterFailed) == 0

    asyncio.run(body())


def test_a_server_that_resets_every_fresh_connection_has_failed(tmp_path: Path) -> None:
    async def body() -> None:
        async with (
            server(says_then_closes(answer("ok")), resets) as address,
            watching({"web": address}, tmp_path / "tanist.db") as watched,
        ):
            failed = await watched.next(ev.MasterFailed, after=0)
            event = watched.log[failed].event
            assert isinstance(event, ev.MasterFailed)
            # Nobody refused: its process may be there, so the evidence is soft.
            assert (event.rule, event.hard) == ("fall", False)

    asyncio.run(body())


@pytest.mark.parametrize("subject", [name for name in SUBJECTS if name != "nginx reload"])
def test_reloads_of_other_servers_are_no_failure(subject: str, tmp_path: Path) -> None:
    if lacking(subject):
        pytest.skip(lacking(subject))
    count = asyncio.run(
        reloaded(subject, tmp_path, times=5, name="zone", progress=lambda done: None)
    )
    assert count.detections == 0
    assert count.probes >= 10
    if subject != "gunicorn HUP":  # which says with an answer that it will close
        assert count.closed >= 4
