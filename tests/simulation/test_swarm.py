"""Many drawn worlds: every law holds, every fault happens, every row of a machine is taken."""

import contextlib
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from engine.core import events as ev
from engine.core.events import KINDS, encode
from engine.core.fleet import Mode
from engine.core.policy import HOUR, MS, SECOND, FenceKind, preset
from engine.core.state import State, digest
from engine.observations import read
from engine.simulation import (
    ALL_KINDS,
    GroupSetting,
    Order,
    Schedule,
    Setting,
    Tally,
    Turn,
    World,
    endure,
    in_order,
    judged,
    policy,
    run,
    simplify,
    swarm,
    violations,
)
from engine.simulation.batches import all_rows
from engine.simulation.drawing import THEMES
from engine.simulation.histories import History, of_log, of_observations
from engine.simulation.schedule import SECTIONS
from engine.simulation.witness import _is_same

SEEDS = 200
MORE = 200  # at most, of each theme
AT_ONCE = 10
# What only one of the themes brings about, often enough.
OF_CALLS = {"CallsCounted", "MasterEjected", "MasterReadmitted"}
OBSERVATIONS = 100_000
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def tally() -> Tally:
    found = Tally()
    for part in in_order(Order(heavy_every=4), range(SEEDS)):
        found.add(part)
    # What the whole mix does seldom: some of each theme, and more until all of it has happened.
    for first in range(SEEDS, SEEDS + MORE, AT_ONCE):
        for theme in THEMES:
            never = found.never()
            lacking = {*never["rows"], *never["events"]}
            may_help = not lacking <= OF_CALLS or "calls" in theme
            if first == SEEDS or (lacking and may_help):
                found.add(judged(Order(heavy_every=4, kinds=theme), range(first, first + AT_ONCE)))
    return found


def test_no_seed_breaks_a_law(tally: Tally) -> None:
    for found in tally.found:
        law = found.violations[0].law

        def breaks(smaller: Schedule, law: str = law) -> bool:
            return any(one.law == law for one in violations(run(smaller)))

        small = simplify(found.schedule, breaks)
        pytest.fail(f"seed {found.seed}: {found.violations}; {small}")


def test_every_kind_of_fault_and_every_row_of_the_machines_is_exercised(tally: Tally) -> None:
    never = tally.never()
    assert tally.steps > OBSERVATIONS
    assert never["turns"] == []
    assert never["rows"] == []
    assert set(tally.rows) <= set(all_rows())
    assert tally.failovers > 100
    assert tally.crashes > 100
    assert tally.struck > 100


def test_what_a_batch_brought_about_is_told_by_what_it_concerns(tally: Tally) -> None:
    told = tally.exercised()
    names = [name for title in SECTIONS for name, _, _ in told[title]]
    assert sorted(names) == sorted(ALL_KINDS)
    assert {"moves of health", "moves of role", "moves of failover", "events"} <= told.keys()
    for rows in told.values():
        assert all(times >= runs for _, times, runs in rows)
        assert all((times > 0) is (runs > 0) for _, times, runs in rows)


def test_all_kinds_of_turns_can_be_drawn() -> None:
    kinds = {turn.kind for seed in range(300) for turn in swarm(seed).turns}
    assert kinds == set(ALL_KINDS)
    assert len(ALL_KINDS) == len(set(ALL_KINDS))


def test_a_seed_draws_the_fleet_as_well() -> None:
    settings = [swarm(seed).setting for seed in range(100)]
    groups = [group for setting in settings for group in setting.groups()]
    assert {len(setting.groups()) for setting in settings} == {1, 2, 3}
    assert {group.masters for group in groups} == {1, 2, 3, 4, 5}
    assert {group.policy.mode for group in groups} == set(Mode)
    fences = {group.policy.fence.kind for group in groups}
    assert fences >= {FenceKind.GATE, FenceKind.CONFIRMED}
    assert len({group.policy.probe.timeout_us for group in groups}) > 2


@pytest.mark.parametrize("seed", [3, 11])
def test_the_same_schedule_gives_the_same_log_to_the_byte(seed: int) -> None:
    one, other = run(swarm(seed)), run(swarm(seed))
    assert [encode(r.event) for r in one.log] == [encode(r.event) for r in other.log]
    assert one.log == other.log
    assert digest(one.state) == digest(other.state)


SCRIPT = """
from engine.core.state import digest
from engine.simulation import run, swarm
for seed in range(40, 48):
    made = run(swarm(seed), compare_every=50)
    print(seed, len(made.log), digest(made.state), sorted(made.receipts)[-3:])
"""


def test_two_seeds_of_hashes_give_the_same_digests() -> None:
    said = [
        subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        ).stdout
        for hash_seed in ("1", "4242")
    ]
    assert said[0] == said[1]
    assert said[0].count("\n") == 8


def test_several_groups_are_served_each_by_its_own_policy() -> None:
    setting = Setting(
        policy=policy(fall=1, rise=1),
        more=(
            GroupSetting(id="h", policy=policy(fall=3), masters=2),
            GroupSetting(id="k", policy=policy(mode=Mode.ACTIVE_ACTIVE), masters=2),
        ),
    )
    turns = (
        Turn(kind="rest", gap_us=200 * MS),
        Turn(kind="crash", subject="h-a"),
        Turn(kind="crash", subject="k-b"),
        Turn(kind="rest", gap_us=300 * MS),
    )
    made = run(Schedule(setting=setting, turns=turns))
    assert violations(made) == []
    switched = [r.subject for r in made.log if isinstance(r.event, ev.Switched)]
    assert switched == ["a", "h-a", "h-b"]
    assert all(sink.applied for sink in made.sinks.values())


def test_a_world_can_be_driven_a_turn_at_a_time() -> None:
    schedule = swarm(5, turns=30)
    world = World(schedule.setting)
    world.begin()
    for turn in schedule.turns:
        world.turn(turn)
    assert world.finish().log == run(schedule).log


# Hours, and failures as they were recorded.


def test_hours_of_failures_and_repairs_keep_every_law() -> None:
    setting = Setting(policy=preset_auto("lan"), message_every_us=10 * SECOND)
    made = run(endure(1, for_us=HOUR // 4, setting=setting), compare_every=1_000)
    assert violations(made) == []
    assert made.virtual_us > HOUR // 4
    assert sum(isinstance(r.event, ev.Switched) for r in made.log) > 3


def test_what_is_compared_grows_with_the_run_and_not_with_its_square(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compared: list[int] = []

    def counting(one: State, other: State) -> bool:
        compared.append(sum(len(group.ledger.done) for group in other.groups.values()))
        return _is_same(one, other)

    monkeypatch.setattr("engine.simulation.witness._is_same", counting)
    setting = Setting(policy=preset_auto("lan"), message_every_us=50 * MS)
    spent = []
    for for_us in (20 * SECOND, 80 * SECOND):
        compared.clear()
        assert run(endure(1, for_us=for_us, setting=setting)).virtual_us >= for_us
        spent.append(sum(compared))
    assert 0 < spent[1] < 8 * spent[0]  # a square would be sixteen


ENDS = """
import concurrent.futures, multiprocessing, os, signal, sys

from engine.core.policy import HOUR
from engine.simulation.batches import Order, in_order


def end(*_):
    print(*(child.pid for child in multiprocessing.active_children()), flush=True)
    if sys.argv[1] == "interrupted":
        raise KeyboardInterrupt
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    concurrent.futures.Future.result = end  # every process was started by then
    next(in_order(Order(for_us=1_000 * HOUR), range(2), processes=2))
"""


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="waits for processes of others")
@pytest.mark.parametrize("how", ["interrupted", "killed"])
def test_no_process_goes_on_without_the_one_that_asked(tmp_path: Path, how: str) -> None:
    script = tmp_path / "ends.py"
    script.write_text(ENDS)
    asking = subprocess.Popen(
        [sys.executable, script, how],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert asking.stdout is not None
    workers = [os.pidfd_open(int(pid)) for pid in asking.stdout.readline().split()]
    try:
        assert workers
        for worker in workers:
            assert select.select([worker], [], [], 60)[0], "it goes on"
        assert asking.wait(60) == -(signal.SIGINT if how == "interrupted" else signal.SIGKILL)
    finally:
        for worker in workers:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(worker, signal.SIGKILL)
            os.close(worker)
        asking.kill()
        asking.wait()
        asking.stdout.close()


def preset_auto(name: str):  # type: ignore[no-untyped-def]
    from msgspec.structs import replace

    from engine.core.policy import Automation

    base = preset(name)
    failover = replace(base.failover, limit=0)
    return replace(base, automation=Automation.AUTO, effects="http", failover=failover)


def test_failures_are_drawn_from_a_recorded_history() -> None:
    history = History(to_failure_us=(7 * SECOND,), to_repair_us=(SECOND, 2 * SECOND))
    setting = Setting(policy=policy(), masters=1, message_every_us=0)
    schedule = endure(1, for_us=30 * SECOND, setting=setting, history=history)
    gaps = [turn.gap_us for turn in schedule.turns]
    assert gaps[0] == 7 * SECOND
    assert set(gaps[1::2]) <= {SECOND, 2 * SECOND, 30 * SECOND}
    assert violations(run(schedule)) == []


def test_a_history_is_taken_from_a_log_and_from_observations(tmp_path: Path) -> None:
    turns = (
        Turn(kind="crash", gap_us=500 * MS, subject="b"),
        Turn(kind="restart", gap_us=300 * MS, subject="b"),
        Turn(kind="crash", gap_us=700 * MS, subject="b"),
    )
    made = run(Schedule(setting=Setting(policy=policy(fall=1, rise=1)), turns=turns))
    history = of_log(made.log, source="it")
    assert any(250 * MS < us < 400 * MS for us in history.to_repair_us)
    path = tmp_path / "o.jsonl"
    path.write_text(
        "".join(
            f'{{"at":"2026-01-01T00:00:{second:02d}Z","master":"a","outcome":"{outcome}"}}\n'
            for second, outcome in ((0, "ok"), (10, "failed"), (12, "failed"), (15, "ok"))
        )
    )
    found = of_observations(read(path).records, source="it")
    assert found == History(to_failure_us=(10 * SECOND,), to_repair_us=(5 * SECOND,))
    assert found.scaled(1, 10).to_repair_us == (SECOND // 2,)


UPTIME = ROOT.parent / "shared" / "data" / "uptime"


@pytest.mark.skipif(not UPTIME.is_dir(), reason="there is no recorded uptime beside the repository")
def test_recorded_weeks_of_real_services_are_a_failure_process() -> None:
    (file, *_) = sorted(UPTIME.glob("*/observations.jsonl.gz"))
    columns = {"at": "t", "master": "target", "outcome": "status", "latency_ms": "rt_ms"}
    history = of_observations(read(str(file), columns=columns).records, source=str(file))
    setting = Setting(policy=policy(), message_every_us=0)
    schedule = endure(2, for_us=20 * SECOND, setting=setting, history=history.scaled(1, 100_000))
    assert len(schedule.turns) > 1
    assert violations(run(schedule)) == []


def test_every_event_is_reached(tally: Tally) -> None:
    known = {kind.__name__ for kind in KINDS.values()}
    assert set(tally.kinds) == known
