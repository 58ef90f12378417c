"""Nothing is wrong, and the machine has far too much to do; scripts/busy.py goes on for longer."""

import os
from pathlib import Path

import pytest

from tests.faults.busy import busy


@pytest.mark.alone
def test_a_busy_machine_is_no_failure(tmp_path: Path) -> None:
    count = 4 * (os.cpu_count() or 1)
    found = busy(tmp_path, seconds=5, count=count, preset="zone", progress=lambda spent_s: None)
    assert (found.detections, found.failovers) == (0, 0)
    assert found.probes >= 6
