"""On a full disk, without the good probes that no decision needs, everything holds all the same."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core import events as ev
from engine.core import scarcity
from engine.core.driver import Driver
from engine.core.events import FLEET, Observation
from engine.core.fleet import Health, Mode
from engine.core.policy import MS, SECOND
from engine.simulation import rim
from engine.simulation.checkers import violations
from engine.simulation.rim import Rim
from engine.simulation.schedule import Schedule, Setting, Turn, draw, policy
from engine.simulation.world import run
from tests.engine.core.build import START_US, declared, loaded, made

FAST = settings(max_examples=60, derandomize=True, deadline=None)
SEEDS = 30


class Scarce(Rim):
    """An engine whose disk is full all its life."""

    left_out = 0

    def heard(self, event: ev.ProbeOk, subject: str) -> bool:
        return False

    def _observe(self, event: Observation, subject: str = FLEET) -> None:
        if scarcity.matters(self.driver.working, subject, event, self._outside.now_us):
            super()._observe(event, subject)
        else:
            Scarce.left_out += 1


def test_every_law_of_the_world_holds_on_a_full_disk() -> None:
    ended = kept = 0
    Scarce.left_out = 0
    for seed in range(SEEDS):
        schedule = draw(seed, turns=60)
        found = run(schedule, engine=Scarce)
        assert violations(found) == [], seed
        kinds = [type(recorded.event) for recorded in found.log]
        ended += kinds.count(ev.FailoverEnded)
        kept += kinds.count(ev.ProbeOk)
    assert ended > SEEDS
    assert Scarce.left_out > kept  # although hardly a moment in this world is quiet


@pytest.mark.parametrize("fault", ["crash", "hang"])
def test_a_failover_of_the_active_takes_no_longer_than_a_probe_more(fault: str) -> None:
    took: dict[type[Rim], int] = {}
    setting = Setting(policy=policy(fall=1, rise=1), message_every_us=0, masters=3)
    turns = (
        Turn(kind="rest", gap_us=2 * SECOND),
        Turn(kind=fault, gap_us=2 * SECOND, subject="a"),
        Turn(kind="rest", gap_us=2 * SECOND),
    )
    for engine in (Rim, Scarce):
        found = run(Schedule(setting=setting, turns=turns), engine=engine)
        assert violations(found) == []
        failed = next(r for r in found.log if type(r.event) is ev.MasterFailed)
        done = next(
            r for r in found.log if type(r.event) is ev.FailoverEnded and r.seq > failed.seq
        )
        assert done.event.result == "completed"
        took[engine] = done.at_us - failed.at_us
    interval_us = setting.policy.probe.interval_us
    assert took[Scarce] <= took[Rim] + interval_us + 5 * MS


SILENCES = st.integers(20 * MS, 5 * SECOND)


@st.composite
def _answering(draw_: st.DrawFn) -> tuple[int, Mode, list[tuple[int, str]]]:
    """Return a silence, a mode, and who answers after which gap, none longer than half of it."""
    unknown_us = draw_(SILENCES)
    mode = draw_(st.sampled_from(Mode))
    gaps = draw_(
        st.lists(
            st.tuples(st.integers(0, unknown_us // 2), st.sampled_from("abc")),
            min_size=10,
            max_size=80,
        )
    )
    return unknown_us, mode, gaps


@FAST
@given(_answering())
def test_no_master_that_answers_becomes_unknown(
    answering: tuple[int, Mode, list[tuple[int, str]]],
) -> None:
    unknown_us, mode, gaps = answering
    group = made(
        "bench",
        mode=mode,
        interval_us=1,
        timeout_us=1,
        unknown_after_us=unknown_us,
        effects="none",
    )
    driver = Driver()
    driver.observe(loaded(group, declared("abc")), at_us=START_US)
    driver.observe(ev.EngineStarted(release="1", stopped_at_us=0), at_us=START_US)
    # Each master answers at its own times: a gap is that since its own last answer.
    due = dict.fromkeys("abc", START_US + 1)
    turns: list[tuple[int, str]] = []
    for gap_us, name in gaps:
        turns.append((due[name], name))
        due[name] += gap_us
    end_us = max(due.values())
    for name in "abc":  # whoever was drawn seldom answers as slowly as it may
        while due[name] <= end_us:
            turns.append((due[name], name))
            due[name] += max(1, unknown_us // 2)
    for n, (at_us, name) in enumerate(sorted(turns), start=1):
        driver.tick(at_us)
        event = ev.ProbeOk(n=n, latency_us=1, boot=name, epoch=None)
        if scarcity.matters(driver.working, name, event, at_us):
            driver.observe(event, subject=name, at_us=at_us)
        batch = driver.take_batch(at_us)
        if batch is not None:
            assert ev.MasterUnknown not in {type(recorded.event) for recorded in batch.events}
            driver.durable()
    healthy = driver.working.groups["g"].masters.values()
    assert {master.health for master in healthy} == {Health.HEALTHY}


def test_a_rule_that_kept_nobody_known_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scarcity, "_would_be_missed", lambda *_: False)
    assert rim.Rim is Scarce.__mro__[1]
    setting = Setting(policy=policy(fall=1, rise=1), message_every_us=0, masters=2)
    probe = msgspec.structs.replace(setting.policy.probe, unknown_after_us=300 * MS)
    group = msgspec.structs.replace(setting.policy, probe=probe)
    setting = msgspec.structs.replace(setting, policy=group)
    found = run(
        Schedule(setting=setting, turns=(Turn(kind="rest", gap_us=2 * SECOND),)), engine=Scarce
    )
    assert ev.MasterUnknown in {type(recorded.event) for recorded in found.log}
