"""One thread, one transaction for all that waited, one error for all behind a failure."""

import threading
from concurrent.futures import Future

import pytest

from engine.core.errors import LogConflict, LogError, LogUncertain
from engine.log import MemoryLog, Writer
from engine.log.memory import Failure
from engine.log.protocol import AFTER_COMMIT, BEFORE_APPEND, BEFORE_COMMIT
from engine.log.writer import QUEUE_EVENTS_MAX, TRANSACTION_EVENTS_MAX
from tests.engine.log.events import message, probe, probes

WAIT_S = 30.0  # only reached by a test that fails


class Gate:
    """A hook that holds the writer before an append until it is opened."""

    def __init__(self) -> None:
        self.passed: list[str] = []
        self.reached = threading.Event()
        self.open = threading.Event()

    def __call__(self, failpoint: str) -> None:
        self.passed.append(failpoint)
        if failpoint == BEFORE_APPEND:
            self.reached.set()
            assert self.open.wait(WAIT_S)

    @property
    def transactions(self) -> int:
        return self.passed.count(BEFORE_APPEND)


def outcomes(futures: list[Future[None]]) -> list[type | None]:
    errors = [future.exception(WAIT_S) for future in futures]
    return [None if error is None else type(error) for error in errors]


def test_a_future_is_done_when_its_events_are_durable() -> None:
    log = MemoryLog()
    with Writer(log) as writer:
        event, bodies = message(1, b"hello")
        writer.submit([event], bodies).result(WAIT_S)
        assert list(log.copy().read()) == [event]
        assert log.body(next(iter(bodies))) == b"hello"


def test_what_waited_goes_into_one_transaction() -> None:
    log, gate = MemoryLog(), Gate()
    with Writer(log, hook=gate) as writer:
        futures = [writer.submit([probe(1)])]
        assert gate.reached.wait(WAIT_S)
        futures += [writer.submit([probe(seq)]) for seq in range(2, 50)]
        gate.open.set()
        assert outcomes(futures) == [None] * 49
    assert gate.passed == [BEFORE_APPEND, BEFORE_COMMIT, AFTER_COMMIT] * 2
    assert list(log.read()) == probes(1, 49)


def test_a_transaction_has_a_limit() -> None:
    log, gate = MemoryLog(), Gate()
    half = TRANSACTION_EVENTS_MAX // 2
    with Writer(log, hook=gate) as writer:
        futures = [writer.submit([probe(1)])]
        assert gate.reached.wait(WAIT_S)
        futures += [
            writer.submit(probes(first, first + half - 1)) for first in range(2, 2 + 3 * half, half)
        ]
        gate.open.set()
        assert outcomes(futures) == [None] * 4
    assert gate.transactions == 3


def test_a_queue_has_a_limit() -> None:
    log, gate = MemoryLog(), Gate()
    with Writer(log, hook=gate) as writer:
        writer.submit([probe(1)])
        assert gate.reached.wait(WAIT_S)
        waiting = writer.submit([probe(3)] * QUEUE_EVENTS_MAX)
        with pytest.raises(LogError, match=f"{QUEUE_EVENTS_MAX} events wait for the log already"):
            writer.submit([probe(2)])
        gate.open.set()
        assert outcomes([waiting]) == [LogConflict]
        writer.submit([probe(2)]).result(WAIT_S)


@pytest.mark.parametrize(
    ("failure", "error", "stored"),
    [
        (Failure.FAILED, LogError, 1),
        (Failure.LOST, LogUncertain, 1),
        (Failure.STORED, LogUncertain, 3),
    ],
)
def test_a_failure_voids_the_transaction_and_everything_behind_it(
    failure: Failure, error: type[LogError], stored: int
) -> None:
    log, gate = MemoryLog(), Gate()
    with Writer(log, hook=gate) as writer:
        first = writer.submit([probe(1)])
        assert gate.reached.wait(WAIT_S)
        # 2 and 3 go together; 5 does not follow, so it stays behind, and 6 behind it.
        behind = [writer.submit([probe(seq)]) for seq in (2, 3, 5, 6)]

        def hold_then_fail(failpoint: str) -> None:
            gate(failpoint)
            if failpoint == AFTER_COMMIT:
                log.fail_next(failure)

        log.hook = hold_then_fail
        gate.open.set()
        assert outcomes([first, *behind]) == [None] + [error] * 4
        assert gate.transactions == 2
        assert log.head.seq == stored
        log.hook = None
        writer.submit([probe(stored + 1)]).result(WAIT_S)


def test_the_caller_starts_again_after_a_failure() -> None:
    log = MemoryLog()
    with Writer(log) as writer:
        assert outcomes([writer.submit([probe(2)])]) == [LogConflict]
        writer.submit([probe(1)]).result(WAIT_S)
        writer.submit([probe(2)]).result(WAIT_S)
    assert list(log.read()) == probes(1, 2)


def test_whatever_goes_wrong_is_told_to_who_waits() -> None:
    log = MemoryLog()

    def interrupt(_: str) -> None:
        raise KeyboardInterrupt

    with Writer(log, hook=interrupt) as writer:
        assert outcomes([writer.submit([probe(1)])]) == [KeyboardInterrupt]
        log.hook = None
        writer.submit([probe(1)]).result(WAIT_S)


def test_a_submission_cannot_be_cancelled() -> None:
    log, gate = MemoryLog(), Gate()
    with Writer(log, hook=gate) as writer:
        futures = [writer.submit([probe(1)]), writer.submit([probe(2)])]
        assert not futures[1].cancel()
        gate.open.set()
        assert outcomes(futures) == [None, None]


def test_closing_appends_what_waits_and_then_refuses() -> None:
    log, gate = MemoryLog(), Gate()
    writer = Writer(log, hook=gate)
    futures = [writer.submit([probe(seq)]) for seq in range(1, 20)]
    gate.open.set()
    writer.close()
    assert all(future.done() for future in futures)
    assert list(log.read()) == probes(1, 19)
    with pytest.raises(LogError, match="the writer of the log is closed"):
        writer.submit([probe(20)])
    writer.close()


def test_a_submission_without_events_is_done_in_its_turn() -> None:
    log = MemoryLog()
    with Writer(log) as writer:
        _, bodies = message(1, b"hello")
        writer.submit([], bodies).result(WAIT_S)
        writer.submit([probe(1)]).result(WAIT_S)
    assert log.body(next(iter(bodies))) == b"hello"
