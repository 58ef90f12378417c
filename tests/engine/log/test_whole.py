"""A file is there whole or not at all."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.core.errors import ConfigurationError, LogError, LogLocked
from engine.log.whole import arriving


def names(path: Path) -> set[str]:
    return {entry.name for entry in path.iterdir()}


def test_a_file_is_at_its_place_only_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "x"
    with arriving(path) as part:
        part.write_text("half")
        assert not path.exists()
        assert part.parent == tmp_path
    assert path.read_text() == "half"
    assert names(tmp_path) == {"x"}


def put(path: Path, text: str, *, force: bool = False, then: Callable[[], object] = int) -> None:
    """Write `text` to `path`, and do something before that is whole."""
    with arriving(path, force=force) as part:
        part.write_text(text)
        Path(f"{part}-wal").write_text("of a database")
        then()


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, LogError])
def test_what_failed_leaves_nothing_or_what_was_there(
    tmp_path: Path, error: type[BaseException]
) -> None:
    def fail() -> None:
        raise error

    path = tmp_path / "x"
    with pytest.raises(error):
        put(path, "new", then=fail)
    assert names(tmp_path) == set()
    path.write_text("old")
    with pytest.raises(error):
        put(path, "new", force=True, then=fail)
    assert path.read_text() == "old"
    put(path, "new", force=True)
    assert path.read_text() == "new"
    assert names(tmp_path) == {"x"}


def test_nothing_is_replaced_that_nobody_said_to_replace(tmp_path: Path) -> None:
    path = tmp_path / "x"
    with pytest.raises(ConfigurationError, match="exists already"):
        put(path, "late", then=lambda: path.write_text("somebody was faster"))
    assert path.read_text() == "somebody was faster"
    with pytest.raises(ConfigurationError, match="exists already"):
        put(path, "late", then=lambda: pytest.fail("it is known before anything is written"))
    assert names(tmp_path) == {"x"}


@pytest.mark.parametrize("suffix", ["-wal", "-journal"])
@pytest.mark.parametrize("is_there", [True, False])
def test_what_a_database_left_beside_is_never_taken_for_a_part_of_the_new_file(
    tmp_path: Path, suffix: str, is_there: bool
) -> None:
    path, beside = tmp_path / "x", tmp_path / f"x{suffix}"
    beside.write_text("pages of another file")
    if is_there:
        path.write_text("old")
    with pytest.raises(LogLocked, match="a program has"), arriving(path, force=True):
        pytest.fail("it is known before anything is written")
    assert beside.read_text() == "pages of another file"


def test_a_place_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(LogError, match="there is no directory"), arriving(tmp_path / "no" / "x"):
        pytest.fail("there is nowhere to write")
    with pytest.raises(LogError, match="is a directory"), arriving(tmp_path, force=True):
        pytest.fail("there is nowhere to write")
    with pytest.raises(LogError, match="x cannot be written"), arriving(tmp_path / "x"):
        pass  # nothing was written, so there is nothing to put there
    assert names(tmp_path) == set()


def test_what_a_killed_process_left_is_removed_and_that_of_a_living_one_is_not(
    tmp_path: Path,
) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as dead:
        pass
    for pid in (dead.pid, os.getppid(), "other"):
        (tmp_path / f"x.{pid}.part").write_text("half")
    (tmp_path / f"x.{dead.pid}.part-journal").write_text("half")
    with arriving(tmp_path / "x") as part:
        part.write_text("whole")
    assert names(tmp_path) == {"x", f"x.{os.getppid()}.part", "x.other.part"}
