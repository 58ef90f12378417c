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

from engine.config.tables import Unfit
from engine.core.errors import ConfigurationError
from engine.core.policy import Secret as Secret

KEY_BYTES: Final = 32
FILE_BYTES_MAX: Final = 4_096  # no key is as long [bytes]
KEYS_MAX: Final = 16  # in a list [count]
_URL_SAFE: Final = str.maketrans("-_", "+/")
_SHAPE: Final = f"{KEY_BYTES} bytes as hex or base64"


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
            found.append(_key(_bytes(place, Path(source).parent)))
        except ValueError as err:
            mistakes.append(f"{source}: {name}: expected {_SHAPE} in {place}, found {err}")
    if mistakes:
        raise ConfigurationError(mistakes)
    return tuple(found)


def password(place: Secret, *, name: str, source: str) -> str:
    """Return the password that lies at `place`; the line that it is in a file ends with.

    Args:
        place: Where it is; a relative path starts where the configuration lies.
        name: The dotted key of the configuration.
        source: Its file.

    Raises:
        ConfigurationError: It is not there.
    """
    try:
        found = _bytes(place, Path(source).parent).decode()
    except UnicodeDecodeError as err:
        wrong = f"the byte 0x{err.object[err.start]:02x}, which is no UTF-8"
        raise _no_password(place, name, source, wrong) from err
    except ValueError as err:
        raise _no_password(place, name, source, str(err)) from err
    found = found if place.env else found.removesuffix("\n").removesuffix("\r")
    if not found:
        raise _no_password(place, name, source, "none")
    return found


def _no_password(place: Secret, name: str, source: str, found: str) -> ConfigurationError:
    return ConfigurationError([f"{source}: {name}: expected a password in {place}, found {found}"])


def _bytes(place: Secret, directory: Path) -> bytes:
    """Return what lies there; ValueError says what is wrong."""
    if place.env:
        text = os.environ.get(place.env)
        if not text:
            raise ValueError("no such variable" if text is None else "nothing")
        return os.fsencode(text)
    try:
        with (directory / place.file).open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
    except OSError as err:
        raise ValueError((err.strerror or "no file").lower()) from err
    if len(content) > FILE_BYTES_MAX:
        raise ValueError("a file that is too long")
    return content


def _key(content: bytes) -> bytes:
    """Return the key that `content` spells; ValueError says what it is instead."""
    text = content.decode("ascii", errors="replace").strip()
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
