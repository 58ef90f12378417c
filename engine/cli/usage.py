"""What the parser complains of, in the words of every other mistake: where, expected, found."""

from collections.abc import Iterable
from typing import Any, Final, Literal, get_args, get_origin

from cyclopts import CoercionError, CycloptsError, MissingArgumentError, UnknownOptionError
from cyclopts import RepeatArgumentError as RepeatedError
from cyclopts import UnusedCliTokensError as UnusedError
from cyclopts.exceptions import UnknownCommandError

from engine.cli.nearest import nearest

_KINDS: Final[dict[object, str]] = {
    int: "a whole number",
    float: "a number",
    bool: "no value: it is there or not",
}


def said(err: CycloptsError) -> str:
    """Return what is wrong with the words of a command, as one line without its end.

    Example: `--by: expected one of master, group, fleet, found 'moon'`
    """
    match err:
        case UnknownOptionError():
            name = err.token.keyword or err.token.value
            options = (name for each in err.argument_collection for name in each.names)
            return f"{name}: there is no such option{_meant(name, options)}"
        case UnknownCommandError(unused_tokens=[name, *_]):
            return f"{name}: there is no such option"
        case UnusedError(unused_tokens=[word, *_]):
            return f"expected no further word, found {word!r}"
        case RepeatedError():
            return f"{err.token.keyword}: expected once, found again"
        case CoercionError(token=token) if token is not None and err.msg is None:
            choices = _choices(err.target_type)
            where = token.keyword or _name(err)
            meant = _meant(token.value, choices)
            return f"{where}: expected {_expected(err.target_type)}, found {token.value!r}{meant}"
        case MissingArgumentError(argument=argument) if argument is not None:
            where = err.keyword or argument.name
            return f"{where}: expected {_expected(argument.hint)}, found none"
    return " ".join(str(err).split()).rstrip(".")


def _name(err: CycloptsError) -> str:
    return "" if err.argument is None else err.argument.name


def _choices(kind: Any) -> tuple[str, ...]:
    """Return the words that a type is made of; none if it is no `Literal`."""
    kinds = (kind, *get_args(kind))  # also those of an optional one
    return next((get_args(one) for one in kinds if get_origin(one) is Literal), ())


def _expected(kind: Any) -> str:
    choices = _choices(kind)
    if choices:
        return f"one of {', '.join(choices)}"
    kinds = (kind, *get_args(kind))
    return next((_KINDS[one] for one in kinds if one in _KINDS), "a value")


def _meant(word: str, known: Iterable[str]) -> str:
    near = nearest(word, known)
    return f"; did you mean {' or '.join(near)}?" if near else ""
