"""The tree of exceptions, as its docstring draws it."""

import re

import pytest

from engine.core import errors
from engine.core.errors import (
    CommandRefused,
    ConfigurationError,
    EngineError,
    KeyReused,
    LogCorrupted,
    LogError,
    ObservationsError,
)


def drawn() -> dict[str, str]:
    """Return each class of the drawing with its parent."""
    parents: dict[str, str] = {}
    path: list[tuple[int, str]] = [(-1, "Exception")]
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"( {4,})([A-Z]\w+)", line)
        if found is None:
            continue
        depth, name = len(found[1]), found[2]
        while path[-1][0] >= depth:
            path.pop()
        parents[name] = path[-1][1]
        path.append((depth, name))
    return parents


def test_the_drawing_is_the_tree() -> None:
    public = {
        name: kind
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, Exception) and not name.startswith("_")
    }
    assert set(drawn()) == set(public)
    for name, parent in drawn().items():
        bases = [base.__name__ for base in public[name].__mro__ if base.__name__ in public]
        assert (bases[1:] or ["Exception"])[0] == parent


def test_everything_can_be_caught_at_the_root() -> None:
    with pytest.raises(EngineError):
        raise LogCorrupted(3, "a gap")


@pytest.mark.parametrize("kind", [ConfigurationError, ObservationsError])
def test_every_mistake_is_in_the_message_and_in_the_attribute(
    kind: type[ConfigurationError | ObservationsError],
) -> None:
    error = kind(["line 1: a", "line 2: b"])
    assert str(error) == "line 1: a; line 2: b"
    assert error.mistakes == ("line 1: a", "line 2: b")


def test_a_refusal_carries_its_reasons() -> None:
    error = CommandRefused(["a", "b"])
    assert (str(error), error.reasons) == ("a; b", ("a", "b"))


def test_a_corrupt_log_says_where_and_what_was_found() -> None:
    error = LogCorrupted(7, "a gap")
    assert (str(error), error.seq, error.found) == ("event 7: a gap", 7, "a gap")
    assert isinstance(error, LogError)


def test_a_key_that_was_used_for_another_command_says_where() -> None:
    error = KeyReused("k", 7)
    assert (str(error), error.key, error.seq) == (
        "the key 'k' was used for another command: event 7", "k", 7,
    )  # fmt: skip
    assert error.reasons == (str(error),)
    assert str(KeyReused("k", 0)) == "the key 'k' was used for another command"
