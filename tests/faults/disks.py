"""A disk that is really full: a small file system of its own, mounted for one test."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


@contextlib.contextmanager
def small_disk(directory: Path, *, mebibytes: int) -> Iterator[Path]:
    """Mount a file system of that size below `directory`, until the end of the block.

    The test is skipped where nobody may mount one, but not in CI.
    """
    disk = directory / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "tanist-test", disk],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode != 0:
        said = f"a small disk could not be mounted: {mounted.stderr.strip()}"
        assert "CI" not in os.environ, said
        pytest.skip(said)
    try:
        yield disk
    finally:
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
