"""Whole stories against the whole log that they gave when they were last read and agreed to.

`pytest --regenerate-golden` writes them anew; the difference is read in review.
"""

from pathlib import Path

import pytest

from engine.core import events as ev
from tests.golden.tale import parse, render, tell

STORIES = sorted(Path(__file__).parent.glob("*.txt"))


@pytest.mark.parametrize("path", STORIES, ids=lambda path: path.stem)
def test_a_story_gives_the_log_that_was_agreed_to(
    path: Path, request: pytest.FixtureRequest
) -> None:
    agreed = path.read_text(encoding="utf-8")
    comment, parts = parse(agreed)
    told = render(comment, tell(parts))
    if request.config.getoption("--regenerate-golden"):
        path.write_text(told, encoding="utf-8")
    else:
        assert told == agreed


def test_the_stories_tell_what_they_are_for() -> None:
    lines = [line for path in STORIES for line in path.read_text(encoding="utf-8").splitlines()]
    told = {word for line in lines for word in line.split()}
    assert {kind.__name__ for kind in ESSENTIAL} <= told
    assert {"waits=limit", "waits=preflight", "hard=False", "hard=True"} <= told


ESSENTIAL = (
    ev.MasterFenced,
    ev.MasterRejoined,
    ev.Switched,
    ev.DrainCancelled,
    ev.FailoverProposed,
    ev.ApprovalGiven,
    ev.RollbackEnded,
    ev.Refused,
    ev.DeadlinePassed,
    ev.ObserversDisagree,
    ev.ObserversAgree,
    ev.FlappingStarted,
    ev.FlappingEnded,
    ev.DoubtChanged,
    ev.ClockStepped,
)


def test_a_story_that_gives_another_log_is_noticed() -> None:
    text = "# Comment.\n\ngroup bench\n----\n    1 0 fleet - Nothing\n"
    comment, parts = parse(text)
    assert render(comment, parts) == text
    assert render(comment, tell(parts)) != text


def test_a_command_that_there_is_not_is_an_error() -> None:
    _, parts = parse("# Comment.\n\ngroup bench\nexplode a\n----\n")
    with pytest.raises(ValueError, match="no such command: explode a"):
        tell(parts)
