"""Secrets: a configuration says where one is, never what it is.

    bodies_key = { env = "TANIST_BODIES_KEY" }
    bodies_key = [{ file = "keys/new" }, { file = "keys/old" }]

They are read when they are needed and not before, so that a configuration can be looked at where
they are not.
"""

import base64
import binascii
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from engine.config.tables import Unfit
from engine.core.errors import ConfigurationError

KEY_BYTES: Final = 32
FILE_BYTES_MAX: Final = 4_096  # no key is as long [bytes]
KEYS_MAX: Final = 16  # in a list [count]
_URL_SAFE: Final = str.maketrans("-_", "+/")
_SHAPE: Final = f"{KEY_BYTES} bytes as hex or base64"


class Secret(msgspec.Struct, frozen=True, kw_only=True):
    """Where a secret is: in a variable of the environment, or in a file; the other one is ""."""

    env: str = ""
    file: str = ""

    def __str__(self) -> str:
        return f"${self.env}" if self.env else self.file


NO_SECRETS: Final[tuple[Secret, ...]] = ()


def secret(value: object) -> Secret:
    """Return where a secret is; one that is written out is no place."""
    if isinstance(value, dict) and len(value) == 1:
        ((how, where),) = value.items()
        is_text = isinstance(where, str) and where.strip() and where.isprintable()
        if how == "env" and is_text and "=" not in where:
            return Secret(env=where)
        if how == "file" and is_text:
            return Secret(file=where)
    raise Unfit(
        "a place of a secret, never the secret itself",
        'write { env = "NAME" } or { file = "PATH" }',
    )


def secrets(value: object) -> tuple[Secret, ...]:
    """Return where one secret or several are."""
    if not isinstance(value, list):
        return (secret(value),)
    if not 1 <= len(value) <= KEYS_MAX:
        raise Unfit(f"from 1 to {KEYS_MAX} places of secrets", "the first one is the one in use")
    return tuple(map(secret, value))


def keys(places: Iterable[Secret], *, name: str, source: str) -> tuple[bytes, ...]:
    """Return the keys that lie at `places`, of 32 bytes each.

    Args:
        places: Where they are; a relative path starts where the configuration lies.
        name: The dotted key of the configuration.
        source: Its file.

    Raises:
        ConfigurationError: One is not there, or is no key; every one is named, and none is shown.
    """
    found, mistakes = [], []
    for place in places:
        try:
            found.append(_key(_text(place, Path(source).parent)))
        except ValueError as err:
            mistakes.append(f"{source}: {name}: expected {_SHAPE} in {place}, found {err}")
    if mistakes:
        raise ConfigurationError(mistakes)
    return tuple(found)


def _text(place: Secret, directory: Path) -> str:
    """Return what lies there; ValueError says what is wrong."""
    if place.env:
        text = os.environ.get(place.env)
        if not text:
            raise ValueError("no such variable" if text is None else "nothing")
        return text
    try:
        with (directory / place.file).open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
    except OSError as err:
        raise ValueError((err.strerror or "no file").lower()) from err
    if len(content) > FILE_BYTES_MAX:
        raise ValueError("a file that is too long")
    return content.decode("ascii", errors="replace")


def _key(text: str) -> bytes:
    """Return the key that `text` spells; ValueError says what it is instead."""
    text = text.strip()
    try:
        key = bytes.fromhex(text)
    except ValueError:
        try:
            key = base64.b64decode(text.translate(_URL_SAFE), validate=True)
        except (binascii.Error, ValueError):
            raise ValueError("neither") from None
    if len(key) != KEY_BYTES:
        raise ValueError(f"{len(key)} bytes")
    return key
