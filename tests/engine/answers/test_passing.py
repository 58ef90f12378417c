"""Why not this master: the rules that it fails, or who is ahead of it and by which key."""

from typing import Any

import pytest

from engine.answers.passing import decisive, why_not
from engine.core import events as ev
from engine.core.errors import ConfigurationError
from tests.engine.answers.stories import Story, failed_over, serving


def asked(story: Story, master: str) -> dict[str, Any]:
    return why_not(story.log, story.state, master)


def test_who_is_fit_has_a_rank_and_others_ahead_of_it_by_a_key() -> None:
    story = Story()
    story.probe(3)
    found = asked(story, "c")
    assert (found["fit"], found["rank"], found["fails"]) == (True, 2, [])
    (ahead,) = found["ahead"]
    assert (ahead["master"], ahead["rank"], ahead["key"]) == ("b", 1, "priority")
    assert (ahead["theirs"], ahead["own"]) == (2, 3)
    assert found["says"] == "b would be chosen before c: priority"
    assert asked(story, "b")["says"] == "b would be chosen now"


def test_every_rule_that_it_fails_is_named_with_figures() -> None:
    story = failed_over()
    found = asked(story, "a")
    assert [one["rule"] for one in found["fails"]] == ["fenced", "health-failed"]
    assert found["fails"][1]["figures"] == {"since_us": 20_000}
    assert found["says"].startswith("a could not take over now: it is fenced")
    assert (found["fit"], found["rank"], found["ahead"]) == (False, None, [])


def test_the_last_choice_is_told_as_it_was_decided() -> None:
    story = failed_over()
    found = asked(story, "c")["then"]
    assert (found["seq"], found["heir"]) == (story.last(ev.AttemptStarted), "b")
    assert (found["rank"], found["ahead"]["master"], found["ahead"]["key"]) == (2, "b", "priority")
    assert asked(story, "b")["then"]["says"] == "it was chosen"
    assert asked(story, "a")["then"]["rule"] == "serving"
    assert asked(story, "a")["then"]["says"] == "it served until then"


def test_before_any_choice_there_is_none() -> None:
    story = Story()
    assert asked(story, "a")["then"] is None


def test_who_serves_is_said_to_serve() -> None:
    found = asked(failed_over(), "b")
    assert (found["serves"], found["active"], found["says"]) == (True, "b", "b serves g")


def test_in_a_group_whose_masters_all_serve() -> None:
    story = serving()
    assert "every healthy master of the group serves" in asked(story, "a")["says"]
    story.kill("a")
    assert asked(story, "a")["says"].startswith("a does not serve: it has failed")


def test_a_master_that_there_is_not_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no master 'z' at that position: expected one of"):
        asked(failed_over(), "z")


@pytest.mark.parametrize(
    ("theirs", "own", "key"),
    [
        (
            (("health_rank", 1), ("priority", 2)),
            (("health_rank", 2), ("priority", 1)),
            "health_rank",
        ),
        ((("priority", 1), ("good_age_us", 9)), (("priority", 1), ("good_age_us", 3)), "id"),
        ((("acts", 1), ("priority", 9)), (("priority", 1),), "acts"),
        ((), (), "id"),
    ],
)
def test_the_first_key_that_differs_decides(theirs: ev.Figures, own: ev.Figures, key: str) -> None:
    assert decisive(theirs, own) == key
