from pathlib import Path

import msgspec
import pytest

from engine.core import events as ev
from engine.core.fleet import Mode
from engine.core.policy import ALERTS, Policy
from engine.embed import Engine
from engine.log.memory import MemoryLog
from engine.service.app import BODY_BYTES_MAX, COMMANDS
from engine.service.commanding import COUNT_MAX
from tests.engine.real import (
    GROUP,
    Fleet,
    configuration,
    fleet,
    kinds,
    nobody,
    only,
    run,
    seen,
    served_by,
)
from tests.engine.runtime.handled import take
from tests.engine.service.api import api_on

__all__ = ["fleet"]


# Commands.


def test_a_command_is_answered_with_its_place_in_the_log(tmp_path: Path) -> None:
    async def main() -> None:
        log = MemoryLog()
        async with Engine(nobody(), log=log) as engine, api_on(engine, tmp_path) as api:
            sent = [
                ("pause", {"group": GROUP, "reason": "work", "author": "ann", "for_us": 9}),
                ("resume", {"group": GROUP, "author": "ann"}),
                ("pause", {"reason": "work", "author": "ann"}),
                ("resume", {"author": "ann"}),
                ("checkpoint", {"name": "monday", "author": "ann"}),
            ]
            found = []
            for name, body in sent:
                code, said = await api.post(f"/api/commands/{name}", body)
                assert code == 200
                assert isinstance(said, dict)
                (recorded,) = log.read(after=said["seq"] - 1, until=said["seq"])
                found.append((type(recorded.event).__name__, recorded.subject))
        assert found == [
            ("Paused", GROUP),
            ("Resumed", GROUP),
            ("Paused", "fleet"),
            ("Resumed", "fleet"),
            ("CheckpointMarked", "fleet"),
        ]
        assert {paused.author for paused in only(log, ev.Paused)} == {"ann"}

    run(main())


def test_switchover_failover_and_rollback_are_commands_too(fleet: Fleet, tmp_path: Path) -> None:
    async def main() -> None:
        declared = configuration(fleet.addresses)
        async with Engine(declared, log=MemoryLog()) as engine, api_on(engine, tmp_path) as api:
            await served_by(engine, "a")
            position = await engine.checkpoint("before")
            body: dict[str, object] = {"group": GROUP, "author": "ann", "wait": True}
            sent: list[tuple[str, dict[str, object], str]] = [
                ("switchover", {**body, "to": "b"}, "b"),
                ("failover", {**body, "to": "a"}, "a"),
                ("switchover", body, "b"),
                ("rollback", {**body, "position": position}, "a"),
            ]
            for name, fields, expected in sent:
                code, said = await api.post(f"/api/commands/{name}", fields)
                assert (code, said) == (200, said)
                assert isinstance(said, dict)
                await served_by(engine, expected)
                other = "a" if expected == "b" else "b"
                await seen(
                    engine,
                    lambda r, other=other: (
                        isinstance(r.event, ev.MasterRejoined)  # type: ignore[misc]
                        and r.subject == other
                    ),
                    after=said["seq"],
                )

    run(main())


@pytest.mark.parametrize(
    ("name", "body", "reason"),
    [
        ("approve", {"group": GROUP}, "no failover of g waits for an approval"),
        ("switchover", {"group": GROUP}, "g has no active master: a failover is needed"),
        ("failover", {"group": GROUP, "to": "z"}, "z is no master of g: expected one of a, b"),
        ("failover", {"group": "nothing"}, "no group 'nothing': expected one of g"),
        ("checkpoint", {"name": "7"}, "expected a name that starts with a letter, found '7'"),
        ("rollback", {"group": GROUP, "position": 1}, "there was no group g at position 1"),
    ],
)
def test_a_refused_command_is_a_conflict_with_its_reasons(
    name: str, body: dict[str, object], reason: str, tmp_path: Path
) -> None:
    async def main() -> None:
        async with Engine(nobody(), log=MemoryLog()) as engine, api_on(engine, tmp_path) as api:
            answer = await api.post(f"/api/commands/{name}", {"author": "ann", **body})
            assert answer == (409, {"reasons": [reason]})

    run(main())


def test_an_unknown_command_is_not_found(tmp_path: Path) -> None:
    async def main() -> None:
        async with Engine(nobody(), log=MemoryLog()) as engine, api_on(engine, tmp_path) as api:
            code, said = await api.post("/api/commands/explode", {"author": "ann"})
            assert code == 404
            assert all(name in str(said) for name in COMMANDS)

    run(main())


BAD = [
    ("resume", b"", "author: expected a text, found null"),
    ("resume", b"[]", "expected a JSON object"),
    ("resume", b"{", "property name"),
    ("resume", b"\xff", "utf-8"),
    ("resume", b"[" * 30_000, "nested too deeply"),
    ("resume", b'{"author":7}', "author: expected a text, found 7"),
    ("resume", b'{"author":""}', 'author: expected a text, found ""'),
    ("resume", b'{"author":"\\ud800"}', "surrogate"),
    ("resume", b'{"author":"ann","group":1}', "group: expected a text, found 1"),
    ("pause", b'{"author":"ann","reason":"r","for_us":-1}', "for_us: expected a count, found -1"),
    ("pause", b'{"author":"ann","reason":"r","for_us":1.5}', "for_us: expected a count"),
    ("pause", b'{"author":"ann","reason":"r","for_us":true}', "for_us: expected a count"),
    ("pause", b'{"author":"ann","reason":"r","for_us":%d}' % (COUNT_MAX + 1), "expected a count"),
    ("pause", b'{"author":"ann","reason":"r","for_us":1%s}' % (b"0" * 40), "expected a count"),
    ("pause", b'{"author":"ann"}', "reason: expected a text, found null"),
    ("rollback", b'{"author":"ann","group":"g"}', "position: expected a count, found null"),
    ("failover", b'{"author":"ann","group":"g","wait":"no"}', "wait: expected true or false"),
    ("resume", b'{"author":"' + b"x" * BODY_BYTES_MAX + b'"}', "at most 65536 bytes"),
]


@pytest.mark.parametrize(("name", "raw", "what"), BAD, ids=[what for _, _, what in BAD])
def test_a_body_that_is_not_understood_is_a_bad_request_and_no_event(
    name: str, raw: bytes, what: str, tmp_path: Path
) -> None:
    async def main() -> None:
        log = MemoryLog()
        async with Engine(nobody(), log=log) as engine, api_on(engine, tmp_path) as api:
            code, said = await api.post(f"/api/commands/{name}", None, raw)
            assert code == 400
            assert isinstance(said, dict)
            assert what in said["error"]
            assert engine.failure == ""
        assert not {"Paused", "Resumed", "RollbackRequested"} & set(kinds(log))

    run(main())


# Acknowledgements.


def test_a_taken_message_is_acknowledged_over_http(tmp_path: Path) -> None:
    async def main() -> None:
        declared = nobody(Mode.ACTIVE_ACTIVE)
        async with Engine(declared, log=MemoryLog()) as engine, api_on(engine, tmp_path) as api:
            await take(engine._turning, "m")
            engine._turning.record(ev.ProbeOk(n=99, latency_us=1, boot="a"), subject="a")
            assigned = await seen(engine, ev.MessagesAssigned)
            assert isinstance(assigned.event, ev.MessagesAssigned)
            body = {"master": "a", "key": "m", "epoch": assigned.event.epoch}
            stale = {**body, "epoch": assigned.event.epoch + 1}
            assert (await api.post("/api/acks", stale))[0] == 409
            assert (await api.post("/api/acks", {**body, "master": "b"}))[0] == 409
            assert (await api.post("/api/acks", {**body, "master": "z"}))[0] == 404
            assert (await api.post("/api/acks", {**body, "epoch": "one"}))[0] == 400
            assert "m" in engine.state.groups[GROUP].ledger.by_key
            assert await api.post("/api/acks", body) == (200, {})
            assert "m" in engine.state.groups[GROUP].ledger.done

    run(main())


def test_an_alert_is_acknowledged_and_one_that_is_none_is_refused(tmp_path: Path) -> None:
    async def main() -> None:
        log = MemoryLog()
        declared = msgspec.structs.replace(nobody(), policy=alerted())
        async with Engine(declared, log=log) as engine, api_on(engine, tmp_path) as api:
            raised = await seen(engine, ev.AlertRaised)
            body = {"alert": raised.seq, "author": "ann"}
            code, said = await api.post("/api/commands/ack", body)
            assert code == 200
            assert isinstance(said, dict)
            (recorded,) = log.read(after=said["seq"] - 1, until=said["seq"])
            assert recorded.event == ev.AlertAcked(alert=raised.seq, author="ann")
            code, said = await api.post("/api/commands/ack", {**body, "alert": 1})
            assert code == 409
            assert said == {"reasons": ["no alert 1: it is over, or there never was one"]}

    run(main())


def alerted() -> Policy:
    """Return the policy of `nobody`, with alerts."""
    return Policy(groups=nobody().policy.groups, alerts=ALERTS)
