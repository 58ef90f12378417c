"""Sealed blocks: their bytes, and the damage that is found in them."""

import random
import struct
import zlib
from pathlib import Path

import msgspec
import pytest

from engine.core.errors import LogCorrupted, LogError, LogTooNew
from engine.core.events import KINDS, Recorded
from engine.log import open_log
from engine.log.blocks import Block, may_have, seal_rows
from engine.log.chain import ZERO, link
from engine.log.codec import encode_rows
from engine.log.connection import Connection, driver_connect
from engine.log.protocol import Head, Row
from engine.log.sqlite import SqliteLog
from engine.log.verify import Verification, verify
from tests.engine.log.events import failed, probes

LAST = 3_100


def events() -> list[Recorded]:
    return [*probes(1, 1_699), failed(1_700, 1_698, 1_699), *probes(1_701, LAST)]


def rows() -> list[Row]:
    return encode_rows(events()[:1_000], head=Head(), crc=0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "log.db"
    with open_log(path, mode="write", create=True) as log:
        log.append(events())
        assert log.seal(blocks_max=9) == 3
    return path


def verified(path: Path) -> Verification:
    with open_log(path) as log:
        return verify(log)


def change(path: Path, statement: str, *values: object) -> None:
    connection = driver_connect(path.as_uri())
    assert connection.execute(statement, values).rowcount != 0
    connection.commit()
    connection.close()


def test_a_block_is_what_its_description_says() -> None:
    stored = seal_rows(rows(), chain=ZERO, crc=0)
    first, last_at_us, last_crc, chain, packed, payloads = stored
    assert (first, last_at_us, last_crc) == (1, rows()[-1][1], rows()[-1][6])
    assert chain == link(ZERO, rows())
    columns = zlib.decompress(packed)
    (length,) = struct.unpack_from("<I", columns)
    kinds, subjects = msgspec.msgpack.decode(columns[4 : 4 + length])
    at = 4 + length
    times = struct.unpack_from("<1000q", columns, at)
    kind_of = columns[at + 8_000 : at + 9_000]
    subject_of = struct.unpack_from("<1000H", columns, at + 9_000)
    causes = struct.unpack_from("<1000q", columns, at + 11_000)
    sizes = struct.unpack_from("<1000I", columns, at + 19_000)
    assert at + 23_000 == len(columns)
    data, found, at_us, place = zlib.decompress(payloads), [], 0, 0
    for index in range(1_000):  # one kind only, so the payloads are in order
        at_us += times[index]
        payload = data[place : place + sizes[index]]
        place += sizes[index]
        found.append((
            1 + index, at_us, kinds[kind_of[index]], subjects[subject_of[index]], causes[index],
            payload,
        ))  # fmt: skip
    assert found == [row[:6] for row in rows()]


def test_damage_is_never_sealed() -> None:
    bad = rows()
    bad[500] = (*bad[500][:3], "other", *bad[500][4:])
    with pytest.raises(LogCorrupted) as caught:
        seal_rows(bad, chain=ZERO, crc=0)
    assert caught.value.seq == 501


def test_a_damaged_row_stays_a_row_and_is_named(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    with open_log(path, mode="write", create=True) as log:
        log.append(events())
    change(path, "UPDATE events SET subject = 'other' WHERE seq = 1501")
    with open_log(path, mode="write") as log:
        with pytest.raises(LogCorrupted):
            log.seal(blocks_max=9)
        assert [seal.seq for seal in log.seals()] == [1_000]
    assert verified(path).first_bad == 1_501


def test_a_kind_of_a_newer_release_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = seal_rows(rows(), chain=ZERO, crc=0)
    block = Block(stored)
    block.codes = (max(KINDS) + 1,)
    with pytest.raises(LogTooNew, match="event 1"):
        block.events()


@pytest.mark.parametrize("column", ["chain", "columns", "payloads"])
def test_one_flipped_bit_anywhere_in_a_block_is_named_by_its_first_event(
    path: Path, column: str
) -> None:
    rng = random.Random(column)
    connection = driver_connect(path.as_uri())
    ((whole,),) = connection.execute(f"SELECT {column} FROM blocks WHERE first = 1001").fetchall()
    connection.close()
    for _ in range(40):
        flipped = bytearray(whole)
        flipped[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
        change(path, f"UPDATE blocks SET {column} = ? WHERE first = 1001", bytes(flipped))
        found = verified(path)
        assert not found.ok
        assert found.first_bad == 1_001
    change(path, f"UPDATE blocks SET {column} = ? WHERE first = 1001", whole)
    assert verified(path).ok


@pytest.mark.parametrize("first", [1, 1_001, 2_001])
@pytest.mark.parametrize("column", ["last_at_us", "last_crc"])
def test_a_number_beside_a_block_that_was_changed_is_named(
    path: Path, column: str, first: int
) -> None:
    for bit in (0, 7, 30):
        change(
            path,
            f"UPDATE blocks SET {column} = ({column} | ?1) - ({column} & ?1) WHERE first = ?2",
            1 << bit, first,
        )  # fmt: skip
        found = verified(path)
        assert not found.ok
        assert found.first_bad == first
        change(
            path,
            f"UPDATE blocks SET {column} = ({column} | ?1) - ({column} & ?1) WHERE first = ?2",
            1 << bit, first,
        )  # fmt: skip
    assert verified(path).ok


def test_a_block_that_is_gone_is_named_by_its_first_event(path: Path) -> None:
    change(path, "DELETE FROM blocks WHERE first = 1001")
    assert verified(path).first_bad == 1_001


def test_a_log_of_the_first_format_is_not_sealed(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    with SqliteLog(path, mode="write", create=True, version=1) as log:
        log.append(events())
        with pytest.raises(LogError, match="format 1"):
            log.seal()
        assert log.seals() == []
        assert list(log.blocks()) == []
        assert list(log.read()) == events()


def test_sealing_makes_a_log_smaller(path: Path, tmp_path: Path) -> None:
    empty, hot = tmp_path / "empty.db", tmp_path / "hot.db"
    open_log(empty, mode="write", create=True).close()
    with open_log(hot, mode="write", create=True) as log:
        log.append(events())
    with open_log(path, mode="write") as log:
        log.give_back()
    taken, before = (each.stat().st_size - empty.stat().st_size for each in (path, hot))
    assert taken < before / 2


def test_a_reader_of_sealed_blocks_does_not_try_the_hot_rows_for_each_of_them(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    real = Connection.fetch

    def fetch(connection: Connection, statement: str, *arguments: object) -> object:
        asked.append(statement)
        return real(connection, statement, *arguments)  # type: ignore[arg-type]

    with open_log(path) as log:
        monkeypatch.setattr(Connection, "fetch", fetch)
        assert list(log.read()) == events()
    rows = [
        statement for statement in asked if "FROM events" in statement and "LIMIT ?" in statement
    ]
    assert len(rows) == 2  # at the beginning, where nothing was known yet, and at the end


def test_what_kinds_a_block_has_is_known_before_it_is_opened() -> None:
    stored = seal_rows(rows(), chain=ZERO, crc=0)
    (code,) = Block(stored).codes
    assert may_have(stored, {code, 250})
    assert not may_have(stored, {250})
    assert may_have(stored, frozenset())
    for damaged in (b"", b"no zlib", zlib.compress(b"abc"), zlib.compress(b"\x02\0\0\0\xc1\xc1")):
        assert may_have((*stored[:4], damaged, stored[5]), {250})
