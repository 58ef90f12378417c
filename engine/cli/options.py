"""The options that many commands share, so that they are spelled and explained once."""

from typing import Annotated, Final, TypeAlias

from cyclopts import Parameter

from engine.core.errors import ConfigurationError

Json: TypeAlias = Annotated[
    bool,
    Parameter(
        name="--json",
        negative="",
        show_default=False,
        help="Print exactly one JSON document on standard output.",
    ),
]
JsonLines: TypeAlias = Annotated[
    bool,
    Parameter(name="--json", negative="", show_default=False, help="Print JSON, a line for each."),
]
_ANY: Final = "The log: a file or an sqlite:/// URL; or the http:// address of its running engine."
_FILE: Final = "The log: a file or an sqlite:/// URL."
_WORD: Final = "A lone word is it if such a file exists."

# Where the engine that runs the log can be asked in its place.
LogOption: TypeAlias = Annotated[str | None, Parameter(name="--log", help=_ANY)]
Place: TypeAlias = Annotated[str | None, Parameter(name="LOG", help=_ANY)]
Word: TypeAlias = Annotated[str | None, Parameter(name="LOG", help=f"{_ANY} {_WORD}")]
# Where the log itself is read.
File: TypeAlias = Annotated[str | None, Parameter(name="--log", help=_FILE)]
FilePlace: TypeAlias = Annotated[str | None, Parameter(name="LOG", help=_FILE)]
FileWord: TypeAlias = Annotated[str | None, Parameter(name="LOG", help=f"{_FILE} {_WORD}")]


def duration_us(text: str, *, option: str) -> int:
    """Return the duration that an option says [us].

    Raises:
        ConfigurationError: It says none.
    """
    from engine.config.durations import microseconds

    found = microseconds(text)
    if found is None:
        raise ConfigurationError([f"{option}: expected a duration, as in 10s, found {text!r}"])
    return found
