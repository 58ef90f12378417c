"""What an engine makes of a full disk: what it says, once each, and when."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.core import events as ev
from engine.core.events import FLEET, Recorded
from engine.core.state import State
from engine.log.reserve import Reserve
from engine.runtime.space import Space
from tests.engine.real import run
from tests.faults.disks import small_disk, take_all

MIB = 1 << 20
BEGAN = ev.EngineStarted(release="1", stopped_at_us=0)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Return a directory on a disk of 24 MiB."""
    with small_disk(tmp_path, mebibytes=24) as disk:
        yield disk


def filled(disk: Path) -> Reserve:
    reserve = Reserve(disk / "log.db", wanted=4 * MIB)
    assert reserve.fill()
    return reserve


def short(left: int) -> ev.SpaceShort:
    return ev.SpaceShort(left=left * MIB, reserve=4 * MIB)


def stored(space: Space, event: ev.Observation) -> None:
    space.published((Recorded(seq=1, at_us=1, subject=FLEET, cause=0, event=event),))


def give_up(reserve: Reserve, disk: Path) -> None:
    take_all(disk / "ballast")
    assert reserve.give_up()


def test_each_step_is_news_once_and_so_is_the_end_of_it(disk: Path) -> None:
    reserve = filled(disk)
    space = Space(reserve)
    assert (space.news(), space.is_short, space.sentence()) == (None, False, "")
    give_up(reserve, disk)
    assert space.is_short
    assert [space.news(), space.news()] == [short(3), None]
    give_up(reserve, disk)
    assert [space.news(), space.news()] == [short(2), None]
    assert space.sentence() == (
        "disk full: 2 of 4 MiB of the reserve left; "
        "good probes that change nothing are not recorded"
    )
    (disk / "ballast").unlink()
    assert reserve.fill()
    assert [space.news(), space.news()] == [ev.SpaceReturned(reserve=4 * MIB), None]
    assert space.sentence() == ""


def test_what_was_said_and_lost_is_said_again(disk: Path) -> None:
    reserve = filled(disk)
    space = Space(reserve)
    give_up(reserve, disk)
    assert space.news() == short(3)
    space.unsaid()
    said = space.news()
    assert said == short(3)
    stored(space, BEGAN)
    stored(space, said)
    space.unsaid()
    assert space.news() is None
    (disk / "ballast").unlink()
    assert reserve.fill()
    assert isinstance(space.news(), ev.SpaceReturned)
    space.unsaid()
    assert isinstance(space.news(), ev.SpaceReturned)


def test_a_shortage_that_an_earlier_engine_met_is_said_again_and_ended(disk: Path) -> None:
    give_up(filled(disk), disk)
    found = Reserve(disk / "log.db", wanted=4 * MIB)
    assert Space(found).news() == short(3)
    space = Space(found)
    (disk / "ballast").unlink()
    assert found.fill()
    assert space.news() == ev.SpaceReturned(reserve=4 * MIB)


def test_without_a_reserve_there_is_nothing_to_say_and_nothing_is_left_out() -> None:
    space = Space()
    assert (space.news(), space.is_short, space.make_room()) == (None, False, False)
    probe = ev.ProbeOk(n=1, latency_us=1)
    assert not space.passes_over(State(), "nobody", probe, 1)
    run(space.keep(lambda: None))  # it ends at once


def test_it_is_filled_again_by_itself(disk: Path) -> None:
    reserve = filled(disk)
    space = Space(reserve)
    give_up(reserve, disk)

    async def main() -> None:
        changed = asyncio.Event()
        keeping = asyncio.create_task(space.keep(changed.set))
        (disk / "ballast").unlink()
        await changed.wait()
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)

    run(main())
    assert not space.is_short
