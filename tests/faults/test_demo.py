"""The demonstration, run for real: it says what it promises, and its log bears that out."""

import json
import os
import subprocess
import sys
from typing import Final

import pytest

from engine.core import events as ev
from engine.core.replay import decide_again
from engine.log.sqlite import open_log
from engine.log.verify import verify

GUARD_S: Final = 120  # it takes some eight seconds [s]
SECONDS: Final = 6.0
DEMO: Final = """
import sys
from engine.demo.main import demo
sys.exit(demo(seconds=float(sys.argv[1]), fault=sys.argv[2], json=True, preset="bench",
              directory=sys.argv[3]))
"""
DIGEST: Final = """
import sys
from engine.core.replay import replay
from engine.core.state import digest
from engine.log.sqlite import open_log
with open_log(sys.argv[1]) as log:
    print(digest(replay(log.read())))
"""


# Run once for each fault, and looked at by every test that asks for it.
every = pytest.mark.parametrize("demonstration", ["kill", "hang", "slow", "flap"], indirect=True)
slow = pytest.mark.parametrize("demonstration", ["slow"], indirect=True)
flap = pytest.mark.parametrize("demonstration", ["flap"], indirect=True)
zombie = pytest.mark.parametrize("demonstration", ["hang"], indirect=True)


@pytest.fixture(scope="module")
def demonstration(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, object]:
    directory = tmp_path_factory.mktemp(request.param)
    ran = run(DEMO, str(SECONDS), request.param, str(directory))
    report: dict[str, object] = json.loads(ran)
    return report


def run(code: str, *arguments: str, seed: str = "random") -> str:
    """Return what a Python process says that runs `code`; it has to end well."""
    ran = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        timeout=GUARD_S,
        env={**os.environ, "PYTHONHASHSEED": seed},
        check=True,
    )
    return ran.stdout.decode()


@every
def test_no_message_is_lost_and_none_is_applied_twice(demonstration: dict[str, object]) -> None:
    assert demonstration["lost"] == 0
    assert demonstration["applied_twice"] == 0
    accepted = demonstration["accepted"]
    assert isinstance(accepted, int)
    assert accepted > 0
    assert demonstration["applied"] == accepted


@zombie
def test_what_the_zombie_still_does_is_refused(demonstration: dict[str, object]) -> None:
    stale = demonstration["refused_stale"]
    late = demonstration["late_acks_refused"]
    assert isinstance(stale, int)
    assert isinstance(late, int)
    assert stale + late > 0


@every
def test_every_process_folds_the_log_to_the_digest_of_the_engine(
    demonstration: dict[str, object],
) -> None:
    log = str(demonstration["log"])
    digests = {run(DIGEST, log, seed=seed).strip() for seed in ("1", "2")}
    assert digests == {demonstration["digest"]}


@every
def test_the_recorded_observations_lead_to_the_recorded_decisions_again(
    demonstration: dict[str, object],
) -> None:
    with open_log(str(demonstration["log"])) as log:
        assert verify(log).ok
        recorded = list(log.read())
    again = list(decide_again(recorded))
    differing = [pair for pair in zip(recorded, again, strict=False) if pair[0] != pair[1]]
    assert differing[:1] == []
    assert len(again) == len(recorded)
    assert any(isinstance(each.event, ev.Switched) for each in recorded)


@slow
@pytest.mark.alone
def test_a_slow_master_is_noticed_before_it_is_anything_worse(
    demonstration: dict[str, object],
) -> None:
    with open_log(str(demonstration["log"])) as log:
        found = next(log.read(_seq(demonstration) - 1, _seq(demonstration)))
    assert isinstance(found.event, ev.MasterDegraded)
    assert found.event.rule == "slow"
    assert _concluded(demonstration)["degraded"] >= 1


@flap
@pytest.mark.alone
def test_a_master_that_flaps_is_left_and_not_trusted_meanwhile(
    demonstration: dict[str, object],
) -> None:
    assert _concluded(demonstration)["flapping"] >= 1
    assert _concluded(demonstration)["failed"] > 1
    is_flapping = False
    with open_log(str(demonstration["log"])) as log:
        struck = next(log.read(_seq(demonstration) - 1, _seq(demonstration))).subject
        for recorded in log.read(_seq(demonstration)):
            if recorded.subject != struck:
                continue
            match recorded.event:
                case ev.FlappingStarted():
                    is_flapping = True
                case ev.FlappingEnded():
                    is_flapping = False
                case ev.Switched() | ev.MasterHealthy():
                    assert not is_flapping
                case _:
                    pass


def _concluded(demonstration: dict[str, object]) -> dict[str, int]:
    found = demonstration["concluded"]
    assert isinstance(found, dict)
    return found


def _seq(demonstration: dict[str, object]) -> int:
    found = demonstration["failed_seq"]
    assert isinstance(found, int)
    return found
