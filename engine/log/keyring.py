"""The keys that bodies are sealed with: the first one seals, every one of them opens.

AES-256-GCM with a random nonce for each body, and the body's digest as associated data, so that
what was sealed for one digest opens for no other. A nonce of 96 random bits may repeat one day:
take another key long before 2**32 bodies were sealed with one.

The digest that events carry is that of the plain body. Somebody who can guess a short body can
confirm it by that; whoever has only the log learns its size, and which bodies are the same.
"""

import hashlib
import os
import zlib
from collections.abc import Sequence
from typing import Final, TypeAlias

KEY_BYTES: Final = 32
ID_BYTES: Final = 8
NONCE_BYTES: Final = 12

# digest, size of the plain body, key id, nonce, sealed body, crc of all these: as it is stored.
Sealed: TypeAlias = tuple[bytes, int, bytes, bytes, bytes, int]


class KeyMissing(Exception):
    """The key with this id is not there; nobody outside the log sees this."""

    def __init__(self, key_id: bytes) -> None:
        super().__init__(key_id.hex())
        self.key_id = key_id


def key_id(key: bytes) -> bytes:
    """Return what a key is called: the first 8 bytes of its SHA-256."""
    return hashlib.sha256(key).digest()[:ID_BYTES]


def crc_of(digest: bytes, size: int, named: bytes, nonce: bytes, sealed: bytes) -> int:
    """Return the CRC-32 of a sealed body with all that lies beside it.

    So that damage shows without the key, too.
    """
    return zlib.crc32(b"".join((digest, size.to_bytes(8, "little"), named, nonce, sealed)))


class Keyring:
    """The keys of one log."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        """Take keys of 32 bytes each, of which there is at least one."""
        # Loaded here, for most who read a log have no key, and need not wait for it.
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        assert keys
        assert all(len(key) == KEY_BYTES for key in keys)
        self._ciphers: Final = {key_id(key): AESGCM(key) for key in keys}
        self._sealing: Final = key_id(keys[0])

    @property
    def ids(self) -> frozenset[bytes]:
        """Return the ids of all keys."""
        return frozenset(self._ciphers)

    def seal(self, digest: bytes, body: bytes) -> Sealed:
        """Return a body as it is stored."""
        nonce = os.urandom(NONCE_BYTES)
        sealed = self._ciphers[self._sealing].encrypt(nonce, body, digest)
        crc = crc_of(digest, len(body), self._sealing, nonce, sealed)
        return digest, len(body), self._sealing, nonce, sealed, crc

    def open(self, stored: Sealed) -> bytes | None:
        """Return the body; None if it is not what was sealed.

        Raises:
            KeyMissing: It was sealed with a key that is not here.
        """
        from cryptography.exceptions import InvalidTag

        digest, _, named, nonce, sealed, _ = stored
        cipher = self._ciphers.get(named)
        if cipher is None:
            raise KeyMissing(named)
        try:
            return cipher.decrypt(nonce, sealed, digest)
        except (InvalidTag, ValueError):  # the latter of a nonce that is too short for any
            return None
