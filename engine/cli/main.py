"""The command `tanist`: finds the command, runs it, and turns every error into one clear line.

Exit codes: 0 done; 1 the answer is no; 2 wrong usage or configuration; 3 the log cannot be used.
"""

import codecs
import contextlib
import importlib
import io
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, TextIO

from engine.cli.commands import PANELS, overview

if TYPE_CHECKING:
    from cyclopts import App

NO: Final = 1
USAGE: Final = 2
UNUSABLE: Final = 3
INTERRUPTED: Final = 130  # as shells have it for a command that Ctrl-C ended

HELP: Final = ((), ("--help",), ("-h",), ("help",))


def main() -> None:
    """Run the command that `sys.argv` names, and exit."""
    _open_streams()
    sys.exit(run(sys.argv[1:]))


def _open_streams() -> None:
    """Open an empty stream where there is none, or a log might be opened in its place.

    What a terminal has no characters for is written as JSON escapes it: an answer that is cut off
    for the sake of a letter in somebody's reason helps nobody.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115
    codecs.register_error("escaped", _escaped)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="escaped")


def _escaped(err: UnicodeError) -> tuple[str, int]:
    r"""Return \uXXXX, once or twice, for each character that cannot be written."""
    if not isinstance(err, UnicodeEncodeError):
        raise err
    units = err.object[err.start : err.end].encode("utf-16-be", "surrogatepass")
    found = (units[place : place + 2].hex() for place in range(0, len(units), 2))
    return "".join(f"\\u{unit}" for unit in found), err.end


def run(words: Sequence[str]) -> int:
    """Return the exit code of the command that `words` name."""
    try:
        code = _overview() if tuple(words) in HELP else _command(words)
        sys.stdout.flush()
    except BrokenPipeError:
        _drop(sys.stdout)  # whoever read our output has seen enough
        return 0
    except OSError as err:
        return _say([str(err)], USAGE)
    except KeyboardInterrupt:
        return INTERRUPTED
    return code


def _overview() -> int:
    sys.stdout.write(overview())
    return 0


def _command(words: Sequence[str]) -> int:
    if not words[0].startswith("-") and words[0] not in _names():
        return _say([_unknown(words[0])], USAGE)
    from cyclopts import CycloptsError

    from engine.core import errors

    try:
        result = _app()(words, exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as err:
        from engine.cli.usage import said

        return _say([_usage(said(err), words)], USAGE)
    except errors.CommandRefused as err:
        return _say([f"refused: {err}"], NO)
    except (errors.ConfigurationError, errors.ObservationsError) as err:
        return _say(err.mistakes, USAGE)
    except errors.StateDropped as err:
        return _say([str(err)], NO)
    except errors.LogError as err:
        return _say([str(err)], UNUSABLE)
    except errors.EngineError as err:
        return _say([str(err)], NO)
    except (BrokenPipeError, KeyboardInterrupt):
        raise
    except UnicodeEncodeError as err:  # bytes among the words that are no text
        found = err.object[err.start : err.end]
        return _say([f"expected text in UTF-8, found {found!r}"], USAGE)
    except OSError as err:
        return _say([str(err)], USAGE)
    except Exception as err:
        if "TANIST_TRACEBACK" in os.environ:
            raise
        what = f"a bug in tanist: {type(err).__name__}: {err}".rstrip(": ")
        return _say([f"{what} (where: set TANIST_TRACEBACK=1 and try again)"], NO)
    return result if isinstance(result, int) else 0


def _app() -> "App":
    """Return the parser; a command's own module is loaded when the command is run."""
    from cyclopts import App

    app = App(
        name="tanist",
        help_format="markdown",
        version=_version,
    )
    for panel in PANELS.values():
        for command in panel:
            app.command(command.place, name=command.name)
    return app


def _version() -> str:
    metadata = importlib.import_module("importlib.metadata")
    try:
        return str(metadata.version("tanist"))
    except metadata.PackageNotFoundError:
        return "not installed"


def _usage(said: str, words: Sequence[str]) -> str:
    """Return what is wrong with the words, with where to read on."""
    own = next((word for word in words if not word.startswith("-")), "")
    where = f"tanist {own} --help" if own in _names() else "tanist --help"
    return f"{said}{'' if said.endswith('?') else ';'} see: {where}"


def _names() -> list[str]:
    return [command.name for panel in PANELS.values() for command in panel]


def _unknown(word: str) -> str:
    """Return what to say of a word that is no command."""
    from engine.cli.nearest import nearest

    near = nearest(word, _names())
    meant = f" did you mean {' or '.join(near)}?" if near else ""
    return f"there is no command {word!r};{meant} see: tanist --help"


def _say(lines: Sequence[str], code: int) -> int:
    """Print what went wrong on standard error, a line each, and return `code`."""
    try:
        sys.stdout.flush()
    except OSError:
        _drop(sys.stdout)
    try:
        for line in lines:
            sys.stderr.write(f"tanist: {' '.join(line.split())}\n")
        sys.stderr.flush()
    except OSError:
        _drop(sys.stderr)  # whoever reads the code hears of it all the same
    return code


def _drop(stream: TextIO) -> None:
    """Let what could not be written go: at exit it would be flushed once more, and fail again."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


if __name__ == "__main__":
    main()
