"""An incident of the demonstration, the day after: cut out, replayed, explained, made a test."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

GUARD_S = 120
SECONDS = "5"
PLUGINS = ("-p", "engine.testing.plugin", "-p", "no:cacheprovider")
POLICY = """
[groups.demo]
mode = "active-standby"
preset = "bench"
automation = "auto"
detect_within = "5s"
probe = {{ fall = {fall} }}
"""


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}


def tanist(*words: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "engine.cli.main", *words],
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=GUARD_S,
    )


def answer(*words: str, cwd: Path) -> Any:
    done = tanist(*words, "--json", cwd=cwd)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def checked(folder: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *PLUGINS, "."],
        cwd=folder,
        env={**environment(), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=GUARD_S,
    )  # fmt: skip


@pytest.mark.alone
def test_an_incident_becomes_a_test_that_is_red_until_the_policy_is_mended(tmp_path: Path) -> None:
    done = tanist("demo", "--fault", "hang", "--seconds", SECONDS, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    log = Path(json.loads(done.stdout)["log"])

    # Cut out, and the log is gone.
    row = answer("incidents", str(log), cwd=tmp_path)["rows"][-1]
    number = row["id"]
    assert (row["subject"], row["kind"]) == ("demo", "failed")
    there = tmp_path / "elsewhere"
    there.mkdir()
    cut = answer(
        *("incident", str(number), "--out", str(there / "night.incident"), "--log", str(log)),
        "--redact",
        cwd=tmp_path,
    )
    shutil.rmtree(log.parent)

    # Replayed, verified and explained elsewhere, where nobody knows how it was called.
    assert answer("replay", "night.incident", cwd=there)["digest"] == cut["digest"]
    assert answer("verify", "night.incident", cwd=there)["ok"]
    why = answer("why", "night.incident", str(number), cwd=there)
    assert (why["kind"], why["subject"]) == ("FailoverStarted", "g1")
    assert why["because"][0]["kind"] == "MasterFailed"

    # Asked under two policies.
    quick = answer("whatif", "night.incident", "--set", "probe.fall=1", cwd=there)
    assert quick["diverged_at"] is None
    slow = answer("whatif", "night.incident", "--set", "probe.fall=60", cwd=there)
    assert (slow["recorded"]["failovers"], slow["whatif"]["failovers"]) == (1, 0)
    assert slow["whatif"]["down_us"]["g1"] > slow["recorded"]["down_us"]["g1"]

    # A test of it: red under a policy that would have slept through it, green once that is mended.
    policy = there / "tanist.toml"
    (there / "night.toml").write_text(
        'policy = "tanist.toml"\n[expect]\nfailovers = 1\ndetect_within = "1s"\n'
    )
    policy.write_text(POLICY.format(fall=60))
    red = checked(there)
    assert red.returncode == 1
    assert "night.incident: expected 1 failovers, found 0" in red.stdout
    policy.write_text(POLICY.format(fall=3))
    green = checked(there)
    assert green.returncode == 0, green.stdout
    assert "4 passed" in green.stdout
