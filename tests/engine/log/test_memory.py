"""The log in memory fails when it is told to, in each way that a disk can."""

import pytest

from engine.core.errors import LogError, LogUncertain
from engine.log import MemoryLog
from engine.log.memory import Failure
from tests.engine.log.events import probes


@pytest.mark.parametrize(
    ("failure", "error", "stored"),
    [
        (Failure.FAILED, LogError, 2),
        (Failure.LOST, LogUncertain, 2),
        (Failure.STORED, LogUncertain, 4),
    ],
)
def test_a_failure_is_one_append_long(failure: Failure, error: type[LogError], stored: int) -> None:
    log = MemoryLog()
    log.append(probes(1, 2))
    log.fail_next(failure)
    with pytest.raises(LogError) as caught:
        log.append(probes(3, 4))
    assert type(caught.value) is error
    assert list(log.read()) == list(log.copy().read()) == probes(1, stored)
    log.append(probes(stored + 1, 5))
    assert list(log.read()) == probes(1, 5)


def test_failures_come_in_the_order_they_were_told() -> None:
    log = MemoryLog()
    log.fail_next(Failure.STORED, Failure.FAILED)
    with pytest.raises(LogUncertain):
        log.append(probes(1, 1))
    with pytest.raises(LogError):
        log.append(probes(2, 2))
    log.append(probes(2, 2))


def test_a_copy_goes_its_own_way() -> None:
    log = MemoryLog()
    log.append(probes(1, 2))
    copy = log.copy()
    log.append(probes(3, 3))
    copy.append(probes(3, 5))
    assert (log.head.seq, copy.head.seq) == (3, 5)
