"""Other processes follow a log while it is written, sealed, and its writer is killed."""

from pathlib import Path
from typing import Final

from tests.faults.beside import FOLLOWERS, beside
from tests.faults.killing import Engines, Round

TOLD: Final = 600  # appends in each phase; some four events each


def load(engines: Engines, heard: Round) -> None:
    engines.until(heard, lambda heard: len(heard.told) >= TOLD)


def test_followers_get_every_event_once_though_the_writer_is_killed(tmp_path: Path) -> None:
    found = beside(tmp_path / "log.db", [load, load], appenders=32, keep_events=100)
    assert found.problems == []
    followers = [(each["events"], each["chain"]) for each in found.followers]
    assert followers == [(found.events, found.chain)] * FOLLOWERS
    # They had all of this beside them.
    assert found.told >= 2 * TOLD
    assert found.batches > 2
    assert found.sealed_blocks > 0
    assert found.snapshots > 0
