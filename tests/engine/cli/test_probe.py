"""`tanist probe`: one look at anybody's master, and the promises of the protocol."""

import json
import re
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests.engine.cli.shell import complaint, environment, process, tanist
from tests.engine.runtime.peers import free_port, sample
from tests.engine.runtime.redises import needs_redis, redis_server


def test_a_master_is_looked_at_and_told_in_words(tmp_path: Path) -> None:
    with sample("master", "--name", "a", "--group", "g") as master:
        done = process("probe", master.address, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.search(r"answered in [0-9.]+ [mu]s over a fresh connection, status 200", done.stdout)
    assert "over the connection held open" in done.stdout
    assert re.search(r"role +standby", done.stdout)


def test_the_sample_keeps_every_promise_of_the_protocol(tmp_path: Path) -> None:
    with sample("master", "--name", "a", "--group", "g") as master:
        done = process("probe", master.address, "--contract", "--json", cwd=tmp_path)
        again = process("probe", master.address, "--contract", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    found = json.loads(done.stdout)
    assert len(found["contract"]) == 24
    assert all(promise["ok"] for promise in found["contract"])
    assert again.returncode == 0  # it begins above the epoch that the last one ended with
    assert again.stdout.count("\nok ") == 24


class Careless(BaseHTTPRequestHandler):
    """Says yes to everything, and does nothing."""

    protocol_version = "HTTP/1.1"

    def _yes(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b'{"status":"ok","boot":"x","role":"active","epoch":0}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = _yes

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def careless() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Careless) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_one_that_says_yes_to_everything_breaks_promises_by_name(
    careless: str, tmp_path: Path
) -> None:
    done = tanist("probe", careless, "--contract", cwd=tmp_path)
    assert done.returncode == 1
    broken = [line for line in done.stdout.split("\n") if line.startswith("NOT ok")]
    assert any("promote under an older epoch is refused (409); found 200" in it for it in broken)
    assert any("after it the master is not active" in line for line in broken)
    assert "ok      promote is done (200)" in done.stdout


def test_where_nobody_listens_the_answer_is_no(tmp_path: Path) -> None:
    for scheme in ("http", "https", "tcp", "redis"):
        done = tanist("probe", f"{scheme}://127.0.0.1:{free_port()}", cwd=tmp_path)
        assert done.returncode == 1
        assert "refused after" in done.stdout


@needs_redis
def test_a_redis_server_is_looked_at(tmp_path: Path) -> None:
    with redis_server(tmp_path, password="secret") as server:
        env = environment(REDIS_PASSWORD="secret")
        words = ("probe", server.address, "--password-env", "REDIS_PASSWORD")
        done = tanist(*words, cwd=tmp_path, env=env)
        assert done.returncode == 0
        assert re.search(r"role +active", done.stdout)
        assert re.search(r"lease +it goes on for ever", done.stdout)
        refused = tanist("probe", server.address, cwd=tmp_path)
        assert refused.returncode == 1
        assert "status after" in refused.stdout
        assert "NOAUTH" in refused.stdout


@pytest.mark.parametrize(
    ("words", "starts"),
    [
        (("ftp://a:1",), "URL: expected one of http://HOST:PORT, https://HOST:PORT"),
        (("http://u:p@a:1",), "URL: expected one of"),
        (("http://a",), "URL: expected one of"),
        (("http://a:1", "--path", "x"), "--path: expected a path that starts with /"),
        (("http://a:1", "--timeout-ms", "0"), "--timeout-ms: expected at least 1, found 0"),
        (("redis://a:1", "--contract"), "--contract: expected an http:// or https:// URL"),
        (("redis://a:1", "--password-env", "NO_SUCH"), "tanist probe: groups.main.probe.password"),
        (("https://a:1", "--ca", "none.pem"), "tanist probe: groups.main.probe.ca: expected"),
    ],
)
def test_a_wrong_use_is_one_line(words: tuple[str, ...], starts: str, tmp_path: Path) -> None:
    assert complaint(tanist("probe", *words, cwd=tmp_path), 2).startswith(starts)
