"""Keys: what is sealed opens with its key, for its digest, unchanged; and else not at all."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.log.keyring import KeyMissing, Keyring, crc_of, key_id

OLD, NEW = bytes(range(32)), bytes(range(32, 64))
BODY = b"four eyes only"
DIGEST = hashlib.sha256(BODY).digest()


@given(st.binary(max_size=2_000))
def test_what_was_sealed_opens_as_it_was(body: bytes) -> None:
    keys = Keyring([NEW])
    digest = hashlib.sha256(body).digest()
    stored = keys.seal(digest, body)
    assert (stored[0], stored[1], stored[2]) == (digest, len(body), key_id(NEW))
    assert len(body) < 8 or body not in stored[4]
    assert stored[5] == crc_of(*stored[:5])
    assert keys.open(stored) == body


def test_the_first_key_seals_and_every_one_opens() -> None:
    sealed_before = Keyring([OLD]).seal(DIGEST, BODY)
    keys = Keyring([NEW, OLD])
    assert keys.open(sealed_before) == BODY
    sealed = keys.seal(DIGEST, BODY)
    assert Keyring([NEW]).open(sealed) == BODY
    with pytest.raises(KeyMissing) as missing:
        Keyring([OLD]).open(sealed)
    assert missing.value.key_id == hashlib.sha256(NEW).digest()[:8]


def test_the_same_body_is_never_sealed_alike() -> None:
    keys = Keyring([NEW])
    sealed = {keys.seal(DIGEST, BODY)[3:5] for _ in range(50)}
    assert len({nonce for nonce, _ in sealed}) == len({body for _, body in sealed}) == 50


def test_no_bit_can_be_changed() -> None:
    keys = Keyring([NEW])
    digest, size, named, nonce, body, crc = keys.seal(DIGEST, BODY)
    for index in range(8 * len(body)):
        changed = bytearray(body)
        changed[index // 8] ^= 1 << index % 8
        assert keys.open((digest, size, named, nonce, bytes(changed), crc)) is None
    other = hashlib.sha256(b"another").digest()
    assert keys.open((other, size, named, nonce, body, crc)) is None
    assert keys.open((digest, size, named, b"", body, crc)) is None
