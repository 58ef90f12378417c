"""What the service says of a log: decisions, waits, and the verdicts on a master that flaps."""

import msgspec
import pytest

from engine.core import events as ev
from engine.core.events import Recorded
from engine.core.policy import SECOND, Automation, preset
from engine.service.teller import CALM_US, VERDICTS_MAX, Teller
from tests.engine.answers.stories import GROUP, STEP_US, Story

HEALTHY = ev.MasterHealthy(evidence=(), rule="risen")
FAILED = ev.MasterFailed(evidence=(), hard=True, rule="refused-twice")


class Told:
    """A story, and what a teller says of it."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.lines: list[str] = []
        self.teller = Teller(lambda: story.state, self.lines.append)
        self.seq = 0

    def hear(self) -> list[str]:
        """Publish what has become durable since the last time; return what was said of it."""
        before = len(self.lines)
        events = tuple(self.story.log.read(after=self.seq))
        self.seq = self.story.state.seq
        self.teller.published(events)
        return self.lines[before:]

    def rounds(self, count: int, *, role: str = "") -> list[str]:
        """Let the masters answer for as many seconds, each a batch; return what was said."""
        before = len(self.lines)
        for place in range(count):
            self.story.at_us += SECOND if place else STEP_US
            self.story.n += 1
            for name in self.story.names:
                if name in self.story.dead:
                    event: ev.Observation = ev.ProbeFailed(
                        n=self.story.n, evidence=ev.Evidence.REFUSED
                    )
                else:
                    event = ev.ProbeOk(n=self.story.n, latency_us=5, boot=name, role=role)
                self.story.see(event, name)
            self.hear()
        return self.lines[before:]

    def verdict(self, at_us: int, event: ev.AnyEvent, who: str = "c") -> list[str]:
        """Publish one verdict, as of a master that flaps; return what was said."""
        before = len(self.lines)
        self.teller.published((Recorded(seq=1, at_us=at_us, subject=who, cause=0, event=event),))
        return self.lines[before:]


def waits(lines: list[str]) -> list[str]:
    """Return the lines that are no event."""
    return [line.partition("Z ")[2] for line in lines if "[why" not in line]


# What a group waits for.


def test_several_that_report_themselves_active_are_said_once_and_not_at_each_probe() -> None:
    told = Told(Story())
    said = told.rounds(10, role="active")
    assert waits(said) == [
        "g: nobody is active yet: several masters report themselves active: end all of them but one"
    ]


def test_a_wait_that_comes_again_after_the_group_was_served_is_said_again() -> None:
    told = Told(Story())
    told.story.see(ev.Paused(until_us=0, reason="racks", author="me"), GROUP)
    paused = "g: nobody is active yet: g is paused until told otherwise (racks): tanist resume g"
    assert waits(told.rounds(5)) == [f"{paused} ends it"]
    told.story.see(ev.Resumed(author="me"), GROUP)
    assert waits(told.rounds(5)) == []
    assert told.story.active == "a"
    told.story.see(ev.Paused(until_us=0, reason="disks", author="me"), GROUP)
    told.hear()
    told.story.kill("a")
    (line,) = waits(told.hear())
    assert line.startswith("g: a has failed and nobody takes over yet: g is paused")
    assert waits(told.rounds(5)) == []
    told.story.dead.discard("a")
    assert [other for other in waits(told.rounds(5)) if "answers again" not in other] == []
    told.story.kill("a")
    assert waits(told.hear()) == [line]


def test_a_group_that_only_observes_says_no_more_than_its_proposal() -> None:
    told = Told(Story(msgspec.structs.replace(preset("bench"), automation=Automation.OBSERVE)))
    assert waits(told.rounds(5)) == []


def test_a_fleet_that_begins_well_waits_for_nothing() -> None:
    told = Told(Story())
    told.hear()
    told.rounds(5)
    assert waits(told.lines) == []
    assert told.story.active == "a"


def test_many_masters_down_are_one_line_that_names_three() -> None:
    names = [chr(0x3B1 + place) for place in range(20)]
    told = Told(Story(names="".join(names)))
    told.rounds(3)
    for name in (*names[1:], names[0]):
        told.story.kill(name)
        told.hear()
    told.rounds(10)
    said = [line for line in waits(told.lines) if "nobody is fit to take over" in line]
    assert len(said) == 1
    assert said[0].endswith(" and 16 more)")
    assert sum(f"{name}: " in said[0] for name in names) == 3


# Masters that flap.


def test_the_first_few_verdicts_are_said_then_one_a_second_and_then_how_many_were_not() -> None:
    told = Told(Story())
    told.rounds(3)
    begin_us = told.story.at_us
    said = []
    for step in range(200):  # twenty seconds, ten verdicts in each
        event = FAILED if step % 2 else HEALTHY
        said += told.verdict(begin_us + step * SECOND // 10, event)
    assert VERDICTS_MAX <= len(said) <= VERDICTS_MAX + 20
    assert said[:VERDICTS_MAX] == told.lines[-len(said) :][:VERDICTS_MAX]
    assert not any("more change" in line for line in said)
    left_out = 200 - len(said)
    end_us = begin_us + 20 * SECOND
    calm = waits(told.verdict(end_us + CALM_US, HEALTHY, "b"))
    (line,) = [line for line in calm if "more change" in line]
    assert line.startswith(f"g: ... {left_out} more changes of c in 19.")
    assert line.endswith("s; it is healthy now")
    assert waits(told.verdict(end_us + 2 * CALM_US, HEALTHY, "b")) == []


def test_a_master_that_flaps_takes_no_line_from_another() -> None:
    told = Told(Story())
    at_us = told.story.at_us
    for _ in range(50):
        told.verdict(at_us, FAILED, "c")
    assert len(told.verdict(at_us, FAILED, "b")) == 1


def test_what_was_left_out_is_said_at_the_end_too() -> None:
    told = Told(Story())
    told.hear()
    for _ in range(VERDICTS_MAX + 1):
        told.verdict(told.story.at_us, FAILED)
    told.teller.close()
    told.teller.close()
    assert [line for line in told.lines if "more change" in line] == [told.lines[-1]]
    assert "... 1 more change of c in 0 s" in told.lines[-1]


@pytest.mark.parametrize("apart_us", [SECOND, 10 * SECOND])
def test_verdicts_a_second_apart_are_all_said(apart_us: int) -> None:
    told = Told(Story())
    told.hear()
    begin_us = told.story.at_us
    said = [told.verdict(begin_us + step * apart_us, FAILED) for step in range(30)]
    assert all(any("[why" in line for line in lines) for lines in said)
