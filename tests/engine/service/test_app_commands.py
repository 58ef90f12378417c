import threading
from pathlib import Path

import msgspec
import pytest

from engine.core import events as ev
from engine.core.errors import ConfigurationError
from engine.core.fleet import Master, Mode
from engine.core.policy import ALERTS, Policy
from engine.embed import Engine
from engine.log.memory import MemoryLog
from engine.service import commanding
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
    ("resume", b"", "author: expected who asks, for the log, as a text, found null"),
    ("resume", b"[]", "expected a JSON object"),
    ("resume", b"{", "expected a JSON object, found other bytes"),
    ("resume", b"\xff", "utf-8"),
    ("resume", b"[" * 30_000, "nested too deeply"),
    ("resume", b'{"author":7}', "author: expected who asks, for the log, as a text, found 7"),
    ("resume", b'{"author":""}', 'as a text, found ""'),
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


@pytest.mark.parametrize(
    ("name", "body", "event", "subject"),
    [
        ("reset", {"subject": "a"}, ev.ResetAsked(author="ann"), "a"),
        ("reset", {"subject": GROUP}, ev.ResetAsked(author="ann"), GROUP),
        (
            "drain",
            {"master": "b", "reason": "disks"},
            ev.DrainAsked(drained=True, reason="disks", author="ann"),
            "b",
        ),
        (
            "exclude",
            {"master": "b", "excluded": False},
            ev.ExclusionAsked(excluded=False, reason="", author="ann"),
            "b",
        ),
        (
            "strategy",
            {"group": GROUP, "strategy": "round-robin"},
            ev.StrategyAsked(strategy="round-robin", author="ann"),
            GROUP,
        ),
        (
            "maintenance",
            {"subject": "b", "from_us": 5, "to_us": 9, "reason": "disks"},
            ev.MaintenanceDeclared(from_us=5, to_us=9, reason="disks", author="ann"),
            "b",
        ),
        (
            "add-master",
            {"master": "c", "group": GROUP, "address": "http://c:1", "priority": 3},
            ev.MasterAddAsked(
                master=Master(id="c", group=GROUP, address="http://c:1", priority=3), author="ann"
            ),
            "fleet",
        ),
        ("remove-master", {"master": "b"}, ev.MasterRemoveAsked(author="ann"), "b"),
        ("release", {"subject": "fleet"}, ev.Released(scope="any", author="ann"), "fleet"),
        (
            "switchover",
            {"group": GROUP, "to": "b", "due_us": 1 << 52},
            ev.SwitchoverAsked(to="b", author="ann", due_us=1 << 52),
            GROUP,
        ),
    ],
)
def test_a_command_that_tends_the_fleet_is_recorded_and_repeated_under_its_key(
    name: str, body: dict[str, object], event: ev.Observation, subject: str, tmp_path: Path
) -> None:
    async def main() -> None:
        log = MemoryLog()
        async with Engine(nobody(), log=log) as engine, api_on(engine, tmp_path) as api:
            whole = {"author": "ann", **body}
            code, said = await api.post(f"/api/commands/{name}", whole, **{"Idempotency-Key": "k"})
            assert (code, said) == (200, said)
            assert isinstance(said, dict)
            (recorded,) = log.read(after=said["seq"] - 1, until=said["seq"])
            assert (recorded.event, recorded.subject) == (event, subject)
            again = await api.post(f"/api/commands/{name}", whole, **{"Idempotency-Key": "k"})
            assert again == (200, said)
            bare, _ = await api.post(f"/api/commands/{name}", whole, Authorization="")
            assert bare == 401

    run(main())


@pytest.mark.parametrize(
    ("name", "body", "code", "reason"),
    [
        ("cancel", {"group": GROUP}, 409, "no switchover of g is scheduled"),
        ("undo", {"failover": 1}, 409, "event 1 begins no failover"),
        ("undo", {}, 409, "no failover was completed yet"),
        ("drain", {"master": "z"}, 409, "no master 'z': expected one of a, b"),
        ("remove-master", {"master": GROUP}, 409, "no master 'g': expected one of a, b"),
        ("reset", {"subject": "z"}, 409, "no group 'z': expected one of g"),
        ("add-master", {"master": "c", "group": GROUP, "address": "c"}, 400, "expected an URL"),
        ("apply", {"text": "[groups.g]\nmode = 1\n"}, 400, "groups.g.mode: expected"),
        ("rollback", {"position": 1, "groups": "g"}, 400, "groups: expected a list of texts"),
        ("rollback", {"position": 1, "all": True}, 409, "no group of now was there at position 1"),
        ("rollback", {"position": 1, "groups": [GROUP]}, 409, "there was no group g at position 1"),
    ],
)
def test_one_that_cannot_be_is_answered_with_its_reason(
    name: str, body: dict[str, object], code: int, reason: str, tmp_path: Path
) -> None:
    async def main() -> None:
        async with Engine(nobody(), log=MemoryLog()) as engine, api_on(engine, tmp_path) as api:
            found, said = await api.post(f"/api/commands/{name}", {"author": "ann", **body})
            assert found == code
            assert reason in str(said).replace('"', "'")

    run(main())


def test_a_configuration_is_read_beside_the_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = []

    def parse(text: str, *, source: str) -> None:
        threads.append(threading.get_ident())
        raise ConfigurationError([f"{source}: {text}: a mistake"])

    async def main() -> None:
        monkeypatch.setattr(commanding, "parse", parse)
        async with Engine(nobody(), log=MemoryLog()) as engine, api_on(engine, tmp_path) as api:
            body = {"text": "what is offered", "source": "new.toml", "author": "ann"}
            said = await api.post("/api/commands/apply", body)
            assert said == (400, {"error": "new.toml: what is offered: a mistake"})

    run(main())
    assert len(threads) == 1
    assert threads != [threading.get_ident()]
