"""The file that pauses: found in each of its folders, whatever it is."""

import os
from pathlib import Path

import pytest

from engine.core import events as ev
from engine.core.errors import LogError
from engine.core.state import State
from engine.runtime.pausing import NAME, NO_REASON, REASON_BYTES_MAX, PauseFile


def test_its_first_line_is_the_reason(tmp_path: Path) -> None:
    found = PauseFile(tmp_path)
    assert found.look() is None
    (tmp_path / NAME).write_text("  racks move \nall night\n")
    assert found.look() == "racks move"
    (tmp_path / NAME).write_text("disks move too\n")
    assert found.look() == "disks move too"
    (tmp_path / NAME).unlink()
    assert found.look() is None


@pytest.mark.parametrize("content", [b"", b"\n\n", b"   "])
def test_an_empty_file_pauses_as_well(tmp_path: Path, content: bytes) -> None:
    (tmp_path / NAME).write_bytes(content)
    assert PauseFile(tmp_path).look() == NO_REASON


def test_bytes_that_are_no_text_and_an_endless_line_are_cut(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(b"\xff" * 100_000)
    said = PauseFile(tmp_path).look()
    assert said is not None
    assert set(said) == {"\ufffd"}
    assert len(said) == REASON_BYTES_MAX


def test_a_folder_and_a_pipe_of_that_name_pause_and_are_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / NAME).mkdir()
    assert PauseFile(tmp_path).look() == NO_REASON
    (tmp_path / NAME).rmdir()
    os.mkfifo(tmp_path / NAME)
    assert PauseFile(tmp_path).look() == NO_REASON


def test_a_folder_that_is_gone_pauses_nothing_and_one_that_is_a_file_neither(
    tmp_path: Path,
) -> None:
    (tmp_path / "file").touch()
    assert PauseFile(tmp_path / "gone", tmp_path / "file").look() is None


def test_a_folder_that_cannot_be_asked_is_as_it_was(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.mkdir()
    (loop / NAME).touch()
    found = PauseFile(loop)
    assert found.look() == NO_REASON
    (loop / NAME).unlink()
    loop.rmdir()
    loop.symlink_to(loop)  # whoever asks goes round in circles
    assert found.look() == NO_REASON
    assert PauseFile(loop).look() is None


def test_it_lies_where_the_name_of_the_log_is_and_where_the_log_itself_is(tmp_path: Path) -> None:
    real, named = tmp_path / "real", tmp_path / "named"
    real.mkdir()
    named.mkdir()
    (real / "x.db").touch()
    (named / "x.db").symlink_to(real / "x.db")
    for folder in (real, named):
        (folder / NAME).touch()
        assert PauseFile.beside(str(named / "x.db")).look() == NO_REASON
        (folder / NAME).unlink()
    assert PauseFile.beside(f"sqlite:///{real / 'x.db'}").paths == (real / NAME,)
    with pytest.raises(LogError):
        PauseFile.beside("sqlite://")


def test_news_are_said_once_as_far_as_the_state_knows(tmp_path: Path) -> None:
    found, state = PauseFile(tmp_path), State()
    assert found.news(state) is None
    (tmp_path / NAME).write_text("racks")
    came = found.news(state)
    assert came == ev.Paused(until_us=0, reason="racks", author="file", by_file=True)
    state.fleet.file_pause = "racks"
    assert found.news(state) is None
    (tmp_path / NAME).unlink()
    assert found.news(state) == ev.Resumed(author="file", by_file=True)
