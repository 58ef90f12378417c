"""What `tanist init` says of masters that are there, of plain upstreams, and of nobody."""

import asyncio
import contextlib
import json
import re
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import msgspec
import pytest

from engine.cli.surveying import (
    first,
    first_said,
    hints,
    preset_reason,
    primary_first,
    redis_hints,
)
from engine.config import load
from engine.core.policy import Secret
from engine.runtime.survey import Seen
from tests.engine.cli.shell import answer, complaint, environment, tanist
from tests.engine.runtime.peers import free_port
from tests.engine.runtime.redises import needs_redis, redis_server


@contextlib.contextmanager
def upstream(code: int, body: bytes = b"") -> Iterator[str]:
    """Yield the address of an HTTP server that answers everything with `code` and `body`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(code)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.01,))
        serving.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            serving.join()


def init(*addresses: str, cwd: Path) -> list[str]:
    """Return the lines that `init` prints after one look."""
    done = tanist("init", "--look", "0", "--http", *addresses, cwd=cwd)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def test_a_plain_upstream_that_has_no_health_page_is_told_what_to_set(tmp_path: Path) -> None:
    with upstream(404) as address:
        lines = init(address, cwd=tmp_path)
    assert lines[0] == f"{address}: no good answer to 1 probes (status 404)"
    assert lines[1].startswith("preset zone: nobody answered well")
    assert lines[2] == (
        f"{address}: set probe.path in tanist.toml to a path that answers 200 while all is well"
    )
    assert 'effects = { kind = "none" }' in lines[3]
    text = (tmp_path / "tanist.toml").read_text()
    assert '"none": nothing is ever sent' in text
    load(tmp_path / "tanist.toml")


def test_what_it_hints_at_is_what_a_configuration_takes(tmp_path: Path) -> None:
    assert tanist("init", cwd=tmp_path).returncode == 0
    path = tmp_path / "tanist.toml"
    text = path.read_text().replace('# path = "/health"', 'path = "/"')
    path.write_text(re.sub(r'# kind = "http" +# the masters', 'kind = "none"  # the masters', text))
    group = load(path).policy.groups["main"]
    assert (group.probe.path, group.effects) == ("/", "none")


def test_a_plain_upstream_that_answers_takes_no_commands(tmp_path: Path) -> None:
    with upstream(200, b"fine") as one, upstream(200, b"fine") as two:
        lines = init(one, two, cwd=tmp_path)
    assert ": 1 answers, median " in lines[0]
    assert "well above the slowest answer" in lines[2]
    assert 'effects = { kind = "none" }' in lines[3]
    assert lines[4].startswith("m1 would be promoted first; as it is written, the engine only obs")


def test_who_reports_itself_active_stays_so(tmp_path: Path) -> None:
    standby, active = (
        json.dumps({"status": "ok", "boot": "x", "epoch": 1, "role": role}).encode()
        for role in ("standby", "active")
    )
    with upstream(200, standby) as one, upstream(200, active) as two:
        lines = init(one, two, cwd=tmp_path)
        found = answer("init", "other.toml", "--look", "0", "--http", one, two, cwd=tmp_path)
    assert lines[3].startswith("m2 is active and stays so")
    assert not any("effects" in line for line in lines)
    assert found["first"] == "m2"


def test_without_addresses_it_says_that_they_are_examples(tmp_path: Path) -> None:
    lines = tanist("init", cwd=tmp_path).stdout.splitlines()
    assert lines[0].startswith("m1 would be promoted first")
    assert lines[1] == "the addresses in tanist.toml are examples: write your own"


def test_where_nobody_listens_there_is_nothing_to_hint_at(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        lines = init(f"http://127.0.0.1:{taken.getsockname()[1]}", cwd=tmp_path)
    assert "(refused" in lines[0]
    assert not any("effects" in line for line in lines)


def seen(address: str, *, answered: int = 1, role: str = "") -> Seen:
    return Seen(
        address=address,
        answered=answered,
        failed=1 - answered,
        median_us=1_000 * answered,
        slowest_us=1_000 * answered,
        role=role,
        last_failure="",
    )


@pytest.mark.parametrize(
    ("masters", "begins", "says"),
    [
        ([seen("x"), seen("y")], "x", "m1 would be promoted first"),
        ([seen("x", answered=0), seen("y")], "y", "m1 would be promoted first"),
        ([seen("x", answered=0)], "x", "m1 would be promoted first"),
        ([seen("x"), seen("y", role="active")], "y", "m1 is active and stays so"),
        (
            [seen("x", role="active"), seen("y", role="active")],
            "",
            "several report themselves active: nobody is chosen between them",
        ),
    ],
)
def test_who_would_be_promoted_first(masters: list[Seen], begins: str, says: str) -> None:
    assert first(masters) == begins
    said = first_said("m1" if begins else "", masters)
    assert said.startswith(f"{says}; ")
    assert "only observes" in said


def test_the_preset_says_what_it_rests_on() -> None:
    assert "above the slowest answer" in preset_reason("lan", [seen("x")])
    assert "nobody answered" in preset_reason("zone", [seen("x", answered=0)])
    assert list(hints([seen("x", role="standby")], file="f")) == []


@needs_redis
def test_of_redis_servers_the_primary_comes_first_whatever_the_order(tmp_path: Path) -> None:
    password = "secret"
    with (
        redis_server(tmp_path, password=password) as one,
        redis_server(tmp_path, "--replicaof", "127.0.0.1", str(one.port), password=password) as two,
    ):
        asyncio.run(two.until("replication", "master_link_status:up"))
        words = ("init", "--look", "0", "--redis", two.address, one.address)
        env = environment(REDIS_PASSWORD=password)
        done = tanist(*words, "--password-env", "REDIS_PASSWORD", cwd=tmp_path, env=env)
        assert (done.returncode, done.stderr) == (0, "")
        lines = done.stdout.splitlines()
        assert f"reports itself standby and follows 127.0.0.1:{one.port}" in lines[0]
        assert "reports itself active" in lines[1]
        assert any(line.startswith("m1 is active and stays so") for line in lines)
        found = load(tmp_path / "tanist.toml")
        assert [master.address for master in found.masters] == [one.address, two.address]
        group = found.policy.groups["main"]
        assert (group.probe.kind, group.probe.password) == ("redis", Secret(env="REDIS_PASSWORD"))
        assert (group.effects, group.fence.clients) == ("redis", "direct")
        (tmp_path / "tanist.toml").unlink()
        assert "they ask for a password" in tanist(*words, cwd=tmp_path).stdout


def redis_of(address: str, role: str, follows: str = "") -> Seen:
    return msgspec.structs.replace(seen(address, role=role), follows=follows)


@pytest.mark.parametrize(
    ("masters", "says"),
    [
        ([("redis://a:1", "active"), ("redis://b:1", "active")], "are primaries, each with data"),
        ([("redis://a:1", "standby", "c:1")], "none of them is a primary"),
        ([("redis://a:1", "active"), ("redis://b:1", "standby", "c:1")], "b:1 follows c:1, which"),
    ],
)
def test_redis_servers_that_cannot_stand_in_for_one_another_are_named(
    masters: list[tuple[str, ...]], says: str
) -> None:
    found = [redis_of(*master) for master in masters]
    assert any(says in hint for hint in redis_hints(found, file="t.toml"))


def test_redis_servers_that_follow_their_primary_are_fine() -> None:
    found = [redis_of("redis://a:1", "active"), redis_of("redis://b:1", "standby", "a:1")]
    assert list(redis_hints(found, file="t.toml")) == []
    assert primary_first(("redis://b:1", "redis://a:1"), found) == ("redis://a:1", "redis://b:1")
    assert primary_first(("x", "y"), []) == ("x", "y")


@pytest.mark.parametrize(
    ("words", "starts"),
    [
        (("--http", "http://a:1", "--redis", "redis://b:1"), "expected --http or --redis"),
        (("--password-env", "X"), "--password-env: expected --redis with it"),
        (("--redis", "http://a:1"), "--redis: expected an redis:// URL"),
    ],
)
def test_a_wrong_use_is_one_line(words: tuple[str, ...], starts: str, tmp_path: Path) -> None:
    assert complaint(tanist("init", *words, cwd=tmp_path), 2).startswith(starts)
    assert not (tmp_path / "tanist.toml").exists()


def test_where_no_redis_listens_the_file_is_written_and_that_is_said(tmp_path: Path) -> None:
    words = ("init", "--look", "0", "--redis", f"redis://127.0.0.1:{free_port()}")
    done = tanist(*words, cwd=tmp_path)
    assert done.returncode == 0
    assert "no good answer to 1 probes (refused" in done.stdout
    load(tmp_path / "tanist.toml")
