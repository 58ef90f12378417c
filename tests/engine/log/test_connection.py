"""One connection: what an interrupt leaves of a transaction, whenever it comes."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from engine.log.connection import Connection, driver_connect
from engine.log.library import sound_library

DRIVER: Final[Any] = sound_library().module
COUNT: Final = "SELECT count(*) FROM things"


class Interrupts:
    """Connects so that one statement, the first of its kind, is interrupted as it is told."""

    def __init__(self, statement: str, *, before: bool) -> None:
        self.is_due = False
        self._statement = statement
        self._before = before

    def connect(self, uri: str) -> Any:
        interrupts = self

        class Cursor(DRIVER.Cursor):  # type: ignore[misc]
            def execute(self, statement: str, *rest: Any) -> Any:
                perform = super().execute
                return interrupts.call(statement, lambda: perform(statement, *rest))

        class Raw(DRIVER.Connection):  # type: ignore[misc]
            def cursor(self, factory: type = Cursor) -> Any:
                return super().cursor(factory)

        return DRIVER.connect(uri, uri=True, check_same_thread=False, factory=Raw)

    def call(self, statement: str, perform: Callable[[], Any]) -> Any:
        if not self.is_due or statement != self._statement:
            return perform()
        self.is_due = False
        if not self._before:
            perform()
        raise KeyboardInterrupt


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "things.db"
    writer = driver_connect(f"{path.as_uri()}?mode=rwc")
    writer.executescript("PRAGMA journal_mode = WAL; CREATE TABLE things (id INTEGER)")
    yield path
    writer.close()


def add(path: Path) -> None:
    writer = driver_connect(f"{path.as_uri()}?mode=rw")
    writer.execute("INSERT INTO things VALUES (1)")
    writer.commit()
    writer.close()


def opened(path: Path, interrupts: Interrupts) -> Connection:
    return Connection(path, mode="rw", connect=interrupts.connect)


def raw(connection: Connection) -> Any:
    return connection.core.connection.driver_connection


@pytest.mark.parametrize("before", [True, False])
def test_an_interrupt_at_the_begin_of_a_snapshot_leaves_no_transaction_open(
    path: Path, before: bool
) -> None:
    interrupts = Interrupts("BEGIN", before=before)
    connection = opened(path, interrupts)
    interrupts.is_due = True
    with pytest.raises(KeyboardInterrupt), connection.snapshot():
        pytest.fail("it was interrupted before")
    assert not interrupts.is_due
    assert not raw(connection).in_transaction
    assert connection.fetch(COUNT) == [(0,)]
    add(path)
    assert connection.fetch(COUNT) == [(1,)]
    connection.close()


def look(connection: Connection, interrupts: Interrupts) -> None:
    """Take a snapshot whose end is interrupted."""
    with connection.snapshot():
        assert connection.fetch(COUNT) == [(0,)]
        interrupts.is_due = True


@pytest.mark.parametrize("before", [True, False])
def test_a_snapshot_after_one_whose_end_was_interrupted_sees_what_is_there_now(
    path: Path, before: bool
) -> None:
    interrupts = Interrupts("ROLLBACK", before=before)
    connection = opened(path, interrupts)
    with pytest.raises(KeyboardInterrupt):
        look(connection, interrupts)
    assert not interrupts.is_due
    add(path)
    with connection.snapshot():
        assert connection.fetch(COUNT) == [(1,)]
    assert not raw(connection).in_transaction
    connection.close()


def test_a_snapshot_sees_the_database_as_it_was_at_its_first_look(path: Path) -> None:
    connection = opened(path, Interrupts("", before=True))
    with connection.snapshot():
        assert connection.fetch(COUNT) == [(0,)]
        add(path)
        assert connection.fetch(COUNT) == [(0,)]
    assert connection.fetch(COUNT) == [(1,)]
    connection.close()
