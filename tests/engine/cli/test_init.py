"""What `tanist init` says of masters that are there, of plain upstreams, and of nobody."""

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from engine.cli.surveying import first, first_said, hints, preset_reason
from engine.config import load
from engine.runtime.survey import Seen
from tests.engine.cli.shell import answer, tanist


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
    path.write_text(text.replace('# kind = "http"', 'kind = "none"'))
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
