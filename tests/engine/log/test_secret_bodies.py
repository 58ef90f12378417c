"""Bodies in the file of a log that are sealed, beside those that are not."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.core.errors import LogError
from engine.log.connection import driver_connect
from engine.log.copying import back_up, copy
from engine.log.keyring import Keyring, crc_of, key_id
from engine.log.sqlite import SqliteLog, open_log
from engine.log.upgrading import upgrade
from tests.engine.log.events import message

OLD, NEW = bytes(range(32)), bytes(range(32, 64))
BODY = b"a body that nobody else shall read"
DIGEST = hashlib.sha256(BODY).digest()
SEALED, PLAIN = "secret_bodies", "bodies"


def quiet(done: int, total: int) -> None:
    """Report nothing."""


def accept(path: Path, *keys: bytes, body: bytes = BODY) -> None:
    ring = Keyring(keys) if keys else None
    with open_log(path, mode="write", create=True, keys=ring) as log:
        event, bodies = message(log.head.seq + 1, body)
        log.append([event], bodies=bodies)


def body(path: Path, *keys: bytes) -> bytes | None:
    with open_log(path, keys=Keyring(keys) if keys else None) as log:
        return log.body(DIGEST)


def ask(path: Path, statement: str) -> list[tuple[object, ...]]:
    connection = driver_connect(path.as_uri())
    found: list[tuple[object, ...]] = connection.execute(statement).fetchall()
    connection.commit()
    connection.close()
    return found


def where(path: Path) -> list[str]:
    return [name for name in (PLAIN, SEALED) if ask(path, f"SELECT 1 FROM {name}")]


def files(path: Path) -> bytes:
    return b"".join(each.read_bytes() for each in path.parent.glob(f"{path.name}*"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


def test_a_sealed_body_is_read_with_its_key_and_lies_nowhere_in_the_files(path: Path) -> None:
    with open_log(path, mode="write", create=True, keys=Keyring([NEW])) as log:
        event, bodies = message(1, BODY)
        log.append([event], bodies=bodies)
        assert log.body(DIGEST) == BODY
        assert BODY not in files(path)
    assert BODY not in files(path)
    assert body(path, OLD, NEW) == BODY
    assert where(path) == [SEALED]
    assert ask(path, "SELECT digest, size, key_id FROM secret_bodies") == [
        (DIGEST, len(BODY), key_id(NEW))
    ]


@pytest.mark.parametrize("keys", [(), (OLD,)])
def test_without_its_key_the_key_that_is_lacking_is_named(
    path: Path, keys: tuple[bytes, ...]
) -> None:
    accept(path, NEW)
    with pytest.raises(LogError, match=f"sealed with the key {key_id(NEW).hex()}, which is not"):
        body(path, *keys)
    with open_log(path, keys=Keyring(keys) if keys else None) as log:
        assert log.keys_lacking([DIGEST, bytes(32)]) == {key_id(NEW)}
        (stored,) = log.stored_bodies()
        assert (stored.problem, stored.is_sealed, stored.is_read) == ("", True, False)
        assert log.removable([DIGEST], upto=1) == {DIGEST: len(BODY)}
    with open_log(path, keys=Keyring([NEW])) as log:
        assert log.keys_lacking([DIGEST]) == set()


@pytest.mark.parametrize(
    ("first", "then", "tables", "reads"),
    [
        ((), (NEW,), [SEALED], (NEW,)),  # a sealed one takes the place of a plain one
        ((NEW,), (NEW,), [SEALED], (NEW,)),
        ((OLD,), (NEW, OLD), [SEALED], (OLD,)),  # it could be read, so it stays
        ((OLD,), (NEW,), [SEALED], (NEW,)),  # nobody here could read it
        ((NEW,), (), [PLAIN, SEALED], ()),  # likewise
    ],
)
def test_who_accepts_a_body_can_read_it(
    path: Path,
    first: tuple[bytes, ...],
    then: tuple[bytes, ...],
    tables: list[str],
    reads: tuple[bytes, ...],
) -> None:
    accept(path, *first)
    accept(path, *then)
    assert where(path) == tables
    assert body(path, *then) == body(path, *reads) == BODY
    with open_log(path) as log:
        assert not log.removable([DIGEST], upto=1)


def test_a_plain_body_that_is_sealed_later_lies_nowhere_in_the_file(path: Path) -> None:
    for number in range(40):  # beside others, so that its page stays one
        accept(path, body=b"another %d" % number)
    accept(path)
    assert BODY in files(path)
    accept(path, NEW)
    assert BODY not in files(path)
    assert len(ask(path, "SELECT 1 FROM bodies")) == 40


@pytest.mark.parametrize("way", [back_up, copy])
def test_copies_carry_sealed_bodies_without_a_key(path: Path, way: Callable[..., object]) -> None:
    accept(path, NEW)
    accept(path, NEW)
    other = path.with_name("other.db")
    more = {"release": "1"} if way is copy else {}
    with open_log(path) as log:
        way(log, other, progress=quiet, **more)
    rows = "SELECT * FROM secret_bodies", "SELECT * FROM renewed_bodies"
    assert [ask(other, each) for each in rows] == [ask(path, each) for each in rows]
    assert body(other, NEW) == BODY


def test_a_log_of_format_1_takes_no_sealed_bodies_until_it_is_upgraded(path: Path) -> None:
    with SqliteLog(path, mode="write", create=True, release="1", version=1) as log:
        log.append([], bodies={DIGEST: BODY})
    with pytest.raises(LogError, match=r"format 1, which has no place for sealed bodies.*upgrade"):
        accept(path, NEW)
    with open_log(path, keys=Keyring([NEW])) as log:
        assert log.body(DIGEST) == BODY
        assert log.body(bytes(32)) is None
        assert [stored.is_sealed for stored in log.stored_bodies()] == [False]
    assert upgrade(path, progress=quiet) is not None
    with open_log(path, mode="write", keys=Keyring([NEW])) as log:
        log.append([], bodies={DIGEST: BODY})
    assert where(path) == [SEALED]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("body = zeroblob(20)", "its bytes are not those that were stored"),
        ("size = 3", "its bytes are not those that were stored"),
        ("digest = zeroblob(32)", "its bytes are not those that were stored"),
        ("nonce = zeroblob(12)", "its bytes are not those that were stored"),
        ("crc = crc + 1", "its bytes are not those that were stored"),
    ],
)
@pytest.mark.parametrize("keys", [(), (NEW,)])
def test_damage_to_a_sealed_body_shows_with_its_key_and_without(
    path: Path, change: str, problem: str, keys: tuple[bytes, ...]
) -> None:
    accept(path, NEW)
    ask(path, f"UPDATE secret_bodies SET {change}")
    with open_log(path, keys=Keyring(keys) if keys else None) as log:
        (stored,) = log.stored_bodies()
    assert problem in stored.problem


def test_a_sealed_body_with_a_fitting_crc_still_has_to_be_the_one_of_its_digest(
    path: Path,
) -> None:
    accept(path, NEW)
    forged = Keyring([NEW]).seal(DIGEST, b"another body")
    cheated = (*Keyring([OLD]).seal(DIGEST, BODY)[:2], key_id(NEW))
    connection = driver_connect(path.as_uri())
    connection.execute("DELETE FROM secret_bodies")
    connection.execute("INSERT INTO secret_bodies VALUES (?, ?, ?, ?, ?, ?)", forged)
    connection.commit()
    with open_log(path, keys=Keyring([NEW])) as log:
        (stored,) = log.stored_bodies()
        assert stored.problem == "it has another digest"
        with pytest.raises(LogError, match="is damaged"):
            log.body(DIGEST)
    connection.execute("DELETE FROM secret_bodies")
    nonce, sealed = forged[3], forged[4][:-1]
    row = (*cheated, nonce, sealed, crc_of(*cheated, nonce, sealed))
    connection.execute("INSERT INTO secret_bodies VALUES (?, ?, ?, ?, ?, ?)", row)
    connection.commit()
    connection.close()
    with open_log(path, keys=Keyring([NEW])) as log:
        (stored,) = log.stored_bodies()
        assert stored.problem == "it does not open with its key"
