import signal
import subprocess
import sys

import pytest

from engine.runtime.failpoints import NAMES, kill_at, nothing

HITS = """
from engine.runtime.failpoints import kill_at
hit = kill_at({armed!r})
for name, detail in {hits!r}:
    print(name, detail, flush=True)
    hit(name, detail)
"""


def hits(armed: str, *hits: tuple[str, str]) -> tuple[int, int]:
    """Return how a process ended that passed these failpoints, and how many it reached."""
    code = HITS.format(armed=armed, hits=hits)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    return done.returncode, len(done.stdout.splitlines())


@pytest.mark.parametrize(
    ("armed", "reached"),
    [
        ("durable.after", 2),
        ("durable.after:2", 3),
        ("durable.after/MasterFenced", 3),
        ("durable.after/MasterFenced:2", 4),
        ("effect.before/fence", 6),
    ],
)
def test_the_process_ends_at_the_place_the_word_and_the_count(armed: str, reached: int) -> None:
    passed = (
        ("durable.before", "ProbeOk"),
        ("durable.after", "ProbeOk"),
        ("durable.after", "MasterFailed MasterFenced"),
        ("durable.after", "MasterFenced"),
        ("effect.before", "promote"),
        ("effect.before", "fence"),
    )
    assert hits(armed, *passed) == (-signal.SIGKILL, reached)


def test_what_is_not_reached_often_enough_ends_nothing() -> None:
    assert hits("durable.after:3", ("durable.after", ""), ("durable.after", "")) == (0, 2)


@pytest.mark.parametrize("armed", ["", "nowhere", "durable", "durable.after:x", "/word"])
def test_what_names_no_failpoint_is_refused(armed: str) -> None:
    with pytest.raises(ValueError, match=r"expected one of|invalid literal"):
        kill_at(armed)


def test_unarmed_every_place_is_passed() -> None:
    for name in NAMES:
        nothing(name, "")
