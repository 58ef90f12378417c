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
Place: TypeAlias = Annotated[str | None, Parameter(name="LOG", help="The log.")]
Word: TypeAlias = Annotated[
    str | None,
    Parameter(name="LOG", help="The log. A lone word is it if such a file exists."),
]
