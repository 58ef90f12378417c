"""Seeded worlds: the laws hold in all of them, and they reach what they are for."""

from collections import Counter

import msgspec
import pytest

from engine.core import events as ev
from engine.core.decider import decide
from engine.core.driver import Batch
from engine.core.errors import LogError
from engine.core.events import KINDS, Observation, encode
from engine.core.policy import MS
from engine.core.state import digest
from engine.core.step import Step
from engine.simulation.checkers import comes_to_rest, messages_are_done_once, violations
from engine.simulation.rim import Rim
from engine.simulation.schedule import KINDS as TURN_KINDS
from engine.simulation.schedule import Schedule, Setting, Turn, draw, policy, shrink
from engine.simulation.world import Run, run

SEEDS = 120
SLICES = 8  # of the seeds, each a test

# A log never begins with another's state here: what cuts a log off is not part of the world.
UNREACHED = {ev.LogBased}


def test_the_same_schedule_gives_the_same_log_to_the_byte() -> None:
    one, other = run(draw(7)), run(draw(7))
    assert [encode(r.event) for r in one.log] == [encode(r.event) for r in other.log]
    assert one.log == other.log
    assert digest(one.state) == digest(other.state)


@pytest.mark.parametrize("piece", range(SLICES))
def test_no_seed_breaks_a_law(piece: int) -> None:
    for seed in range(piece, SEEDS, SLICES):
        schedule = draw(seed)
        made = run(schedule)
        if violations(made):
            small = shrink(schedule, lambda shorter: bool(violations(run(shorter))))
            pytest.fail(f"seed {seed}: {violations(run(small))} of {small}")


def reached(seeds: range) -> tuple[Counter[type], list[Run]]:
    runs = [run(draw(seed)) for seed in seeds]
    return Counter(type(recorded.event) for made in runs for recorded in made.log), runs


def test_the_seeds_reach_what_the_world_is_for() -> None:
    """A checker that never fires proves nothing: every kind of event happens, but for a few."""
    kinds, runs = reached(range(SEEDS))
    missing = {kind for kind in KINDS.values() if not kinds[kind]} - UNREACHED
    assert {kind.__name__ for kind in missing} <= {"DrainCancelled"}
    ended = Counter(
        recorded.event.result
        for made in runs
        for recorded in made.log
        if isinstance(recorded.event, ev.FailoverEnded | ev.RollbackEnded)
    )
    assert {"completed", "abandoned", "complete", "incomplete"} <= set(ended)
    whys = {r.event.why for m in runs for r in m.log if isinstance(r.event, ev.FailoverStarted)}
    assert whys == {
        "failed", "activation-lost", "headless", "first", "switchover", "forced", "rollback",
    }  # fmt: skip
    assert any(made.sink.refused_stale for made in runs)
    assert any(made.sink.refused_repeated for made in runs)
    assert any(made.crashes for made in runs)
    assert any(made.struck for made in runs)
    at_rest = {type(r.event) for m in runs for r in m.log if getattr(r.event, "at_rest", False)}
    assert {ev.SwitchoverAsked, ev.Paused, ev.ExclusionAsked} <= at_rest
    assert {turn.kind for made in runs for turn in made.schedule.turns} == set(TURN_KINDS)


def test_a_source_serves_on_if_its_heir_fails_while_it_drains() -> None:
    setting = Setting(policy=policy(fall=1, rise=1), message_every_us=0, masters=3)
    turns = (
        Turn(kind="slow", gap_us=100 * MS, subject="a", count=25 * MS),
        Turn(kind="accept", count=1),
        Turn(kind="switchover", gap_us=MS, subject="b"),
        Turn(kind="crash", gap_us=2 * MS, subject="b"),
        Turn(kind="rest", gap_us=200 * MS),
    )
    made = run(Schedule(setting=setting, turns=turns))
    assert ev.DrainCancelled in {type(recorded.event) for recorded in made.log}
    assert violations(made) == []


# Planted faults.


def test_a_planted_fault_is_found_and_shrunk() -> None:
    def fails(schedule: Schedule) -> bool:
        made = run(schedule, decide=deaf_to_fences, within_us=2_000 * MS)
        return any(True for _ in comes_to_rest(made))

    schedule = draw(3, setting=Setting(policy=policy(fall=1, rise=1)))
    schedule = msgspec.structs.replace(
        schedule, turns=(*schedule.turns, Turn(kind="crash", gap_us=90 * MS, subject="a"),
                         Turn(kind="restart", gap_us=90 * MS, subject="a")),
    )  # fmt: skip
    small = shrink(schedule, fails)
    assert len(small.turns) < 4
    assert fails(small)
    assert not fails(msgspec.structs.replace(small, turns=()))


def deaf_to_fences(step: Step, event: Observation) -> None:
    """Does not hear that a fence is confirmed."""
    if not (isinstance(event, ev.Outcome) and event.step == "fence"):
        decide(step, event)


class ReceiptFirst(Rim):
    """Says that a message is accepted before that is durable."""

    def accept(self, key: str, lane: str, body: bytes, digest: bytes) -> None:
        self._outside.receipt(key)
        super().accept(key, lane, body, digest)


class Trusting(Rim):
    """Takes an append for durable, whatever the log says."""

    def _written(self, batch: Batch) -> None:
        outside = self._outside
        try:
            outside.tape.append(batch)
        except LogError:
            self.driver.durable()
            self._pump()
            return
        outside.published(self.driver.durable())
        self._has_started = True
        self._give_receipts()
        self._pump()


LOADED = Setting(policy=policy(), message_every_us=2 * MS)


def test_a_receipt_before_its_message_is_durable_is_a_lost_message() -> None:
    schedule = Schedule(
        setting=LOADED,
        turns=(
            Turn(kind="engine-crash", gap_us=100 * MS, count=1),
            Turn(kind="rest", gap_us=200 * MS),
        ),
    )
    assert violations(run(schedule)) == []
    made = run(schedule, engine=ReceiptFirst)
    assert any("has a receipt" in one.found for one in messages_are_done_once(made))


def test_an_append_that_failed_must_be_folded_again() -> None:
    schedule = Schedule(
        setting=LOADED,
        turns=(
            Turn(kind="append-fails", gap_us=100 * MS, count=1),
            Turn(kind="rest", gap_us=50 * MS),
        ),
    )
    assert violations(run(schedule)) == []
    made = run(schedule, engine=Trusting, within_us=500 * MS)
    assert violations(made) != []
