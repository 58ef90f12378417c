"""Schedules that once broke a law, as files: each stays for ever, and breaks none."""

from pathlib import Path

import msgspec
import pytest

from engine.simulation.checkers import violations
from engine.simulation.schedule import Schedule
from engine.simulation.world import run

LIST = Path(__file__).parent / "kept" / "README.md"
KEPT = sorted((Path(__file__).parent / "kept").glob("*.json"))


class Kept(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    what: str  # what was wrong, in a sentence
    law: str  # what was broken
    mended: str  # by the commit of this subject
    schedule: Schedule


def test_there_are_some() -> None:
    assert KEPT


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_a_kept_schedule_breaks_no_law(path: Path) -> None:
    kept = msgspec.json.decode(path.read_bytes(), type=Kept)
    assert kept.what.endswith(".")
    assert kept.mended in LIST.read_text()
    assert path.stem in LIST.read_text()
    assert violations(run(kept.schedule)) == []
