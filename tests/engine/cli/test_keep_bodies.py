"""`purge`, and what `verify` says of bodies: which are there, which went, what is not right."""

import contextlib
import getpass
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.core import events as ev
from engine.log import open_log
from engine.log.connection import driver_connect
from engine.log.keyring import Keyring
from engine.runtime.clock import Clock
from tests.contracts.test_bodies import digest_of
from tests.engine.cli.shell import COMMAND, answer, complaint, environment, kinds, tanist
from tests.engine.log.messaging import GROUP, Messaging

KEY = bytes(range(32))
TOML = """\
[engine]
log = "x.db"
listen = "127.0.0.1:0"
preset = "bench"
[log]
{}
[groups.g]
mode = "active-active"
automation = "auto"
[[groups.g.masters]]
id = "a"
address = "http://a:1"
"""


def told(path: Path, *keys: bytes) -> dict[str, int]:
    """Make a log of messages that are done, and one that is open; return where each was taken."""
    seqs = {}
    keyring = Keyring(keys) if keys else None
    with open_log(path, mode="write", create=True, keys=keyring) as log:
        story = Messaging(log, at_us=Clock().at_us())  # so young that nothing goes by its age
        for key in ("done", "other"):
            seqs[key] = story.accept(key, key.encode())
            story.done(key, total=b"after " + key.encode())
        seqs["open"] = story.accept("open", b"open")
    return seqs


@pytest.fixture
def log(tmp_path: Path) -> Path:
    told(tmp_path / "x.db")
    return tmp_path / "x.db"


def change(path: Path, statement: str, *values: object) -> None:
    connection = driver_connect(path.as_uri())
    assert connection.execute(statement, values).rowcount != 0
    connection.commit()
    connection.close()


def verified(path: Path, *words: str, code: int = 0) -> dict[str, Any]:
    done = tanist("verify", path.name, "--json", *words, cwd=path.parent)
    assert (done.returncode, done.stderr) == (code, "")
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["ok"] is (code == 0)
    assert found["first_bad"] is None
    return found


def everything(directory: Path) -> bytes:
    return b"".join(each.read_bytes() for each in directory.iterdir())


# Purging.


def test_a_purge_of_a_log_at_rest_is_an_event_and_the_bytes_are_gone(log: Path) -> None:
    assert b"other" in everything(log.parent)
    with open_log(log) as opened:
        body = opened.body(digest_of(b"other"))
    found = answer("purge", "x.db", "--key", "other", "--reason", "asked to", cwd=log.parent)
    assert (found["command"], found["accepted"], found["at_rest"]) == ("purge", True, True)
    with open_log(log) as opened:
        (recorded,) = opened.read(found["seq"] - 1)
        event = recorded.event
        assert isinstance(event, ev.BodiesRemoved)
        assert (event.author, event.why, event.at_rest) == (
            getpass.getuser(),
            "purge of other: asked to",
            True,
        )
        assert event.digests == (digest_of(b"other"),)
        assert opened.body(digest_of(b"other")) is None
        assert body == b"other"


def test_a_purge_of_a_long_body_leaves_nothing_of_it(tmp_path: Path) -> None:
    path, secret = tmp_path / "x.db", os.urandom(5_000)
    with open_log(path, mode="write", create=True) as log:
        Messaging(log).through("k", secret)
    assert secret[:500] in everything(tmp_path)
    done = tanist("purge", "--key", "k", "--group", GROUP, "x.db", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "purge: accepted, event " in done.stdout
    for at in range(0, 5_000, 20):
        assert secret[at : at + 20] not in everything(tmp_path)


def test_what_a_reader_keeps_from_being_erased_is_said(log: Path) -> None:
    reader = driver_connect(log.as_uri())
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM events").fetchall()
    done = tanist("purge", "x.db", "--key", "done", cwd=log.parent)
    reader.close()
    assert done.returncode == 0
    assert "a reader of the log keeps the bytes from being erased" in done.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--key", "open"), "message 'open' of g is open: it would be lost"),
        (("--key", "total"), "state 'total' of g is current: a failover hands it on"),
        (("--key", "none"), "no message and no state 'none'"),
        (("--key", "done", "--group", "h"), "no group 'h': expected one of g"),
    ],
)
def test_a_purge_that_would_lose_something_is_one_line_and_no_event(
    log: Path, words: tuple[str, ...], says: str
) -> None:
    before = kinds(log)
    assert complaint(tanist("purge", "x.db", *words, cwd=log.parent), 1) == f"refused: {says}"
    assert kinds(log) == before


def test_a_purge_needs_a_key(log: Path) -> None:
    assert "--key" in complaint(tanist("purge", "x.db", cwd=log.parent), 2)
    said = complaint(tanist("purge", "x.db", "--key", "", cwd=log.parent), 2)
    assert said == "--key: expected the key of a message or of state, found none"


def test_a_purge_stands_in_the_audit_and_what_goes_by_age_does_not(log: Path) -> None:
    with open_log(log, mode="write") as opened:
        Messaging(opened).see(ev.BodiesRemoved(digests=(digest_of(b"done"),), why="keep_bodies"))
    answer("purge", "x.db", "--key", "other", "--reason", "asked", cwd=log.parent)
    rows = answer("audit", "x.db", cwd=log.parent)["rows"]
    (row,) = [row for row in rows if row["kind"] == "BodiesRemoved"]
    assert row["author"] == getpass.getuser()
    assert row["data"]["why"] == "purge of other: asked"


@contextlib.contextmanager
def running(directory: Path) -> Iterator[None]:
    """Run an engine on `x.db` there, until the end of the block."""
    (directory / "tanist.toml").write_text(TOML.format(""))
    process = subprocess.Popen(
        [*COMMAND, "run", "tanist.toml"],
        cwd=directory,
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert process.stderr is not None
            assert "watching g" in process.stderr.readline()
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate()


def test_a_purge_goes_to_the_engine_that_runs_the_log(log: Path) -> None:
    with running(log.parent):
        found = answer("purge", "--key", "done", "--reason", "asked", cwd=log.parent)
        assert (found["accepted"], found["at_rest"]) == (True, False)
        said = complaint(tanist("purge", "--key", "done", cwd=log.parent), 1)
        assert said == f"refused: the body of 'done' was removed already, at event {found['seq']}"
    with open_log(log) as opened:
        assert opened.body(digest_of(b"done")) is None


# Verifying.


def test_verify_counts_the_bodies_and_says_where_some_were_removed(log: Path) -> None:
    found = verified(log)["bodies"]
    assert found == {
        "checked": 5, "unread": 0, "removed": 0, "removals": 0, "removed_at": [], "purged_at": [],
    }  # fmt: skip
    seq = answer("purge", "x.db", "--key", "other", cwd=log.parent)["seq"]
    with open_log(log, mode="write") as opened:
        digests = (digest_of(b"done"), digest_of(b"after done"))
        Messaging(opened).see(ev.BodiesRemoved(digests=digests, why="keep_bodies"))
    assert verified(log)["bodies"] == {
        "checked": 2, "unread": 0, "removed": 3, "removals": 2,
        "removed_at": [seq, seq + 1], "purged_at": [seq],
    }  # fmt: skip
    said = tanist("verify", "x.db", cwd=log.parent).stdout
    assert f"body removed at event {seq}, as somebody asked" in said
    assert f"3 bodies removed in all, last at event {seq + 1}" in said
    assert "everything fits" in said


def flip(path: Path, table: str, column: str, digest: bytes) -> None:
    """Flip one bit in the middle of a value."""
    connection = driver_connect(path.as_uri())
    ((value,),) = connection.execute(
        f"SELECT {column} FROM {table} WHERE digest = ?", (digest,)
    ).fetchall()
    changed = bytearray(value)
    changed[len(value) // 2] ^= 4
    change(path, f"UPDATE {table} SET {column} = ? WHERE digest = ?", bytes(changed), digest)
    connection.close()


@pytest.mark.parametrize("key", ["done", "open"])
def test_a_flipped_bit_in_a_body_is_named_with_the_event_that_names_it(
    tmp_path: Path, key: str
) -> None:
    path = tmp_path / "y.db"
    seqs = told(path)
    flip(path, "bodies", "body", digest_of(key.encode()))
    (problem,) = verified(path, code=1)["problems"]
    damaged = "the body that it names is damaged: it has another digest"
    assert problem == f"event {seqs[key]}: {damaged}"
    assert "no event is wrong" in tanist("verify", "y.db", cwd=tmp_path).stdout


def test_a_flipped_bit_in_a_digest_is_named_on_both_sides(tmp_path: Path) -> None:
    path = tmp_path / "y.db"
    seqs = told(path)
    flip(path, "bodies", "digest", digest_of(b"done"))
    orphan, missing = sorted(verified(path, code=1)["problems"], reverse=True)
    assert orphan.endswith(", of no event, is damaged: it has another digest")
    expected = f"event {seqs['done']}: the body that it names is missing, and no event removed it"
    assert missing == expected


def test_another_size_is_named(tmp_path: Path) -> None:
    path = tmp_path / "y.db"
    seqs = told(path)
    change(path, "UPDATE bodies SET size = 9 WHERE digest = ?", digest_of(b"done"))
    (problem,) = verified(path, code=1)["problems"]
    assert problem.startswith(
        f"event {seqs['done']}: the body that it names is damaged: it has 4 b"
    )


def test_a_body_that_is_missing_without_an_event_is_named(tmp_path: Path) -> None:
    path = tmp_path / "y.db"
    seqs = told(path)
    for key in ("done", "open"):
        change(path, "DELETE FROM bodies WHERE digest = ?", digest_of(key.encode()))
    missing = "the body that it names is missing, and no event removed it"
    assert verified(path, code=1)["problems"] == [
        f"event {seqs[key]}: {missing}" for key in ("done", "open")
    ]


def test_an_event_that_removes_what_is_needed_is_named(log: Path) -> None:
    with open_log(log, mode="write") as opened:
        removed = ev.BodiesRemoved(digests=(digest_of(b"open"),), why="no good reason")
        seq = Messaging(opened).see(removed)[0].seq
    (problem,) = verified(log, code=1)["problems"]
    assert problem.startswith(f"event {seq}: it removes the body ")
    assert problem.endswith(", which was needed")


def test_what_is_wrong_in_a_body_of_no_event_is_named_too(log: Path) -> None:
    with open_log(log, mode="write") as opened:
        opened.append([], bodies={digest_of(b"orphan"): b"orphan"})
    assert verified(log)["bodies"]["checked"] == 6  # it harms nobody
    flip(log, "bodies", "body", digest_of(b"orphan"))
    (problem,) = verified(log, code=1)["problems"]
    assert "of no event, is damaged" in problem


@pytest.mark.parametrize("column", ["body", "digest", "nonce", "key_id"])
def test_a_flipped_bit_in_a_sealed_body_is_named_without_the_key_and_with_it(
    tmp_path: Path, column: str
) -> None:
    path = tmp_path / "y.db"
    seqs = told(path, KEY)
    (tmp_path / "key").write_text(KEY.hex())
    (tmp_path / "k.toml").write_text(TOML.format('bodies_key = { file = "key" }'))
    found = verified(path)["bodies"]
    assert (found["checked"], found["unread"]) == (5, 5)
    assert "5 sealed bodies were checked without their key" in (
        tanist("verify", "y.db", cwd=tmp_path).stdout
    )
    assert verified(path, "--config", "k.toml")["bodies"]["unread"] == 0
    flip(path, "secret_bodies", column, digest_of(b"done"))
    for words in ((), ("--config", "k.toml")):
        problems = verified(path, *words, code=1)["problems"]
        assert [problem for problem in problems if f"event {seqs['done']}: the body" in problem]
        assert [problem for problem in problems if "not those that were stored" in problem]


def test_verify_takes_the_key_from_the_configuration_of_the_log(tmp_path: Path) -> None:
    told(tmp_path / "x.db", KEY)
    (tmp_path / "tanist.toml").write_text(TOML.format('bodies_key = { env = "BODIES" }'))
    env = environment(BODIES=KEY.hex())
    for words in (("verify",), ("verify", "x.db"), ("verify", "tanist.toml")):
        assert answer(*words, cwd=tmp_path, env=env)["bodies"]["unread"] == 0
    done = tanist("verify", "x.db", cwd=tmp_path)
    assert done.returncode == 0
    assert "bodies are looked at without their key: " in done.stderr
    assert "expected 32 bytes as hex or base64 in $BODIES, found no such variable" in done.stderr
    said = complaint(tanist("verify", "tanist.toml", cwd=tmp_path), 2)
    assert "log.bodies_key: expected 32 bytes" in said
    told(tmp_path / "z.db", KEY)  # a log that the configuration says nothing of
    assert answer("verify", "z.db", cwd=tmp_path, env=env)["bodies"]["unread"] == 5


def test_an_engine_whose_key_is_wrong_says_so_in_one_line(tmp_path: Path) -> None:
    told(tmp_path / "x.db", KEY)
    (tmp_path / "tanist.toml").write_text(TOML.format('bodies_key = { env = "BODIES" }'))
    for key, code, says in (
        ("", 2, "log.bodies_key: expected 32 bytes as hex or base64 in $BODIES, found"),
        ("00" * 31, 2, "found 31 bytes"),
        ("00" * 32, 3, "are sealed with a key that is not given: 630dcd2966c43366"),
    ):
        done = subprocess.run(
            [*COMMAND, "run", "tanist.toml"],
            cwd=tmp_path,
            env=environment(BODIES=key),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert says in complaint(done, code)
