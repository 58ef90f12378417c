"""The kept state of a group, and its digest: all of it moves, or none.

    digest = SHA-256 over the keys in order: u32 length, key in UTF-8, SHA-256 of the blob

Sender and receiver form the same sum; the receiver's is in the outcome of the transfer.
"""

import hashlib
from collections.abc import Mapping


def kept_digest(kept: Mapping[str, bytes]) -> str:
    """Return the digest of blobs given by key as their SHA-256 (32 bytes each), in hex."""
    total = hashlib.sha256()
    for key in sorted(kept):
        name = key.encode()
        total.update(len(name).to_bytes(4, "little") + name + kept[key])
    return total.hexdigest()
