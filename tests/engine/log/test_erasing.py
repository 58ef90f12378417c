"""What somebody asked to remove lies nowhere in the files of the log any more."""

import random
from pathlib import Path

import pytest

from engine.log.connection import driver_connect
from engine.log.keyring import Keyring
from engine.log.purging import erased
from engine.log.sqlite import open_log
from tests.contracts.test_bodies import digest_of, removed
from tests.engine.log.events import message, probe

KEY = bytes(range(32))
LARGE = b"begin " + bytes(range(256)) * 100 + b" end"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


def files(path: Path) -> bytes:
    return b"".join(each.read_bytes() for each in path.parent.glob(f"{path.name}*"))


@pytest.mark.parametrize("body", [b"a small body", LARGE], ids=["small", "large"])
def test_a_purged_body_is_gone_from_the_file_and_from_the_write_ahead_log(
    path: Path, body: bytes
) -> None:
    with open_log(path, mode="write", create=True) as log:
        event, bodies = message(1, body)
        log.append([event], bodies=bodies)
        assert body[:12] in files(path)
        log.append([removed(2, body, author="ann")])
        assert body[:12] in files(path)  # in the write-ahead log
        assert log.erase()
        for part in (body[:12], body[-12:], body[len(body) // 2 :][:12]):
            assert part not in files(path)


@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_left_where_the_database_moved_a_row_either(path: Path, seed: int) -> None:
    # A generator of its own, for a test that is to fail the same way again.
    chance = random.Random(seed)
    bodies = [
        b"body %06d " % n + chance.randbytes(chance.choice((5, 300, 900))) for n in range(600)
    ]
    with open_log(path, mode="write", create=True) as log:
        for at in range(0, 600, 20):
            events = [
                message(log.head.seq + 1 + n, body)[0]
                for n, body in enumerate(bodies[at : at + 20])
            ]
            log.append(events, bodies={digest_of(body): body for body in bodies[at : at + 20]})
        chance.shuffle(bodies)
        for at in range(0, 500, 25):
            log.append([removed(log.head.seq + 1, *bodies[at : at + 25])])
        for at in range(500, 600, 4):
            log.append([removed(log.head.seq + 1, *bodies[at : at + 4], author="ann")])
            assert log.erase()
            assert not [body for body in bodies[at : at + 4] if body[:12] in files(path)]


def test_tables_that_were_written_anew_hold_what_they_held(path: Path) -> None:
    bodies = [b"body %d" % number for number in range(50)]
    for keys in (None, Keyring([KEY])):
        with open_log(path, mode="write", create=True, keys=keys) as log:
            for body in bodies[:25] if keys is None else bodies[25:]:
                event, stored = message(log.head.seq + 1, body)
                log.append([event], bodies=stored)
    rows = "SELECT rowid, * FROM bodies", "SELECT rowid, * FROM secret_bodies"
    schema = "SELECT name, sql FROM sqlite_master WHERE tbl_name LIKE '%bodies' ORDER BY name"
    connection = driver_connect(path.as_uri())
    before = [connection.execute(each).fetchall() for each in (*rows, schema)]
    with open_log(path, mode="write", keys=Keyring([KEY])) as log:
        log._erasure.write_anew(log._writer, has_sealed=True)  # type: ignore[arg-type]
        for body in bodies:
            assert log.body(digest_of(body)) == body
        log.append([removed(51, bodies[0]), probe(52)])
        assert log.body(digest_of(bodies[0])) is None
    after = [connection.execute(each).fetchall() for each in (*rows, schema)]
    connection.close()
    assert after[0] == before[0][1:]
    assert after[1] == before[1]
    assert [name for name, _ in after[2]] == [name for name, _ in before[2]]


def test_while_somebody_reads_it_is_not_done_and_nobody_waits_for_it(path: Path) -> None:
    body = b"a small body"
    with open_log(path, mode="write", create=True) as log:
        event, bodies = message(1, body)
        log.append([event], bodies=bodies)
        reader = driver_connect(path.as_uri())
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM events").fetchall()
        log.append([removed(2, body, author="ann")])
        assert not log.erase()
        assert not erased(log, tries=2)
        log.append([probe(3)])  # and the log is as good as before
        reader.close()
        assert erased(log)
        assert body not in files(path)


def test_a_write_ahead_log_that_was_left_behind_is_emptied_once(path: Path) -> None:
    body = b"a small body"
    with open_log(path, mode="write", create=True) as log:
        event, bodies = message(1, body)
        log.append([event], bodies=bodies)
        log.append([removed(2, body, author="ann")])
        left = {each.name: each.read_bytes() for each in path.parent.iterdir()}
    for name, content in left.items():  # as a crash before the end would have left them
        (path.parent / name).write_bytes(content)
    assert body in files(path)
    with open_log(path, mode="write") as log:
        assert body in files(path)
        assert log.erase()
        assert body not in files(path)
