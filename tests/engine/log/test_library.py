"""Which SQLite may write a log."""

import importlib
import sys
from collections.abc import Iterator
from types import ModuleType

import pytest

from engine.core.errors import LogError
from engine.log.library import is_sound, sound_library


# https://sqlite.org/wal.html, "the WAL-reset bug": fixed in 3.51.3, and in two older branches.
@pytest.mark.parametrize(
    ("version", "sound"),
    [
        ((3, 40, 1), False),
        ((3, 44, 5), False),
        ((3, 44, 6), True),
        ((3, 44, 9), True),
        ((3, 45, 0), False),
        ((3, 50, 6), False),
        ((3, 50, 7), True),
        ((3, 51, 0), False),
        ((3, 51, 2), False),
        ((3, 51, 3), True),
        ((3, 53, 0), True),
        ((4, 0, 0), True),
    ],
)
def test_which_versions_cannot_corrupt_a_log(version: tuple[int, int, int], sound: bool) -> None:
    assert is_sound(version) is sound


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, tuple[int, int, int]]]:
    versions: dict[str, tuple[int, int, int]] = {}
    real = importlib.import_module

    def imported(name: str) -> ModuleType:
        if name not in {"pysqlite3.dbapi2", "sqlite3"}:
            return real(name)
        if name not in versions:
            raise ImportError(name)
        module = ModuleType(name)
        module.sqlite_version_info = versions[name]  # type: ignore[attr-defined]
        return module

    monkeypatch.setattr(importlib, "import_module", imported)
    sound_library.cache_clear()
    yield versions
    sound_library.cache_clear()


def test_the_one_that_pysqlite3_brings_comes_first(modules: dict[str, object]) -> None:
    modules |= {"pysqlite3.dbapi2": (3, 51, 3), "sqlite3": (3, 53, 0)}
    assert str(sound_library()) == "SQLite 3.51.3 (pysqlite3.dbapi2)"


def test_the_one_of_python_is_taken_if_it_is_sound(modules: dict[str, object]) -> None:
    modules |= {"sqlite3": (3, 50, 7)}
    assert str(sound_library()) == "SQLite 3.50.7 (sqlite3)"


def test_without_a_sound_one_the_message_says_what_to_install(modules: dict[str, object]) -> None:
    modules |= {"sqlite3": (3, 40, 1)}
    with pytest.raises(LogError, match=r"found SQLite 3.40.1 \(sqlite3\).*install .*pysqlite3"):
        sound_library()


def test_this_environment_has_a_sound_one() -> None:
    assert is_sound(sound_library().version)
    assert sound_library().module.__name__ in sys.modules
