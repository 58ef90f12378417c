"""The options that many commands share, so that they are spelled and explained once."""

from typing import Annotated, TypeAlias

from cyclopts import Parameter

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
LogOption: TypeAlias = Annotated[
    str | None,
    Parameter(name="--log", help="The log: a file, an sqlite:/// URL or an engine's address."),
]
Word: TypeAlias = Annotated[
    str | None,
    Parameter(help="The log, if it is an existing path or contains ://."),
]
Flag: TypeAlias = Annotated[bool, Parameter(negative="", show_default=False)]
