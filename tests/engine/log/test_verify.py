"""Every kind of damage is found, and named by the first event that does not fit."""

from collections.abc import Callable
from pathlib import Path

import pytest

from engine.core.errors import LogCorrupted
from engine.core.events import MasterFailed, Recorded, encode
from engine.log import open_log
from engine.log.codec import crcs_of
from engine.log.connection import driver_connect
from engine.log.verify import PROBLEMS_MAX, Verification, verify
from tests.engine.log.events import based, failed, message, probes

LAST = 1_205  # the damage lies in the second of three chunks


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "log.db"
    with open_log(path, mode="write", create=True) as log:
        log.append([*probes(1, 699), failed(700, 698, 699), *probes(701, LAST)])
    return path


def verified(
    path: Path, *statements: str, fold: Callable[[Recorded], None] | None = None
) -> Verification:
    """Return what is found after the statements were run by someone who may not."""
    connection = driver_connect(path.as_uri())
    for statement in statements:
        assert connection.execute(statement).rowcount != 0
    connection.commit()
    connection.close()
    with open_log(path) as log:
        return verify(log, fold)


def test_an_intact_log_is_ok(path: Path) -> None:
    found = verified(path)
    assert (found.ok, found.events, found.problems) == (True, LAST, ())
    with open_log(path) as log:
        assert found.head == log.chain_head().hex()


@pytest.mark.parametrize(
    ("damage", "first_bad", "problem"),
    [
        ("at_us = at_us + 1 WHERE seq = 700", 700, "its bytes are not those"),
        ("subject = 'x' WHERE seq = 700", 700, "its bytes are not those"),
        ("cause = 3 WHERE seq = 700", 700, "its bytes are not those"),
        ("crc = crc + 1 WHERE seq = 700", 700, "its bytes are not those"),
        ("kind = 99 WHERE seq = 700", 700, "the kind 99 is not known"),
        ("kind = 105 WHERE seq = 700", 700, "its bytes are not those"),
        ("payload = x'c1' WHERE seq = 700", 700, "MessagePack data is malformed"),
        ("payload = CAST(payload || x'00' AS BLOB) WHERE seq = 700", 700, "trailing characters"),
        ("at_us = 1 WHERE seq = 700", 700, "expected a time from"),
        ("cause = 700 WHERE seq = 700", 700, "expected a cause before it, found 700"),
        ("cause = -1 WHERE seq = 700", 700, "expected a cause before it, found -1"),
        ("subject = CAST(x'ff' AS TEXT) WHERE seq = 700", 700, "cannot be read"),
    ],
)
def test_a_changed_row_is_named(path: Path, damage: str, first_bad: int, problem: str) -> None:
    found = verified(path, f"UPDATE events SET {damage}")
    assert not found.ok
    assert found.first_bad == first_bad
    assert any(problem in line for line in found.problems)
    assert all(line.startswith(f"event {first_bad}: ") for line in found.problems[:1])
    if problem != "cannot be read":
        assert found.events == LAST


@pytest.mark.parametrize(("column", "value"), [(2, 99), (5, b"\xc1")])
def test_what_means_nothing_is_found_even_with_fitting_crcs(
    path: Path, column: int, value: object
) -> None:
    with open_log(path) as log:
        before, last = log.rows(LAST - 2)
    row = (*last[:column], value, *last[column + 1 :])
    (crc,) = crcs_of([row], crc=before[-1])  # type: ignore[list-item]
    set_to = ("kind = 99" if column == 2 else "payload = x'c1'") + f", crc = {crc}"
    found = verified(path, f"UPDATE events SET {set_to} WHERE seq = {LAST}")
    assert found.first_bad == LAST
    assert len(found.problems) == 1


def test_a_missing_row_is_named_and_leaves_no_digest(path: Path) -> None:
    found = verified(path, "DELETE FROM events WHERE seq = 700")
    assert found.first_bad == 700
    assert found.problems[0] == "event 700: missing: found event 701 instead"
    assert found.head == ""
    assert verified(path, "DELETE FROM events WHERE seq < 10").first_bad == 1


def test_rows_that_changed_places_are_named(path: Path) -> None:
    swap = [f"UPDATE events SET seq = {new} WHERE seq = {old}" for old, new in SWAPS]
    assert verified(path, *swap).first_bad == 5


SWAPS = ((5, -5), (6, 5), (-5, 6))


def test_evidence_that_lies_ahead_is_found(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    with open_log(path, mode="write", create=True) as log:
        log.append([*probes(1, 2), failed(3, 1, 3), failed(4, 0), failed(5, 2)])
    found = verified(path)
    assert found.first_bad == 3
    assert found.problems == (
        "event 3: expected evidence before it, found some after it",
        "event 4: expected evidence before it, found some after it",
    )


def test_a_cut_log_that_pretends_to_be_whole_has_another_head(path: Path) -> None:
    before = verified(path).head
    found = verified(path, f"DELETE FROM events WHERE seq = {LAST}")
    assert found.ok
    assert found.head != before


def test_a_base_that_is_not_the_beginning_is_found(path: Path) -> None:
    kind, payload = encode(based(700).event)
    found = verified(
        path, f"UPDATE events SET kind = {kind}, payload = x'{payload.hex()}' WHERE seq = 700"
    )
    assert found.first_bad == 700
    assert "a base of event 700, which is not the beginning" in "\n".join(found.problems)


def test_a_based_log_is_ok_and_its_base_is_covered(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    with open_log(path, mode="write", create=True) as log:
        log.append([based(1_500), *probes(1_501, 1_600)])
    assert verified(path).ok
    kind, payload = encode(based(1_500, state=b"other").event)
    found = verified(path, f"UPDATE events SET payload = x'{payload.hex()}' WHERE kind = {kind}")
    assert found.first_bad == 1_500


def test_the_fold_is_asked_until_it_refuses(path: Path) -> None:
    seen: list[int] = []

    def fold(recorded: Recorded) -> None:
        seen.append(recorded.seq)
        if isinstance(recorded.event, MasterFailed):
            raise LogCorrupted(recorded.seq, "MasterFailed while failed")

    found = verified(path, fold=fold)
    assert found.problems == ("event 700: MasterFailed while failed",)
    assert found.first_bad == 700
    assert seen == list(range(1, 701))


def test_the_first_problems_are_kept_and_the_first_event_is_exact(path: Path) -> None:
    found = verified(path, "UPDATE events SET cause = -1")
    assert len(found.problems) == PROBLEMS_MAX
    assert found.first_bad == 1


def test_a_body_is_covered_by_the_event_that_names_it(path: Path) -> None:
    event, bodies = message(LAST + 1, b"hello")
    with open_log(path, mode="write") as log:
        log.append([event], bodies=bodies)
    assert verified(path, "DELETE FROM bodies").ok
