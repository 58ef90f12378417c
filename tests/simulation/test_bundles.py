"""A run as a file: written, read, run again to the byte; one that broke a law is shrunk."""

from pathlib import Path

import msgspec
import pytest

from engine.core.errors import ConfigurationError
from engine.core.replay import replay
from engine.core.state import digest
from engine.simulation import LAWS, Run, Schedule, Setting, Turn, Violation, bundles, policy, swarm


def never_crashes(run: Run):  # type: ignore[no-untyped-def]
    """A law that any crash of a master breaks."""
    if any(turn.kind == "crash" for turn in run.schedule.turns):
        yield Violation(law="never crashes", seq=1, found="a crash")


def test_a_bundle_is_run_again_to_the_byte(tmp_path: Path) -> None:
    made = bundles.made(swarm(4), seed=4)
    assert (made.verdict, made.violations, made.shrunk, made.error) == ("true", (), None, "")
    bundles.write(made, tmp_path / "b.json")
    again = bundles.read(tmp_path / "b.json")
    assert again == made
    assert bundles.made(again.schedule, seed=4) == made
    assert digest(replay(bundles.log_of(again))) == made.digest


def test_what_broke_a_law_is_shrunk() -> None:
    turns = tuple(Turn(kind=kind, gap_us=5_000, subject="a", count=3)
                  for kind in ("hang", "crash", "cut", "join", "restart", "continue"))  # fmt: skip
    schedule = Schedule(setting=Setting(policy=policy()), turns=turns)
    made = bundles.made(schedule, laws=(*LAWS, never_crashes))
    assert made.verdict == "false"
    assert made.shrunk is not None
    assert made.shrunk.turns == (Turn(kind="crash", subject="a"),)
    assert made.shrunk.setting.message_every_us == 0


def test_a_run_that_does_not_end_has_no_verdict() -> None:
    def raises(run: Run):  # type: ignore[no-untyped-def]
        raise AssertionError("no judge")

    made = bundles.made(swarm(1, turns=3), laws=(raises,))
    assert (made.verdict, made.error) == ("unknown", "AssertionError: no judge")
    assert made.digest == ""


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"", "expected a bundle of a simulation"),
        (b"{}", "missing required field"),
        (b"\xff\xfe", "expected a bundle of a simulation"),
    ],
)
def test_what_is_no_bundle_is_said_in_a_line(tmp_path: Path, text: bytes, says: str) -> None:
    path = tmp_path / "b.json"
    path.write_bytes(text)
    with pytest.raises(ConfigurationError, match=says):
        bundles.read(path)


def test_a_bundle_of_a_newer_release_is_refused(tmp_path: Path) -> None:
    made = msgspec.structs.replace(bundles.made(swarm(1, turns=2)), format=2)
    bundles.write(made, tmp_path / "b.json")
    with pytest.raises(ConfigurationError, match="expected format 1, found 2"):
        bundles.read(tmp_path / "b.json")
