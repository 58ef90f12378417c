"""Which log a command is about, and which engine runs it.

`--log LOG` always counts; a word is the LOG if it is an existing path or contains `://`. Left out:
$TANIST_LOG, $TANIST_URL, the log of ./tanist.toml, ./tanist.db.

A running engine leaves its address beside its log, in `LOG.engine.json`, and its token in
`tanist.token`; so a command finds it by the log alone.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from engine.core.errors import ConfigurationError

if TYPE_CHECKING:
    from engine.log.keyring import Keyring
    from engine.log.sqlite import SqliteLog

CONFIGURATION: Final = "tanist.toml"
LOG: Final = "tanist.db"
TOKEN: Final = "tanist.token"  # noqa: S105 - the name of the file
_TOKEN: Final = re.compile(r"[!-~]+")


class Engine(msgspec.Struct, frozen=True, kw_only=True):
    """Where a running engine is: what it writes beside its log."""

    url: str
    pid: int


def split(words: Sequence[str | None], log: str | None, *, most: int) -> tuple[str, list[str]]:
    """Return the LOG and the words that are left, of which there are at most `most`.

    Raises:
        ConfigurationError: There is a word too many.
    """
    rest = [word for word in words if word is not None]
    if log is None and rest and (len(rest) > most or _looks_like_log(rest[0])):
        log = rest.pop(0)
    if len(rest) > most:
        raise ConfigurationError([f"expected {most} words besides the log, found {len(rest)}"])
    return resolve(log), rest


def resolve(log: str | None) -> str:
    """Return where the log is: a path or an URL; a configuration stands for its log.

    Raises:
        ConfigurationError: It is the address of an engine, and none that can be asked.
    """
    if log is None:
        for name in ("TANIST_LOG", "TANIST_URL"):
            if os.environ.get(name):
                return checked(os.environ[name])
        log = CONFIGURATION if Path(CONFIGURATION).is_file() else LOG
    checked(log)
    if log.endswith(".toml") and Path(log).is_file():
        from engine.config import load

        return log_of(load(log).log, configuration=log)
    return log


def log_of(log: str, *, configuration: str) -> str:
    """Return the log that a configuration names; a relative path starts where its file lies."""
    if "://" in log:
        return log
    return str(Path(configuration).parent / log)


def is_address(log: str) -> bool:
    """Return whether `log` is the address of a running engine."""
    return log.startswith(("http://", "https://"))


def checked(log: str) -> str:
    """Return `log`; an address of an engine has to be one that can be asked.

    Raises:
        ConfigurationError: It is none, or holds a password, which would be in every message.
    """
    if not is_address(log):
        return log
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(log)
        is_whole = parts.port != 0 and bool(re.fullmatch(r"[!-~]+", parts.hostname or ""))
    except ValueError:
        is_whole = False
    may_hold_secret = re.search(r"[@?#\s]", log) is not None
    if not is_whole or may_hold_secret:
        scheme = log.partition("://")[0]
        found = "another text" if may_hold_secret else repr(log)
        raise ConfigurationError(
            [f"expected the address of an engine as in {scheme}://HOST:PORT, found {found}"]
        )
    return log


def open_for_reading(log: str, *, keys: "Keyring | None" = None) -> "SqliteLog":
    """Return the log at `log`, open for reading; `keys` open its sealed bodies.

    Raises:
        LogError: There is none, or it is none of ours.
        ConfigurationError: It is the address of an engine, and this question needs the log itself.
    """
    from engine.log import open_log

    if is_address(log):
        raise ConfigurationError(
            [f"this command reads the log itself, and {log} is an engine: name its log with --log"]
        )
    return open_log(log, keys=keys)


def running(log: str) -> Engine | None:
    """Return the engine that runs the log at `log`; None if none is known to."""
    if is_address(log):
        return Engine(url=log.rstrip("/"), pid=0)
    path = _path(log)
    try:
        found = msgspec.json.decode(Path(f"{path}.engine.json").read_bytes(), type=Engine)
    except (OSError, msgspec.DecodeError):
        return None
    if not _is_alive(found.pid):
        return None
    from engine.log.lock import is_free

    # Somebody else may have its number by now, as in every container that was started again.
    return None if is_free(path) else found


def token(log: str) -> str:
    """Return the token that commands to the engine of this log need; "" if none is known.

    Raises:
        ConfigurationError: $TANIST_TOKEN holds none; what it holds is not shown.
    """
    given = os.environ.get("TANIST_TOKEN", "").strip()
    if given:
        # It becomes a field of a request: what is no such text would be shown by who refuses it.
        if not _TOKEN.fullmatch(given):
            raise ConfigurationError(
                ["TANIST_TOKEN: expected printable ASCII without spaces, found another text"]
            )
        return given
    beside = Path() if is_address(log) else _parent(log)
    try:
        found = (beside / TOKEN).read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""
    # The engine itself refuses to start with another file.
    return found if _TOKEN.fullmatch(found) else ""


def _parent(log: str) -> Path:
    return _path(log).parent


def _path(log: str) -> Path:
    """Return the path of the log; a plain one without loading what reads URLs, which takes time."""
    if "://" not in log:
        return Path(os.path.realpath(log))
    from engine.log.place import log_path

    return log_path(log)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True  # it is somebody else's, and it runs
    except (OSError, OverflowError):
        return False
    return pid > 0


def _looks_like_log(word: str) -> bool:
    path = Path(word)
    return "://" in word or (path.exists() and not path.is_dir())
