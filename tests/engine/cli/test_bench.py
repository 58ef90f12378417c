import json
from pathlib import Path

import pytest

from engine.bench.report import Bound, Machine, Report, goals, part, unmeasured
from engine.cli.bench import show
from tests.engine.cli.shell import complaint, tanist


def test_bench_prints_one_document_and_its_exit_code_is_the_answer(tmp_path: Path) -> None:
    done = tanist("bench", "log", "--quick", "--rounds", "1", "--json", cwd=tmp_path)
    found = json.loads(done.stdout)
    verdicts = {goal["goal"]: goal["met"] for goal in found["goals"]}
    assert list(verdicts) == ["P1", "P3"]
    assert done.returncode == (1 if False in verdicts.values() else 0)
    assert (found["quick"], found["rounds"]) == (True, 1)
    assert set(found["machine"]) == {"sqlite", "driver", "python", "cores", "load", "system"}
    one = found["goals"][0]["parts"][0]
    assert one["goal"] == {"of": "ratio", "at_least": 0.8, "at_most": None}
    assert one["ratio"] == pytest.approx(one["value"] / one["floor"])
    assert "rough" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--rounds", "0"), "expected 1 or more"),
        (("--directory", "absent"), "absent"),
        (("speed",), "speed"),
    ],
)
def test_bench_refuses_what_it_cannot_measure(
    words: tuple[str, ...], says: str, tmp_path: Path
) -> None:
    assert says in complaint(tanist("bench", *words, cwd=tmp_path), 2)
    assert list(tmp_path.iterdir()) == []


def test_the_table_has_every_figure_its_goal_and_what_was_not_measured(
    capsys: pytest.CaptureFixture[str],
) -> None:
    least = Bound(of="ratio", at_least=0.8)
    found = goals(
        {
            "P1": [part("one", "one event", "events/s", 1_234.5, floor=2_469, goal=least)],
            "P3": [unmeasured("rebuild", "rebuild", "events/s", goal=least, reason="no library")],
            "P4": [part("tail", "start", "ms", 12.34, goal=Bound(of="value", at_most=15))],
        }
    )
    machine = Machine(
        sqlite="3.51.3", driver="sqlite3", python="3.11.0", cores=2, load=0.1, system="Linux"
    )
    show(Report(quick=False, rounds=3, machine=machine, goals=found))
    said = capsys.readouterr().out
    rows = [" ".join(line.split()) for line in said.splitlines()]
    assert "P1 one event 1,234 events/s 2,469 0.50 ratio ≥ 0.8 no" in rows
    assert "P3 rebuild - events/s - - ratio ≥ 0.8 -" in rows
    assert "P4 start 12.3 ms - - value ≤ 15 yes" in rows
    for line in (
        "P1 append: missed",
        "P3 against the eventsourcing library: not measured",
        "P4 restart and memory: met",
        "not measured: no library",
    ):
        assert line in said.splitlines()
    assert "SQLite 3.51.3" in said
