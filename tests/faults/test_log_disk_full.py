"""A disk that is really full: a small file system of its own."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.core.errors import LogFull
from engine.log import open_log
from engine.log.verify import verify
from tests.engine.log.events import fill, probes

BALLAST_BYTES = 512 << 10


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Return a directory on a disk of 2 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tanist-test", disk],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip(f"a small disk could not be mounted: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", disk], check=True)


def take_all(path: Path) -> None:
    """Leave no byte free."""
    with open(path, "ab", buffering=0) as file:
        for size in (65_536, 4_096, 1):
            try:
                while file.write(bytes(size)) == size:
                    pass
            except OSError:
                continue


def test_a_full_disk_loses_nothing_and_a_freed_one_goes_on(disk: Path) -> None:
    path, ballast = disk / "log.db", disk / "ballast"
    ballast.write_bytes(bytes(BALLAST_BYTES))
    with open_log(path, mode="write", create=True) as log:
        head = fill(log, 50)
        assert head > 0
        with pytest.raises(LogFull):
            log.append(probes(head + 1, head + 50))
        assert log.head.seq == head
        assert list(log.read()) == probes(1, head)
        with open_log(path) as reader:
            assert reader.head.seq == head
        ballast.unlink()
        log.append(probes(head + 1, head + 50))
    with open_log(path, mode="write") as log:
        assert log.head.seq == head + 50
        assert list(log.read()) == probes(1, head + 50)
        assert verify(log).ok


def test_a_log_that_cannot_be_created_leaves_no_file(disk: Path) -> None:
    path, ballast = disk / "log.db", disk / "ballast"
    take_all(ballast)
    with pytest.raises(LogFull):
        open_log(path, mode="write", create=True)
    assert {entry.name for entry in disk.iterdir()} <= {"ballast", "log.db.lock"}
    ballast.unlink()
    with open_log(path, mode="write", create=True) as log:
        log.append(probes(1, 1))


def test_a_log_at_rest_on_a_full_disk_is_refused_to_writers_unharmed(disk: Path) -> None:
    path, ballast = disk / "log.db", disk / "ballast"
    with open_log(path, mode="write", create=True) as log:
        log.append(probes(1, 500))
    before = path.read_bytes()
    take_all(ballast)
    with pytest.raises(LogFull):
        open_log(path, mode="write")
    assert path.read_bytes() == before
    ballast.unlink()
    with open_log(path, mode="write") as log:
        assert list(log.read()) == probes(1, 500)
