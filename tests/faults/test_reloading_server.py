"""A healthy server that ends its connections is asked again, and is never taken for a failed one.

The policy is the bench preset, under which one failed probe is enough to fail a master.
"""

import asyncio
from pathlib import Path
from typing import Final

import pytest

from engine.core import events as ev
from tests.engine.runtime.peers import free_port
from tests.faults.watching import nginx, nginx_program, watching

RELOADS: Final = 50
CLOSINGS: Final = 50
KEPT: Final = "keepalive_timeout 60s; keepalive_requests 1000000;"

pytestmark = pytest.mark.skipif(nginx_program() is None, reason="nginx is not installed")


@pytest.mark.parametrize("listen", ["", " reuseport"], ids=["shared", "reuseport"])
def test_fifty_reloads_of_nginx_are_no_failure(tmp_path: Path, listen: str) -> None:
    async def body() -> None:
        with nginx(tmp_path, port=free_port(), settings=KEPT, listen=listen) as server:
            async with watching({"web": server.address}, tmp_path / "tanist.db") as watched:
                for _ in range(RELOADS):
                    before = len(watched.log)
                    await server.reload()
                    # Asked and answered after the reload: by a worker of the new generation.
                    await watched.next(ev.ProbeOk, after=max(before, len(watched.log)))
                assert watched.count(ev.MasterFailed) == 0
                # An answer on the way says itself that its connection ends; the others just end.
                assert watched.count(ev.ConnectionClosed) >= RELOADS / 2
                assert watched.count(ev.MasterHealthy) == 1

    asyncio.run(body())


@pytest.mark.parametrize(
    "settings", ["keepalive_timeout 3ms;", "keepalive_timeout 60s; keepalive_requests 5;"]
)
def test_a_server_that_keeps_no_connection_for_long_is_no_failure(
    tmp_path: Path, settings: str
) -> None:
    async def body() -> None:
        with nginx(tmp_path, port=free_port(), settings=settings) as server:
            async with watching({"web": server.address}, tmp_path / "tanist.db") as watched:
                place = 0
                for _ in range(CLOSINGS * 5):
                    place = await watched.next(ev.ProbeOk, after=place) + 1
                assert watched.count(ev.MasterFailed) == 0
                if "3ms" in settings:
                    assert watched.count(ev.ConnectionClosed) >= CLOSINGS

    asyncio.run(body())
