"""Space that is kept for a log: how much, how it is given up, and how it comes back."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.core.errors import LogFull, LogLocked
from engine.log import open_log
from engine.log.reserve import HEAD_BYTES, Figures, Reserve
from engine.log.verify import verify
from tests.engine.log.events import probes
from tests.faults.disks import small_disk, take_all

MIB = 1 << 20


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Return a directory on a disk of 24 MiB."""
    with small_disk(tmp_path, mebibytes=24) as disk:
        yield disk


def kept(path: Path, *, wanted: int = 4 * MIB) -> Reserve:
    """Return the reserve of the log at `path`, filled."""
    reserve = Reserve(path, wanted=wanted)
    assert reserve.fill()
    assert not reserve.fill()
    return reserve


def figures(left: int, whole: int = 4, wanted: int = 4) -> Figures:
    """Return these figures, given in MiB."""
    return Figures(left=left * MIB, whole=whole * MIB, wanted=wanted * MIB)


def test_what_is_kept_is_really_allocated_and_found_again(disk: Path) -> None:
    path = disk / "log.db"
    assert kept(path).figures == figures(4)
    beside = disk / "log.db.reserve"
    assert beside.stat().st_blocks * 512 >= 4 * MIB
    assert beside.read_bytes().startswith(b"kept by Tanist")
    assert Reserve(path, wanted=4 * MIB).figures == figures(4)


def test_where_the_file_system_cannot_allocate_zeros_are_written_portion_by_portion(
    disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "posix_fallocate")
    reserve = Reserve(disk / "log.db", wanted=5 * MIB)
    assert reserve.fill()
    assert reserve.figures == figures(4, whole=0, wanted=5)
    assert not reserve.figures.is_short
    assert reserve.fill()
    assert reserve.figures == figures(5, whole=5, wanted=5)
    assert not reserve.fill()
    assert (disk / "log.db.reserve").stat().st_blocks * 512 >= 5 * MIB


def test_a_copy_with_holes_is_allocated_again(disk: Path) -> None:
    path, beside = disk / "log.db", disk / "log.db.reserve"
    kept(path)
    head = beside.read_bytes()[:HEAD_BYTES]
    beside.unlink()
    with beside.open("wb") as file:
        file.write(head)
        file.truncate(HEAD_BYTES + 4 * MIB)
    assert beside.stat().st_blocks * 512 < MIB
    reserve = Reserve(path, wanted=4 * MIB)
    reserve.fill()
    assert beside.stat().st_blocks * 512 >= 4 * MIB
    assert reserve.figures == figures(4)


def test_it_takes_no_more_than_a_quarter_of_what_is_free(disk: Path) -> None:
    (disk / "other").write_bytes(bytes(8 * MIB))
    found = kept(disk / "log.db", wanted=64 * MIB).figures
    assert found == figures(4, whole=4, wanted=64)
    assert not found.is_short
    (disk / "other").unlink()
    more = Reserve(disk / "log.db", wanted=64 * MIB)
    assert more.fill()
    assert more.figures.left == more.figures.whole == 6 * MIB - HEAD_BYTES // 4


def test_it_shrinks_or_goes_as_it_is_configured(disk: Path) -> None:
    path = disk / "log.db"
    kept(path)
    less = Reserve(path, wanted=2 * MIB)
    assert less.fill()
    assert less.figures == figures(2, whole=2, wanted=2)
    assert (disk / "log.db.reserve").stat().st_size == HEAD_BYTES + 2 * MIB
    none = Reserve(path, wanted=0)
    assert none.fill()
    assert none.figures == figures(0, whole=0, wanted=0)
    assert not (disk / "log.db.reserve").exists()
    assert not Reserve(path, wanted=0).fill()


def test_it_is_given_up_in_steps_to_whoever_fills_the_disk(disk: Path) -> None:
    reserve = kept(disk / "log.db")
    for left in (3, 2, 1, 0):
        take_all(disk / "ballast")
        assert reserve.give_up() == MIB
        assert reserve.figures == figures(left)
        assert Reserve(disk / "log.db", wanted=4 * MIB).figures == figures(left)
    take_all(disk / "ballast")
    assert not reserve.give_up()
    assert reserve.figures.is_short


def test_it_is_not_given_up_while_it_is_not_space_that_is_short(disk: Path) -> None:
    reserve = kept(disk / "log.db")
    tries = []

    def refused() -> None:
        tries.append(1)
        raise LogFull("another disk is full")

    with pytest.raises(LogFull, match=r"^another disk is full$"):
        reserve.relieve(refused)
    assert (len(tries), reserve.figures) == (1, figures(4))


def test_what_somebody_deleted_gives_nothing_and_is_made_anew(disk: Path) -> None:
    reserve = kept(disk / "log.db")
    (disk / "log.db.reserve").unlink()
    take_all(disk / "ballast")
    assert not reserve.give_up()
    assert reserve.figures == figures(0)
    assert not reserve.fill()
    (disk / "ballast").unlink()
    assert reserve.fill()
    assert reserve.figures == figures(4)


@pytest.mark.parametrize("why", [errno.EMFILE, errno.EIO, errno.EACCES])
def test_what_cannot_be_looked_at_is_taken_to_be_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: int
) -> None:
    reserve = kept(tmp_path / "log.db")

    def refused(*_: object, **__: object) -> None:
        raise OSError(why, os.strerror(why))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", refused)
        patch.setattr(os, "open", refused)
        assert not reserve.fill()
        assert not reserve.give_up()
        assert reserve.figures == figures(4)
    assert not reserve.fill()


def test_it_is_filled_again_when_there_is_plenty_of_space_and_not_before(disk: Path) -> None:
    reserve = kept(disk / "log.db")
    take_all(disk / "ballast")
    for _ in range(4):
        take_all(disk / "more")
        assert reserve.give_up()
    with (disk / "ballast").open("r+b") as file:
        file.truncate((disk / "ballast").stat().st_size - 6 * MIB)  # 7 are free
        assert not reserve.fill()
        file.truncate((disk / "ballast").stat().st_size - 2 * MIB)
    assert reserve.fill()
    assert 2 * MIB <= reserve.figures.left < 3 * MIB
    assert reserve.figures.whole == reserve.figures.left
    (disk / "ballast").unlink()
    assert reserve.fill()
    assert reserve.figures == figures(4)


def test_appends_commit_from_the_reserve_until_it_is_spent_and_nothing_told_is_lost(
    disk: Path,
) -> None:
    path, ballast = disk / "log.db", disk / "ballast"
    reserve = Reserve(path, wanted=4 * MIB)
    told, left = [0], [4 * MIB]
    with open_log(path, mode="write", create=True, reserve=reserve) as log:
        reserve.fill()
        take_all(ballast)

        def go_on() -> None:
            while True:
                log.append(probes(told[-1] + 1, told[-1] + 5))
                told.append(told[-1] + 5)
                if left[-1] != reserve.figures.left:
                    left.append(reserve.figures.left)
                    take_all(ballast)  # each step is taken from us as soon as it is there

        with pytest.raises(LogFull, match=r"; the reserve is spent$"):
            go_on()
        assert left == [4 * MIB, 3 * MIB, 2 * MIB, MIB, 0]
        # What a step gave is the log's own at once, so a step is good for thousands of appends.
        assert len(told) > 4 * 1_000
        assert log.head.seq == told[-1]
        ballast.unlink()
        log.append(probes(told[-1] + 1, told[-1] + 5))
    with open_log(path) as log:
        assert list(log.read()) == probes(1, told[-1] + 5)
        assert verify(log).ok


def test_pages_that_were_claimed_on_a_full_disk_are_not_given_back_before_it_has_space(
    disk: Path,
) -> None:
    path, ballast = disk / "log.db", disk / "ballast"
    reserve = Reserve(path, wanted=4 * MIB)
    with open_log(path, mode="write", create=True, reserve=reserve) as log:
        reserve.fill()
        take_all(ballast)
        head = 0
        while not reserve.figures.is_short:
            log.append(probes(head + 1, head + 5))
            head += 5
        assert not log.give_back()
        ballast.unlink()
        assert reserve.fill()
        assert log.give_back()


def test_a_start_on_a_full_disk_draws_on_it(disk: Path) -> None:
    path, ballast = disk / "log.db", disk / "ballast"
    with open_log(path, mode="write", create=True, reserve=Reserve(path, wanted=4 * MIB)) as log:
        log.append(probes(1, 500))
    kept(path)
    take_all(ballast)
    (disk / "log.db.lock").unlink()
    take_all(ballast)  # not even a lock can be written
    reserve = Reserve(path, wanted=4 * MIB)
    with open_log(path, mode="write", reserve=reserve) as log:
        assert reserve.figures.left == 3 * MIB
        take_all(ballast)
        for first in range(501, 1_000):
            log.append(probes(first, first))
        assert reserve.figures.left < 3 * MIB
    with open_log(path, mode="write", reserve=reserve) as log:
        assert list(log.read()) == probes(1, 999)


def test_who_has_not_the_lock_does_not_touch_it(disk: Path) -> None:
    path = disk / "log.db"
    with open_log(path, mode="write", create=True):
        kept(path)
        take_all(disk / "ballast")
        with pytest.raises(LogLocked):
            open_log(path, mode="write", reserve=Reserve(path, wanted=4 * MIB))
        assert Reserve(path, wanted=4 * MIB).figures == figures(4)


def test_caches_are_not_worth_it(disk: Path) -> None:
    path = disk / "log.db"
    reserve = Reserve(path, wanted=4 * MIB)
    with open_log(path, mode="write", create=True, reserve=reserve) as log:
        log.append(probes(1, 5_000))
        reserve.fill()
        take_all(disk / "ballast")
        with pytest.raises(LogFull):
            log.seal(blocks_max=5)
        assert reserve.figures == figures(4)
        # In the room that the log has made its own there is space for them.
        head = 5_000
        while not reserve.figures.is_short:
            log.append(probes(head + 1, head + 5))
            head += 5
        take_all(disk / "ballast")
        assert log.seal() == 1
        assert reserve.figures == figures(3)
