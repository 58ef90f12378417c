"""The demonstration where it cannot be played: one line says why, and it ends."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine.core.errors import EngineError, LogError
from engine.demo import fleet as fleet_module
from engine.demo import halting
from engine.demo.fleet import Process
from engine.demo.halting import unless_halted
from engine.embed import Engine
from tests.engine.real import FullLog, nobody, run
from tests.faults.test_log_disk_full import disk as disk
from tests.faults.test_log_disk_full import take_all


def demo(directory: Path) -> "subprocess.CompletedProcess[str]":
    words = ("demo", "--seconds", "6", "--json", "--directory", str(directory))
    return subprocess.run(
        [sys.executable, "-m", "engine.cli.main", *words],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("name", ["tanist.db", "sink.db"])
def test_where_another_was_played_it_is_refused_and_changes_nothing(
    name: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text("what was")
    done = demo(tmp_path)
    (line,) = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (2, "")
    assert line.startswith(f"tanist: {tmp_path / name} is of an earlier demonstration")
    assert os.listdir(tmp_path) == [name]
    assert (tmp_path / name).read_text() == "what was"


def test_a_file_in_the_place_of_the_directory_is_one_line(tmp_path: Path) -> None:
    place = tmp_path / "file"
    place.touch()
    done = demo(place)
    assert (done.returncode, done.stderr) == (2, f"tanist: {place}: File exists\n")


def test_a_full_directory_is_one_line_with_the_reason_of_the_process(disk: Path) -> None:
    take_all(disk / "ballast")
    done = demo(disk)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("tanist: sink ended before it listened: ")
    assert line.endswith("database or disk is full")


def test_a_disk_that_fills_up_while_it_is_played_ends_it(disk: Path) -> None:
    ballast = disk / "ballast"
    ballast.write_bytes(bytes(1_000 << 10))
    done = demo(disk)
    assert (done.returncode, done.stdout) == (3, "")
    *_, line = done.stderr.splitlines()
    assert line.startswith("tanist: ")
    assert "no space is left" in line
    assert "Traceback" not in done.stderr


def script(directory: Path, text: str) -> str:
    """Write a module that a process of the fleet can be started from, and return its name."""
    (directory / "peer_of_the_test.py").write_text(text)
    return "peer_of_the_test"


def start(directory: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Start it as a process of the fleet; return why that failed."""
    monkeypatch.setenv("PYTHONPATH", f"{directory}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")

    async def main() -> str:
        with pytest.raises(EngineError) as raised:
            await Process.start("m", script(directory, text))
        return str(raised.value)

    return run(main())


def test_a_process_that_dies_gives_its_last_line_as_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    said = start(tmp_path, "raise SystemExit('first\\nno \\x1b[2Jport is free\\n')", monkeypatch)
    assert said == "m ended before it listened: no ?[2Jport is free"
    assert capfd.readouterr() == ("", "")


def test_a_process_that_says_nothing_is_ended_in_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet_module, "START_S", 0.5)
    said = start(tmp_path, "import signal\nsignal.pause()\n", monkeypatch)
    assert said == "m did not listen within 0.5 s"


def test_a_process_that_says_very_much_is_not_held_up_by_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    text = (
        "import json, signal, sys\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\n"
        "sys.stderr.write('x' * (1 << 20) + '\\n')\n"
        f"print({json.dumps(json.dumps({'port': 7}))}, flush=True)\n"
        "signal.pause()\n"
    )

    async def main() -> None:
        process = await Process.start("m", script(tmp_path, text))
        assert process.url == "http://127.0.0.1:7"
        await process.end()

    run(main())


def test_it_is_given_up_when_the_log_cannot_be_written_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(halting, "HALT_S", 0.0)
    log = FullLog()

    async def main() -> None:
        async with Engine(nobody(), log=log) as engine:
            log.is_full = True
            with pytest.raises(LogError, match="given up: no space is left, as the test wants it"):
                await unless_halted(engine, asyncio.sleep(halting.HALT_S + 3_600))

    run(main())


def test_what_is_played_to_the_end_is_not_given_up() -> None:
    played = []

    async def play() -> None:
        played.append(1)

    async def main() -> None:
        async with Engine(nobody(), log=FullLog()) as engine:
            await unless_halted(engine, play())

    run(main())
    assert played == [1]
