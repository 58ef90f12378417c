"""The three sums of a policy, held against real processes for two presets."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "measure_sums.py"
ROUNDS = 6
GUARD_S = 240


@pytest.mark.alone
def test_what_is_measured_keeps_the_sums_of_bench_and_lan() -> None:
    words = [sys.executable, str(SCRIPT), "--rounds", str(ROUNDS), "--json"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=GUARD_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads(done.stdout)["rows"]
    assert [(row["preset"], row["what"]) for row in rows] == [
        (preset, what)
        for preset in ("bench", "lan")
        for what in (
            "worst detection",
            "longest blip ignored",
            "restored after a crash",
            "restored after a hang",
        )
    ]
    for row in rows:
        tried = ROUNDS // 2 if row["what"].startswith("restored") else ROUNDS
        # On a busy machine the observer itself may be late; such rounds say nothing of the sums.
        assert len(row["times_ms"]) + row["late"] == tried
        assert row["kept"]
        assert all(0 < took <= row["bound_ms"] for took in row["times_ms"])
