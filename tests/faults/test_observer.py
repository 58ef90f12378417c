"""A second vantage point: `tanist observer` beside `tanist run`, both as processes."""

import contextlib
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from engine.core import events as ev
from engine.core.events import AnyEvent, Evidence
from engine.log.sqlite import open_log
from engine.log.tailing import tail
from tests.engine.cli.shell import COMMAND, complaint, environment, process
from tests.engine.runtime.peers import Sample, free_port, sample

GUARD_S = 30


def written(directory: Path, addresses: Mapping[str, str], *, listen: str) -> Path:
    lines = [
        f'[engine]\nlog = "t.db"\nlisten = "{listen}"\npreset = "lan"',
        '[groups.g]\nmode = "active-active"\neffects = { kind = "none" }\n'
        'detect_within = "60s"\n'
        'probe = { interval = "20ms", recheck = "20ms", timeout = "5s", rise = 1 }',
    ]
    for name, address in addresses.items():
        lines.append(f'[[groups.g.masters]]\nid = "{name}"\naddress = "{address}"')
    file = directory / "tanist.toml"
    file.write_text("\n".join(lines) + "\n")
    return file


class Said:
    """The lines of a process on standard error, as they come."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self.lines: list[str] = []
        self._more = threading.Condition()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._more:
                self.lines.append(line)
                self._more.notify_all()

    def until(self, word: str) -> str:
        """Return the first line with `word` in it."""
        with self._more:
            assert self._more.wait_for(
                lambda: any(word in line for line in self.lines), timeout=GUARD_S
            ), self.lines
            return next(line for line in self.lines if word in line)

    def ends(self, number: signal.Signals | None = None) -> int:
        if number is not None:
            self.process.send_signal(number)
        code = self.process.wait(GUARD_S)
        self._thread.join(GUARD_S)
        return code


@contextlib.contextmanager
def running(directory: Path, *words: str) -> Iterator[Said]:
    with subprocess.Popen(
        [*COMMAND, *words], cwd=directory, stderr=subprocess.PIPE, text=True, env=environment()
    ) as process:
        try:
            yield Said(process)
        finally:
            if process.poll() is None:
                process.kill()


def observing(
    directory: Path, url: str, name: str = "o2"
) -> "contextlib.AbstractContextManager[Said]":
    words = ("observer", "tanist.toml", "--engine", url, "--name", name)
    return running(directory, *words)


def first(log: Path, wanted: Callable[[AnyEvent], bool], *, after: int = 0) -> int:
    """Return the seq of the first event of the log that is wanted."""
    ending = threading.Event()
    guard = threading.Timer(GUARD_S, ending.set)
    guard.start()
    try:
        with open_log(log) as opened:
            for recorded in tail(opened, after, wait=lambda: not ending.wait(0.01)):
                if wanted(recorded.event):
                    return recorded.seq
    finally:
        guard.cancel()
    raise AssertionError("it did not come")


def by(name: str, kind: type[AnyEvent]) -> Callable[[AnyEvent], bool]:
    return lambda event: isinstance(event, kind) and getattr(event, "observer", None) == name


def of_observer(log: Path, name: str) -> list[AnyEvent]:
    with open_log(log) as opened:
        return [
            recorded.event
            for recorded in opened.read()
            if getattr(recorded.event, "observer", None) == name
        ]


def url_of(said: Said) -> str:
    return said.until("watching").split("; ")[-1].strip()


def numbers(log: Path, name: str) -> dict[str, list[int]]:
    """Return the n of everything that an observer's probes came to, by master."""
    found: dict[str, list[int]] = {}
    with open_log(log) as opened:
        for recorded in opened.read():
            event = recorded.event
            if isinstance(event, ev.ProbeOk | ev.ProbeFailed) and event.observer == name:
                found.setdefault(recorded.subject, []).append(event.n)
    return found


@pytest.fixture
def masters() -> Iterator[dict[str, Sample]]:
    with sample("master", "--name", "a") as a, sample("master", "--name", "b") as b:
        yield {"a": a, "b": b}


def addresses(masters: Mapping[str, Sample]) -> dict[str, str]:
    return {name: master.address for name, master in masters.items()}


def test_what_a_second_process_sees_is_in_the_log_under_its_name(
    tmp_path: Path, masters: dict[str, Sample]
) -> None:
    written(tmp_path, addresses(masters), listen="127.0.0.1:0")
    log = tmp_path / "t.db"
    with running(tmp_path, "run") as engine, observing(tmp_path, url_of(engine)) as observer:
        observer.until("o2 looks at a, b")
        good = first(log, by("o2", ev.ProbeOk))
        masters["b"].process.kill()
        closed = first(log, by("o2", ev.ConnectionClosed), after=good)
        failed = first(log, by("o2", ev.ProbeFailed), after=closed)
        assert observer.ends(signal.SIGTERM) == 0
        assert engine.ends(signal.SIGTERM) == 0
    with open_log(log) as opened:
        event = next(iter(opened.read(failed - 1, failed))).event
    assert isinstance(event, ev.ProbeFailed)
    assert event.evidence is Evidence.REFUSED
    for ns in numbers(log, "o2").values():
        assert ns == list(range(1, len(ns) + 1))
    assert "Traceback" not in "".join(observer.lines + engine.lines)


def test_an_observer_says_that_the_engine_is_away_and_goes_on_when_it_is_back(
    tmp_path: Path, masters: dict[str, Sample]
) -> None:
    """It is started before the engine, and counts on over the engine's and its own restart."""
    listen = f"127.0.0.1:{free_port()}"
    written(tmp_path, addresses(masters), listen=listen)
    (tmp_path / "tanist.token").write_text("a-token-of-the-test\n")
    log = tmp_path / "t.db"
    with observing(tmp_path, f"http://{listen}") as observer:
        observer.until("the engine is away (refused")
        with running(tmp_path, "run") as engine:
            observer.until("the engine is there again")
            seq = first(log, by("o2", ev.ProbeOk))
            observer.lines.clear()
            engine.process.kill()
            engine.ends()
        observer.until("the engine is away")
        with running(tmp_path, "run") as engine:
            observer.until("the engine is there again")
            first(log, by("o2", ev.ProbeOk), after=seq)
            assert observer.ends(signal.SIGINT) == 0
            with observing(tmp_path, f"http://{listen}") as again:
                again.until("o2 looks at")
                count = len(numbers(log, "o2")["a"])
                with open_log(log) as opened:
                    head = opened.head.seq
                first(log, by("o2", ev.ProbeOk), after=head)
                assert again.ends(signal.SIGTERM) == 0
            assert engine.ends(signal.SIGTERM) == 0
    for ns in numbers(log, "o2").values():
        assert ns == sorted(set(ns))  # nothing twice, whatever was told again
        assert len(ns) >= 3
    assert len(numbers(log, "o2")["a"]) > count


def test_another_process_takes_the_name_and_the_first_one_ends(
    tmp_path: Path, masters: dict[str, Sample]
) -> None:
    written(tmp_path, addresses(masters), listen="127.0.0.1:0")
    with running(tmp_path, "run") as engine:
        url = url_of(engine)
        with observing(tmp_path, url) as one:
            one.until("o2 looks at")
            with observing(tmp_path, url) as other, observing(tmp_path, url, "o3") as third:
                other.until("o2 looks at")
                third.until("o3 looks at")
                assert one.ends() == 1
                assert "refused: another process has taken the name 'o2'" in one.lines[-1]
                first(tmp_path / "t.db", by("o3", ev.ProbeOk))
                assert (other.ends(signal.SIGTERM), third.ends(signal.SIGTERM)) == (0, 0)


def test_who_does_not_know_the_token_ends_with_one_line(
    tmp_path: Path, masters: dict[str, Sample]
) -> None:
    written(tmp_path, addresses(masters), listen="127.0.0.1:0")
    with running(tmp_path, "run") as engine:
        words = ("observer", "tanist.toml", "--engine", url_of(engine), "--name", "o2")
        done = process(*words, cwd=tmp_path, env=environment(TANIST_TOKEN="another"))
        assert "the engine says 401" in complaint(done, 2)


@pytest.mark.parametrize(
    ("engine", "name", "starts"),
    [
        ("http://127.0.0.1:1", "1", "--name: expected a name"),
        ("ftp://127.0.0.1:1", "o2", "--engine: expected http://host:port"),
        ("127.0.0.1:1", "o2", "--engine: expected http://host:port"),
    ],
)
def test_a_wrong_use_is_one_line(engine: str, name: str, starts: str, tmp_path: Path) -> None:
    written(tmp_path, {"a": "http://127.0.0.1:1"}, listen="127.0.0.1:0")
    words = ("observer", "tanist.toml", "--engine", engine, "--name", name)
    assert complaint(process(*words, cwd=tmp_path), 2).startswith(starts)
