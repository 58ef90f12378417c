import asyncio
import contextlib
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.core.events import Evidence
from engine.runtime.seen import Answer, Link
from tests.engine.runtime.links import ask, evidence_of, link_to
from tests.engine.runtime.peers import (
    SHORT_US,
    free_port,
    sample,
)


def test_a_killed_master_is_seen_at_once_and_then_refused() -> None:
    with sample("master", "--boot", "b7") as master:

        async def body() -> None:
            async with link_to(master.address) as (link, ends):
                probed = await ask(link)
                assert isinstance(probed, Answer)
                assert (probed.boot, probed.epoch, probed.role) == ("b7", 0, "standby")
                master.process.kill()
                assert await ends.next() in (Evidence.CLOSED, Evidence.RESET)
                # The listening socket of a dying process may outlive its connections by a moment.
                while (seen := evidence_of(await ask(link, fresh=True))) is not Evidence.REFUSED:
                    assert seen in (Evidence.CLOSED, Evidence.RESET)
                assert len(ends.seen) == 1

        asyncio.run(body())


def test_a_stopped_master_is_overdue_and_its_death_is_still_seen() -> None:
    with sample("master") as master:

        async def body() -> None:
            async with link_to(master.address) as (link, ends):
                assert isinstance(await ask(link), Answer)
                master.process.send_signal(signal.SIGSTOP)
                for fresh in (False, True):
                    probed = await ask(link, fresh=fresh, timeout_us=SHORT_US)
                    assert evidence_of(probed) is Evidence.OVERDUE
                assert ends.seen == []
                master.process.kill()
                assert await ends.next() in (Evidence.CLOSED, Evidence.RESET)

        asyncio.run(body())


def test_a_master_that_goes_on_answers_again() -> None:
    with sample("master") as master:

        async def body() -> None:
            async with link_to(master.address) as (link, _):
                await ask(link)
                master.process.send_signal(signal.SIGSTOP)
                assert evidence_of(await ask(link, timeout_us=SHORT_US)) is Evidence.OVERDUE
                master.process.send_signal(signal.SIGCONT)
                assert isinstance(await ask(link), Answer)

        asyncio.run(body())


NGINX = """
daemon off; master_process on; worker_processes 1; error_log stderr crit; pid {root}/pid;
events {{ worker_connections 64; }}
http {{
  access_log off; keepalive_timeout {keep_s}s; client_body_temp_path {root};
  proxy_temp_path {root}; fastcgi_temp_path {root}; uwsgi_temp_path {root}; scgi_temp_path {root};
  server {{ listen 127.0.0.1:{port}; location / {{ return 200 "well"; }} }}
}}
"""


@contextlib.contextmanager
def nginx(root: Path, *, keep_s: int) -> Iterator[tuple["subprocess.Popen[bytes]", str]]:
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        pytest.skip("nginx is not installed")
    port = free_port()
    config = root / "nginx.conf"
    config.write_text(NGINX.format(root=root, port=port, keep_s=keep_s))
    with subprocess.Popen([program, "-p", str(root), "-c", str(config)]) as process:
        try:
            yield process, f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


async def until_up(link: Link) -> None:
    """Ask until somebody listens."""
    while not isinstance(await ask(link, fresh=True), Answer):
        pass


def test_a_reload_of_nginx_is_a_question_that_a_fresh_connection_answers(tmp_path: Path) -> None:
    with nginx(tmp_path, keep_s=60) as (process, address):

        async def body() -> None:
            async with link_to(address) as (link, ends):
                await until_up(link)
                for count in (1, 2, 3):
                    process.send_signal(signal.SIGHUP)
                    assert await ends.next() is Evidence.CLOSED
                    assert isinstance(await ask(link, fresh=True), Answer)
                    assert len(ends.seen) == count

        asyncio.run(body())


def test_a_keep_alive_time_out_of_nginx_is_a_question_too(tmp_path: Path) -> None:
    with nginx(tmp_path, keep_s=1) as (_, address):

        async def body() -> None:
            async with link_to(address) as (link, ends):
                await until_up(link)
                assert await ends.next() is Evidence.CLOSED
                assert isinstance(await ask(link), Answer)

        asyncio.run(body())
