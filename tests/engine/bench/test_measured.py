"""Every benchmark on a tiny scale: what is counted was done, and nothing is said about times."""

import contextlib
from pathlib import Path

import pytest

from engine.bench import appending, contest, replays, restarts
from engine.bench.main import NAMES, Name, Sizes, measured
from engine.bench.report import Goal, Part, Report
from engine.core.errors import EngineError

TINY = Sizes(
    appending=appending.Sizes(singly=5, told=70, bulk=1_500),
    replays=replays.Sizes(events=2_500),
    contest=contest.Sizes(appended={1: 2, 10: 20}, rebuilt=600),
    restarts=restarts.Sizes(masters=4, before=60, tails=(20, 50), bounds_ms=(0, 1e9), replayed=100),
)
APPEND = ["one", "writer", "writer-p99", "engine", "engine-p99", "bulk"]
REPLAY = ["rows", "read", "sealed", "sealed-replay", "whatif", "uptime"]
REBUILD = ["rebuild", "rebuild-sealed", "rebuild-tuned"] if contest.is_there() else ["rebuild"]
START = ["tail-20", "tail-50", "longer-20", "longer-50"]
MEMORY = ["memory", "memory-longer", "held"]


def run(name: Name, directory: Path) -> tuple[Report, list[tuple[int, int]]]:
    ticks: list[tuple[int, int]] = []
    with contextlib.chdir(directory):
        report = measured(
            [name],
            sizes=TINY,
            rounds=1,
            is_quick=True,
            directory=Path(),  # as the command gives it, if nobody says anything else
            progress=lambda done, total: ticks.append((done, total)),
        )
    return report, ticks


def parts(goal: Goal) -> dict[str, Part]:
    return {part.name: part for part in goal.parts}


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_comes_from_a_run_and_stands_beside_its_floor(
    name: Name, tmp_path: Path
) -> None:
    report, ticks = run(name, tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert (ticks[0], ticks[-1]) == ((0, 4), (4, 4))
    named = {goal.goal: [part.name for part in goal.parts] for goal in report.goals}
    assert named == (
        {"P1": APPEND, "P3": ["append-1", "append-10"]}
        if name == "log"
        else {"P2": REPLAY, "P3": REBUILD, "P4": START + MEMORY}
    )
    for goal in report.goals:
        for part in goal.parts:
            if part.reason:
                assert (part.value, part.floor, part.ratio, part.met) == (None, None, None, None)
            elif part.name not in MEMORY:  # which may grow by nothing
                assert part.value is not None
                assert part.value > 0
            if part.floor:
                assert part.floor_is
                assert part.ratio == pytest.approx(part.value / part.floor)
            if part.goal is not None and not part.reason:
                judged = part.ratio if part.goal.of == "ratio" else part.value
                assert judged is not None
                assert part.met is part.goal.is_met(judged)
    if name == "replay":
        p4 = parts(report.goals[-1])
        assert (p4["tail-20"].met, p4["tail-50"].met) == (False, True)
        assert report.goals[-1].met is False
        assert report.is_missed


def test_without_the_library_its_figures_are_none_and_say_why(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(contest, "LIBRARY", "nobody_has_this")
    ticks: list[None] = []
    found = [
        *contest.appends(tmp_path, TINY.contest, rounds=2, tick=lambda: ticks.append(None)),
        *contest.rebuilds(tmp_path, TINY.contest, rounds=2, tick=lambda: ticks.append(None)),
    ]
    assert [part.name for part in found] == ["append-1", "append-10", "rebuild"]
    assert {(part.value, part.met) for part in found} == {(None, None)}
    assert all("tanist[bench]" in part.reason for part in found)
    assert len(ticks) == 4


def test_a_process_that_cannot_measure_says_why(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="there is no log"):
        restarts.fresh("memory", tmp_path / "absent.db", 1)
