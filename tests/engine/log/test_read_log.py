"""A script that knows nothing of this code reads a log, so its description is enough."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from engine.core.events import Recorded
from engine.log import open_log
from tests.engine.log.events import based, failed, message, probes

SCRIPT = Path(__file__).parents[3] / "scripts" / "read_log.py"


def mixed(first: int, last: int) -> list[Recorded]:
    return [
        failed(seq, seq - 1) if seq % 50 == 0
        else message(seq, b"m" * (seq % 9))[0] if seq % 7 == 0
        else probes(seq, seq)[0]
        for seq in range(first, last + 1)
    ]  # fmt: skip


@pytest.mark.parametrize(
    "events",
    [mixed(1, 3_210), [based(5_000), *mixed(5_001, 7_777)], mixed(1, 12)],
    ids=["sealed", "based", "short"],
)
def test_it_reads_every_event_and_forms_the_same_digest(
    tmp_path: Path, events: list[Recorded]
) -> None:
    path = tmp_path / "log.db"
    with open_log(path, mode="write", create=True) as log:
        log.append(events)
        log.seal(blocks_max=9)
        head = log.chain_head().hex()
    done = subprocess.run(
        [sys.executable, SCRIPT, path], capture_output=True, text=True, check=True
    )
    *lines, digest = done.stdout.splitlines()
    assert digest == head
    assert [json.loads(line)[:5] for line in lines] == [
        [r.seq, r.at_us, type(r.event).__name__, r.subject, r.cause] for r in events
    ]
