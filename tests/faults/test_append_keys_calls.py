"""The n-th call into the database fails: who repeats an append under its key has appended once."""

from pathlib import Path

import pytest

from engine.core.errors import LogError
from engine.log import open_log
from engine.log.sqlite import SqliteLog
from engine.log.verify import verify
from tests.engine.log.events import probes
from tests.faults.test_log_calls import FULL, IOERR, Faults, opened

BATCHES = ((1, 3), (4, 4), (5, 20))
TRIES_MAX = 10


def insist(log: SqliteLog) -> int:
    """Append three batches, each until it succeeds; return how often one did not."""
    failed = 0
    for first, last in BATCHES:
        for _ in range(TRIES_MAX):
            try:
                found = log.append(probes(first, last), key=f"k{first}")
            except LogError:
                failed += 1
            else:
                assert (found.first, found.last) == (first, last)
                break
        else:
            pytest.fail("it never succeeds")
    return failed


@pytest.mark.parametrize("code", [FULL, IOERR])
@pytest.mark.parametrize("is_late", [False, True], ids=["undone", "done"])
def test_events_and_keys_are_there_once_whatever_fails(
    tmp_path: Path, code: int, is_late: bool
) -> None:
    failed = fails_at = 0
    while True:
        fails_at += 1
        faults = Faults(fails_at=0, code=code, is_late=is_late)
        path = tmp_path / f"{fails_at}.db"
        with opened(path, faults.connect) as log:
            faults.fails_at = faults.calls + fails_at  # the log is open by then
            tries = insist(log)
            if not faults.failed:
                break
        failed += tries
        with open_log(path, mode="write") as log:
            assert list(log.read()) == probes(1, 20)
            assert verify(log).ok
            for first, last in BATCHES:
                assert not log.append(probes(first, last), key=f"k{first}").is_new
            assert log.head.seq == 20
    assert fails_at > 3 * 5  # begin, look, events, key, commit
    assert failed
