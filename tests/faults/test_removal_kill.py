"""A process that removes bodies is killed: each is there or gone, as the last event says."""

import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from engine.core.events import BodiesRemoved, MessageAccepted
from engine.log import open_log
from engine.log.protocol import AFTER_COMMIT, BEFORE_APPEND, BEFORE_COMMIT
from engine.log.verify import verify
from tests.contracts.test_bodies import digest_of
from tests.faults.removal_child import body

ROOT: Final = Path(__file__).parents[2]


@pytest.mark.parametrize("passes", [4, 8, 24, 41])
@pytest.mark.parametrize("failpoint", [BEFORE_APPEND, BEFORE_COMMIT, AFTER_COMMIT])
def test_what_is_there_is_what_the_events_say(tmp_path: Path, failpoint: str, passes: int) -> None:
    path = tmp_path / "log.db"
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.removal_child", path, failpoint, str(passes)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
        timeout=60,
    )
    assert done.stderr == ""
    told = [int(line) for line in done.stdout.split()]
    with open_log(path, mode="write") as log:
        assert (
            log.head.seq
            == len(told) + (failpoint == AFTER_COMMIT)
            == passes - (failpoint != AFTER_COMMIT)
        )
        expected = set()
        purged = []
        for recorded in log.read():
            match recorded.event:
                case MessageAccepted(digest=digest):
                    expected.add(digest)
                case BodiesRemoved(digests=digests, author=author):
                    expected.difference_update(digests)
                    purged += digests if author else ()
                case _:
                    raise AssertionError(recorded)
        stored = list(log.stored_bodies())
        assert {each.digest for each in stored} == expected
        assert not [each.problem for each in stored if each.problem]
        assert verify(log).ok
        assert log.erase()
        left = path.read_bytes()
        bodies = {digest_of(body(seq)): body(seq) for seq in range(30)}
        assert not [
            digest for digest in purged if digest not in expected and bodies[digest] in left
        ]
