"""The service as people run it: `tanist run` in a process of its own."""

import asyncio
import contextlib
import json
import os
import resource
import signal
import socket
import stat
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.core.errors import ConfigurationError
from engine.embed import Engine
from engine.log.memory import MemoryLog
from engine.log.sqlite import open_log
from engine.runtime.failpoints import nothing
from engine.service.running import failpoint_of_environment, served, token_beside
from tests.engine.real import Fleet, fleet, kinds, nobody, run
from tests.engine.runtime.peers import sample

__all__ = ["fleet"]


class Served:
    """`tanist run` as a process, and what it has said."""

    def __init__(self, process: "subprocess.Popen[str]", said: str) -> None:
        self.process = process
        self.said = said  # the line that it began with

    def ends(self, number: signal.Signals) -> tuple[int, str]:
        """Return the exit code and what else it said on standard error."""
        self.process.send_signal(number)
        _, rest = self.process.communicate()
        return self.process.returncode, rest


def written(directory: Path, addresses: dict[str, str], *, automation: str = "auto") -> Path:
    """Return a configuration file of one group of masters."""
    lines = [
        "[engine]",
        'log = "t.db"',
        'listen = "127.0.0.1:0"',
        "[groups.g]",
        'mode = "active-standby"',
        'preset = "lan"',
        f'automation = "{automation}"',
    ]
    for name, address in addresses.items():
        lines += ["[[groups.g.masters]]", f'id = "{name}"', f'address = "{address}"']
    path = directory / "tanist.toml"
    path.write_text("\n".join(lines) + "\n")
    return path


def command(file: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "engine.cli.main", "run", str(file), *arguments]


@contextlib.contextmanager
def serving(file: Path, *arguments: str, **environment: str) -> Iterator[Served]:
    """Run the service; it listens when this is entered."""
    with subprocess.Popen(
        command(file, *arguments),
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    ) as process:
        try:
            assert process.stderr is not None
            yield Served(process, process.stderr.readline())
        finally:
            if process.poll() is None:
                process.kill()


def get(url: str) -> dict[str, object]:
    with urllib.request.urlopen(url) as answer:
        document: dict[str, object] = json.loads(answer.read())
        return document


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_it_serves_until_it_is_told_to_end_and_ends_well(
    fleet: Fleet, tmp_path: Path, number: signal.Signals
) -> None:
    file = written(tmp_path, fleet.addresses)
    place = tmp_path / "t.db.engine.json"
    with serving(file) as service:
        log = tmp_path / "t.db"
        assert service.said.startswith(f"tanist: watching g (auto); log {log}; http://127.0.0.1:")
        found = json.loads(place.read_text())
        assert found == {"url": service.said.split()[-1], "pid": service.process.pid}
        assert get(f"{found['url']}/readyz") == {"ready": True}
        code, rest = service.ends(number)
    assert code == 0
    assert "tanist: ending: what was observed is made durable" in rest.splitlines()
    assert not place.exists()
    with open_log(log) as stored:
        assert kinds(stored)[:3] == ["EngineStarted", "ConfigurationLoaded", "PolicyAdopted"]


def until_active(service: Served) -> None:
    """Return when somebody of the group is active."""
    url = service.said.split()[-1]
    with urllib.request.urlopen(f"{url}/api/events?follow=1") as stream:
        while b'"kind": "SwitchDone"' not in (line := stream.readline()):
            assert line


def test_it_says_what_it_decides_and_never_what_it_only_saw(fleet: Fleet, tmp_path: Path) -> None:
    with serving(written(tmp_path, fleet.addresses)) as service:
        until_active(service)
        _, rest = service.ends(signal.SIGTERM)
    said = rest.splitlines()
    with open_log(tmp_path / "t.db") as log:
        events = {found.seq: type(found.event).__name__ for found in log.read()}
    told = [events[int(line.rpartition("[why ")[2].rstrip("]"))] for line in said if "[why" in line]
    assert {"MasterHealthy", "FailoverStarted", "AttemptStarted", "Switched", "FailoverEnded"} <= {
        *told
    }
    assert not {"ProbeOk", "ProbeFailed", "MessageAccepted", "Outcome"} & {*told}
    assert any("Z g: failover " in line and " begins: first " in line for line in said)


def test_it_goes_on_when_nobody_reads_what_it_says(fleet: Fleet, tmp_path: Path) -> None:
    with serving(written(tmp_path, fleet.addresses)) as service:
        assert service.process.stderr is not None
        service.process.stderr.close()
        until_active(service)
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait() == 0


def test_without_a_standard_error_it_runs_as_well(fleet: Fleet, tmp_path: Path) -> None:
    file = written(tmp_path, fleet.addresses)
    words = " ".join(command(file))
    with subprocess.Popen(["/bin/sh", "-c", f"exec {words} 2>&- </dev/null"]) as process:
        try:
            place = tmp_path / "t.db.engine.json"
            while not place.exists():
                assert process.poll() is None
            url = json.loads(place.read_text())["url"]
            with urllib.request.urlopen(f"{url}/api/events?follow=1") as stream:
                while b'"kind": "SwitchDone"' not in (line := stream.readline()):
                    assert line
            process.send_signal(signal.SIGTERM)
            assert process.wait() == 0
        finally:
            if process.poll() is None:
                process.kill()


def test_a_hangup_that_nohup_ignores_does_not_end_it(fleet: Fleet, tmp_path: Path) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with serving(written(tmp_path, fleet.addresses)) as service:
            service.process.send_signal(signal.SIGHUP)
            until_active(service)
            assert service.ends(signal.SIGTERM)[0] == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def test_its_token_is_for_its_owner_and_stays_the_same(fleet: Fleet, tmp_path: Path) -> None:
    file = written(tmp_path, fleet.addresses)
    token = tmp_path / "tanist.token"
    seen = set()
    for _ in range(2):
        with serving(file) as service:
            assert stat.S_IMODE(token.stat().st_mode) == 0o600
            seen.add(token.read_text())
            service.ends(signal.SIGTERM)
    (text,) = seen
    assert len(text.strip()) >= 40


def test_it_ends_while_somebody_follows_the_events(fleet: Fleet, tmp_path: Path) -> None:
    with serving(written(tmp_path, fleet.addresses)) as service:
        url = service.said.split()[-1]
        with urllib.request.urlopen(f"{url}/api/events?follow=1") as stream:
            assert stream.readline() == b"id: 1\n"
            service.process.send_signal(signal.SIGTERM)
            assert stream.read().endswith(b"\n\n")  # whole events, and an end that is no cut
        assert service.process.wait() == 0


def test_one_log_has_one_service(fleet: Fleet, tmp_path: Path) -> None:
    file = written(tmp_path, fleet.addresses)
    with serving(file) as service:
        second = subprocess.run(command(file), capture_output=True, text=True, check=False)
        assert second.returncode == 3
        (line,) = second.stderr.splitlines()
        assert str(service.process.pid) in line
        assert get(f"{service.said.split()[-1]}/readyz") == {"ready": True}
        assert (tmp_path / "t.db.engine.json").exists()
        assert service.ends(signal.SIGTERM)[0] == 0


def test_a_log_that_another_took_over_ends_it_with_exit_3(fleet: Fleet, tmp_path: Path) -> None:
    with serving(written(tmp_path, fleet.addresses)) as service:
        until_active(service)
        os.unlink(tmp_path / "t.db.lock")  # what an operator should not do
        with open_log(tmp_path / "t.db", mode="write"):
            _, rest = service.process.communicate()
        assert service.process.returncode == 3
    assert rest.splitlines()[-1].startswith("tanist: ended: ")
    assert "another writer took the log over" in rest
    assert not (tmp_path / "t.db.engine.json").exists()


def test_where_it_cannot_listen_is_one_line_and_exit_2(fleet: Fleet, tmp_path: Path) -> None:
    file = written(tmp_path, fleet.addresses)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        done = subprocess.run(
            command(file, "--listen", listen), capture_output=True, text=True, check=False
        )
    expected = f"tanist: listen {listen}: Address already in use\n"
    assert (done.returncode, done.stderr) == (2, expected)


@pytest.mark.parametrize("listen", ["here", "127.0.0.1:http", "127.0.0.1:65536", ":8600", "h:²"])
def test_what_is_no_place_to_listen_at_is_refused(listen: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with Engine(nobody(), log=MemoryLog()) as engine:
            with pytest.raises(ConfigurationError, match="expected HOST:PORT"):
                async with served(engine, tmp_path / "t.db", listen):
                    raise AssertionError("it listens")
        assert not os.listdir(tmp_path)

    run(main())


def test_a_refused_configuration_is_not_run(fleet: Fleet, tmp_path: Path) -> None:
    with serving(written(tmp_path, fleet.addresses)) as service:
        until_active(service)
        service.ends(signal.SIGTERM)
    file = written(tmp_path, {"b": fleet.addresses["b"]})
    for _ in range(2):
        done = subprocess.run(command(file), capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (2, "tanist: master a of g is active\n")


def test_a_failpoint_of_the_environment_ends_the_process_there(
    fleet: Fleet, tmp_path: Path
) -> None:
    file = written(tmp_path, fleet.addresses)
    with serving(file, TANIST_FAILPOINT="log.after_commit/PolicyAdopted") as service:
        assert service.process.wait() == -signal.SIGKILL
    with open_log(tmp_path / "t.db") as log:
        assert "PolicyAdopted" in kinds(log)
    with serving(file) as service:
        assert get(f"{service.said.split()[-1]}/readyz") == {"ready": True}


def test_an_unknown_failpoint_of_the_environment_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TANIST_FAILPOINT", "nowhere")
    with pytest.raises(ConfigurationError, match="TANIST_FAILPOINT: expected one of"):
        failpoint_of_environment()
    monkeypatch.setenv("TANIST_FAILPOINT", "")
    assert failpoint_of_environment() is nothing


def test_a_token_file_that_was_left_empty_lets_nobody_in(tmp_path: Path) -> None:
    path = tmp_path / "tanist.token"
    path.touch(mode=0o600)
    token = token_beside(tmp_path / "t.db")
    assert len(token) >= 40
    assert path.read_text() == f"{token}\n"
    assert token_beside(tmp_path / "other.db") == token


@pytest.mark.parametrize(
    "found", [b"caf\xe9\n", "café\n".encode(), b"one\ntwo\n", b"a b\n", b"x" * 10_000, b"\0"]
)
def test_a_token_file_that_holds_no_token_is_one_line_and_stays(
    found: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "tanist.token"
    path.write_bytes(found)
    with pytest.raises(ConfigurationError) as raised:
        token_beside(tmp_path / "t.db")
    (line,) = raised.value.mistakes
    assert line.startswith(f"{path}: expected a file of one line with the token")
    assert path.read_bytes() == found


def test_a_token_of_ones_own_is_taken_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "tanist.token").write_bytes(b"my-own_TOKEN/+==\r\n")
    assert token_beside(tmp_path / "t.db") == "my-own_TOKEN/+=="


def test_what_is_no_file_in_the_place_of_the_token_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "tanist.token"
    path.mkdir()
    with pytest.raises(ConfigurationError, match=r"tanist\.token: the token: Is a directory"):
        token_beside(tmp_path / "t.db")
    path.rmdir()
    os.mkfifo(path)
    with pytest.raises(ConfigurationError, match="expected a file of one line"):
        token_beside(tmp_path / "t.db")


@pytest.mark.parametrize("name", ["tanist.token", "t.db.engine.json", "t.db.engine.json.new"])
def test_a_directory_in_the_place_of_a_file_beside_the_log_is_one_line_and_exit_2(
    name: str, tmp_path: Path
) -> None:
    file = written(tmp_path, {"a": "http://127.0.0.1:1", "b": "http://127.0.0.1:2"})
    (tmp_path / name).mkdir()
    done = subprocess.run(command(file), capture_output=True, text=True, check=False)
    place = tmp_path / name.removesuffix(".new")
    (line,) = done.stderr.splitlines()
    assert done.returncode == 2
    assert line.startswith(f"tanist: {place}: ")
    assert line.endswith("Is a directory")
    assert (tmp_path / name).is_dir()


needs_limits = pytest.mark.skipif(
    not hasattr(resource, "prlimit"), reason="only Linux limits what another process may write"
)


def limited(service: Served, size: int) -> None:
    """Let the service write no file beyond `size` bytes: for its log that is a full disk."""
    hard = resource.RLIM_INFINITY
    resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE, (size, hard))


@needs_limits
def test_a_log_that_cannot_be_written_is_said_and_seen_until_it_can_be(
    fleet: Fleet, tmp_path: Path
) -> None:
    log = tmp_path / "t.db"
    with serving(written(tmp_path, fleet.addresses)) as service:
        url = service.said.split()[-1]
        assert get(f"{url}/api/status")["failure"] is None
        until_active(service)
        assert service.process.stderr is not None
        limited(service, 0)
        while "cannot be written" not in (line := service.process.stderr.readline()):
            assert line
        assert line.startswith(f"tanist: the log cannot be written: {log}: ")
        assert line.endswith("; nothing is decided and nothing issued until it can\n")
        failure = get(f"{url}/api/status")["failure"]
        assert isinstance(failure, str)
        assert failure in line
        words = [sys.executable, "-m", "engine.cli.main", "status", str(log)]
        shown = subprocess.run(words, capture_output=True, text=True, check=True).stdout
        assert shown.splitlines()[0].startswith(f"THE LOG CANNOT BE WRITTEN: {failure}; ")
        limited(service, resource.RLIM_INFINITY)
        while "can be written again" not in (line := service.process.stderr.readline()):
            assert line
        assert get(f"{url}/api/status")["failure"] is None
        shown = subprocess.run(words, capture_output=True, text=True, check=True).stdout
        assert shown.splitlines()[0].startswith(f"engine {service.process.pid} at ")
        code, rest = service.ends(signal.SIGTERM)
    assert code == 0
    assert "tanist: ending: what was observed is made durable" in rest.splitlines()
    assert "could not" not in rest


@needs_limits
def test_an_end_while_the_log_cannot_be_written_says_what_is_lost(
    fleet: Fleet, tmp_path: Path
) -> None:
    with serving(written(tmp_path, fleet.addresses)) as service:
        until_active(service)
        assert service.process.stderr is not None
        limited(service, 0)
        while "cannot be written" not in (line := service.process.stderr.readline()):
            assert line
        code, rest = service.ends(signal.SIGTERM)
    assert code == 0
    last = rest.splitlines()[-1]
    assert last.startswith("tanist: ending: the log could not be written for ")
    assert "what was observed since then is lost" in last


def test_a_group_whose_masters_all_report_themselves_active_says_that_it_waits(
    tmp_path: Path,
) -> None:
    with (
        sample("master", "--role", "active") as one,
        sample("master", "--role", "active") as other,
        serving(written(tmp_path, {"a": one.address, "b": other.address})) as service,
    ):
        assert service.process.stderr is not None
        while "several masters report" not in (line := service.process.stderr.readline()):
            assert line
        assert "Z g: nobody is active yet: several masters report themselves active" in line
        _, rest = service.ends(signal.SIGTERM)
    assert "several masters report" not in rest


def test_it_listens_when_its_address_is_told(tmp_path: Path) -> None:
    async def main() -> None:
        async with (
            Engine(nobody(), log=MemoryLog()) as engine,
            served(engine, tmp_path / "t.db", "127.0.0.1:0") as url,
        ):
            found = json.loads((tmp_path / "t.db.engine.json").read_text())
            assert found == {"url": url, "pid": os.getpid()}
            host, _, port = url.removeprefix("http://").partition(":")
            _, writer = await asyncio.open_connection(host, int(port))  # not a moment later
            writer.close()
            await writer.wait_closed()
        assert os.listdir(tmp_path) == ["tanist.token"]

    run(main())


def test_an_ipv6_address_is_written_as_one(tmp_path: Path) -> None:
    async def main() -> None:
        async with (
            Engine(nobody(), log=MemoryLog()) as engine,
            served(engine, tmp_path / "t.db", "[::1]:0") as url,
        ):
            assert url.startswith("http://[::1]:")
            assert await asyncio.to_thread(get, f"{url}/livez") == {"alive": True}

    run(main())


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc to count open files")
def test_clients_that_connect_and_ask_nothing_leave_the_engine_its_files(tmp_path: Path) -> None:
    most, clients = 128, 300
    file = written(tmp_path, {"a": "http://127.0.0.1:1", "b": "http://127.0.0.1:2"})
    words = ["sh", "-c", f'ulimit -n {most} && exec "$@"', "sh", *command(file)]
    with (
        contextlib.ExitStack() as stack,
        subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as process,
    ):
        stack.callback(process.kill)
        assert process.stderr is not None
        service = Served(process, process.stderr.readline())
        host, port = service.said.split()[-1].removeprefix("http://").split(":")
        for _ in range(clients):
            stack.enter_context(socket.create_connection((host, int(port))))
        last = stack.enter_context(socket.create_connection((host, int(port))))
        with contextlib.suppress(ConnectionResetError):
            assert last.recv(1) == b""  # all before it were taken, or turned away as this one
        assert len(list(Path(f"/proc/{process.pid}/fd").iterdir())) < most
        code, rest = service.ends(signal.SIGTERM)
    assert code == 0
    assert "out of system resource" not in rest
    with open_log(tmp_path / "t.db") as stored:
        assert "SpaceShort" not in kinds(stored)
