"""What an engine does with the bodies in its log: it seals them, and removes them in time."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from engine.config import Configuration
from engine.config.secrets import Secret
from engine.core import events as ev
from engine.core.errors import CommandRefused, ConfigurationError, LogError
from engine.core.fleet import Mode
from engine.core.policy import SECOND
from engine.embed import Engine
from engine.log.keyring import Keyring, key_id
from engine.log.memory import MemoryLog
from engine.log.protocol import Log
from engine.log.sqlite import SqliteLog, open_log
from engine.log.verify import verify
from tests.contracts.test_bodies import digest_of
from tests.engine.real import GROUP, Fleet, configuration, fleet, nobody, only, run, seen
from tests.engine.service.api import api_on

__all__ = ["fleet"]

OLD, NEW = bytes(range(32)), bytes(range(32, 64))


def keeping(keep_us: int = 0, *, log: str = "", keys: str = "") -> Configuration:
    """Return a configuration whose bodies go after `keep_us`, sealed with keys in these files."""
    changed = msgspec.structs.replace(nobody(Mode.ACTIVE_ACTIVE), keep_bodies_us=keep_us, log=log)
    places = tuple(Secret(file=name) for name in keys.split())
    return msgspec.structs.replace(changed, bodies_key=places)


async def accepted(engine: Engine, key: str, body: bytes) -> int:
    """Let a message be accepted, though there is nobody to send it to; return its seq."""
    digest = digest_of(body)
    event = ev.MessageAccepted(key=key, lane=key, size=len(body), digest=digest)
    return (await engine._turning.ask(event, subject=GROUP, bodies={digest: body})).seq


async def done(engine: Engine, key: str, body: bytes, **keeps: bytes) -> None:
    """Let a message be accepted, and done by its master, which wants this state to be kept."""
    after = await accepted(engine, key, body)
    await finished(engine, key, after, **keeps)


async def finished(engine: Engine, key: str, after: int, **keeps: bytes) -> None:
    """Let the message that was accepted at the seq `after` be done."""
    for name in "ab":
        said = ev.ProbeOk(n=after, latency_us=1, boot=name, epoch=1, role="active")
        engine._turning.record(said, subject=name)
    assigned = await seen(engine, ev.MessagesAssigned, after=after)
    assert isinstance(assigned.event, ev.MessagesAssigned)
    acked = ev.MessageAcked(
        key=key,
        epoch=assigned.event.epoch,
        keeps=tuple((name, len(blob), digest_of(blob)) for name, blob in keeps.items()),
    )
    await engine._turning.ask(
        acked, subject=assigned.subject, bodies={digest_of(blob): blob for blob in keeps.values()}
    )
    assert key in engine.state.groups[GROUP].ledger.done


def everything(directory: Path) -> bytes:
    """Return what all files there hold."""
    return b"".join(each.read_bytes() for each in directory.iterdir())


def bodies(log: Log) -> set[bytes | None]:
    return {log.body(stored.digest) for stored in log.stored_bodies()}


def test_bodies_go_while_the_engine_runs_and_what_is_needed_stays() -> None:
    async def main() -> None:
        log = MemoryLog()
        async with Engine(keeping(), log=log) as engine:
            await done(engine, "1", b"one", total=b"first")
            await done(engine, "2", b"two", total=b"second")
            await accepted(engine, "open", b"open")
            while bodies(log) != {b"second", b"open"}:
                await seen(engine, ev.BodiesRemoved, after=engine.state.seq)
        removed = only(log, ev.BodiesRemoved)
        assert {(event.why, event.author) for event in removed} == {("keep_bodies", "")}
        gone = {digest for event in removed for digest in event.digests}
        assert gone == set(map(digest_of, (b"one", b"two", b"first")))
        assert verify(log).ok

    run(main())


def test_bodies_stay_as_long_as_the_configuration_says() -> None:
    async def main() -> None:
        log = MemoryLog()
        async with Engine(keeping(3_600 * SECOND), log=log) as engine:
            await done(engine, "1", b"one")
            await engine.checkpoint("later")
        assert bodies(log) == {b"one"}

    run(main())


def test_a_log_of_format_1_keeps_its_bodies(tmp_path: Path) -> None:
    async def main() -> None:
        path = tmp_path / "t.db"
        with SqliteLog(path, mode="write", create=True, release="1", version=1):
            pass
        async with Engine(keeping(log=str(path))) as engine:
            await done(engine, "1", b"one")
        with open_log(path) as log:
            assert bodies(log) == {b"one"}

    run(main())


def test_a_message_whose_body_is_accepted_again_while_it_is_removed_keeps_it() -> None:
    """The look finds the body spare, and before the removal another message brings it again."""

    async def main() -> None:
        log = MemoryLog()
        async with Engine(keeping(3_600 * SECOND), log=log) as engine:
            await done(engine, "1", b"same")
            spare = engine._turning.driver.spare([digest_of(b"same")])
            assert spare == (digest_of(b"same"),)
            accepting = asyncio.create_task(accepted(engine, "before", b"same"))
            await asyncio.sleep(0)  # it is taken, and not durable yet
            assert engine._turning.driver.spare(spare) == ()
            await finished(engine, "before", await accepting)
            removing = engine._turning.ask(ev.BodiesRemoved(digests=spare, why="a test"))
            accepting = asyncio.create_task(accepted(engine, "after", b"same"))
            await asyncio.gather(removing, accepting)
            assert log.body(digest_of(b"same")) == b"same"
            seqs = {type(recorded.event): recorded.seq for recorded in log.read()}
            assert seqs[ev.BodiesRemoved] < seqs[ev.MessageAccepted]

    run(main())


# A purge.


def test_a_purge_is_an_event_and_the_bytes_are_gone_from_the_files(tmp_path: Path) -> None:
    async def main() -> None:
        path = tmp_path / "t.db"
        async with Engine(keeping(3_600 * SECOND, log=str(path))) as engine:
            await done(engine, "order", b"a secret of somebody")
            await done(engine, "other", b"of somebody else")
            seq = await engine.purge("order", reason="asked to forget", author="ann")
            left = everything(tmp_path)
            assert b"a secret of somebody" not in left
            assert b"of somebody else" in left
            with pytest.raises(CommandRefused, match=f"was removed already, at event {seq}"):
                await engine.purge("order")
            await accepted(engine, "open", b"work")
            with pytest.raises(CommandRefused, match="message 'open' of g is open"):
                await engine.purge("open")
        with open_log(path) as log:
            (recorded,) = log.read(seq - 1, seq)
            assert isinstance(recorded.event, ev.BodiesRemoved)
            assert (recorded.event.author, recorded.event.at_rest) == ("ann", False)
            assert recorded.event.why == "purge of order: asked to forget"

    run(main())


def test_a_purge_is_a_command_over_http(tmp_path: Path) -> None:
    async def main() -> None:
        log = MemoryLog()
        async with (
            Engine(keeping(3_600 * SECOND), log=log) as engine,
            api_on(engine, tmp_path) as api,
        ):
            await done(engine, "order", b"secret")
            ask = {"key": "order", "group": GROUP, "reason": "why", "author": "ann"}
            code, said = await api.post("/api/commands/purge", ask)
            assert code == 200, said
            assert log.body(digest_of(b"secret")) is None
            code, said = await api.post("/api/commands/purge", {"key": "no", "author": "ann"})
            assert (code, said) == (409, {"reasons": ["no message and no state 'no'"]})
            code, _ = await api.post("/api/commands/purge", {"author": "ann"})
            assert code == 400

    run(main())


# Keys.


def write_keys(directory: Path) -> str:
    for name, key in (("old", OLD), ("new", NEW)):
        (directory / name).write_text(key.hex())
    return str(directory / "t.db")


def sealed_by(directory: Path, keys: str, *, log: str) -> Configuration:
    named = keeping(3_600 * SECOND, log=log, keys=keys)
    return msgspec.structs.replace(named, source=str(directory / "t.toml"))


def test_messages_are_sealed_and_delivered_and_a_new_key_takes_over(
    fleet: Fleet, tmp_path: Path
) -> None:
    async def main() -> None:
        log = write_keys(tmp_path)
        declared = configuration(fleet.addresses, log=log)
        for number, names in enumerate(("old", "new old"), start=1):
            places = tuple(Secret(file=name) for name in names.split())
            keyed = msgspec.structs.replace(
                declared, bodies_key=places, source=str(tmp_path / "t.toml")
            )
            async with Engine(keyed) as engine:
                await engine.accept(GROUP, b"four eyes only %d" % number, key=f"m{number}")
                await seen(
                    engine,
                    lambda recorded, number=number: (  # type: ignore[misc]
                        recorded.event == ev.MessageDone(key=f"m{number}")
                    ),
                )
        assert await fleet.applied() == ["m1", "m2"]
        assert b"four eyes" not in everything(tmp_path)
        with open_log(log, keys=Keyring([NEW, OLD])) as opened:
            assert bodies(opened) > {b"four eyes only 1", b"four eyes only 2"}  # and state

    run(main())


def test_an_engine_without_the_key_of_an_open_message_does_not_start(tmp_path: Path) -> None:
    async def main() -> None:
        log = write_keys(tmp_path)
        async with Engine(sealed_by(tmp_path, "old", log=log)) as engine:
            await done(engine, "done", b"was done")
            await accepted(engine, "open", b"is open")
        for keys in ("", "new"):
            with pytest.raises(LogError, match=f"sealed with a key.*{key_id(OLD).hex()}"):
                await Engine(sealed_by(tmp_path, keys, log=log)).__aenter__()
        async with Engine(sealed_by(tmp_path, "new old", log=log)) as engine:
            assert len(engine.state.groups[GROUP].ledger.open) == 1
            await done(engine, "other", b"another")

    run(main())


def test_what_is_done_keeps_nobody_from_starting_without_its_key(tmp_path: Path) -> None:
    async def main() -> None:
        log = write_keys(tmp_path)
        async with Engine(sealed_by(tmp_path, "old", log=log)) as engine:
            await done(engine, "done", b"was done")
        async with Engine(sealed_by(tmp_path, "new", log=log)) as engine:
            await engine.purge("done")

    run(main())


def test_a_key_that_is_not_there_is_said_before_anything_is_opened(tmp_path: Path) -> None:
    async def main() -> None:
        log = str(tmp_path / "t.db")
        with pytest.raises(
            ConfigurationError, match=r"t\.toml: log\.bodies_key: expected 32 bytes"
        ):
            await Engine(sealed_by(tmp_path, "old", log=log)).__aenter__()

    run(main())
    assert list(tmp_path.iterdir()) == []
