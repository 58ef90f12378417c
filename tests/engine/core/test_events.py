"""The stored form of every event: frozen codes, frozen bytes."""

from typing import get_args

import msgspec
import pytest

from engine.core import events as ev
from engine.core.errors import LogCorrupted, LogTooNew
from engine.core.events import AnyEvent, Decision, Evidence, Observation, Recorded, Result
from engine.core.facts import Calls
from engine.core.fleet import Master
from engine.core.policy import Policy

MASTER = Master(id="a", group="g", address="http://h:1", location=(52_500_000, 13_400_000))
VERDICT = ev.Verdict(master="b", fit=True, rank=1, rule="ranked", figures=(("priority", 2),))
CONTROL = ev.GroupControl(
    group="g", assigned="a", strategy="priority", weights=(("a", 1), ("b", 2))
)

# Add lines; never edit or delete one.
CODES = {
    "EngineStarted": 1,
    "EngineResumed": 2,
    "ConfigurationLoaded": 3,
    "ProbeOk": 4,
    "ProbeDegraded": 5,
    "ProbeFailed": 6,
    "ConnectionClosed": 7,
    "MessageAccepted": 8,
    "MessageAcked": 9,
    "Outcome": 11,
    "Paused": 12,
    "Resumed": 13,
    "Approved": 14,
    "Released": 15,
    "SwitchoverAsked": 16,
    "FailoverAsked": 17,
    "StrategyAsked": 18,
    "ExclusionAsked": 19,
    "MaintenanceDeclared": 20,
    "RollbackRequested": 21,
    "CheckpointMarked": 22,
    "DeadlinePassed": 23,
    "LogBased": 24,
    "ObservationsDropped": 25,
    "SpaceShort": 26,
    "SpaceReturned": 27,
    "BodiesRemoved": 28,
    "AlertAcked": 37,
    "ResetAsked": 38,
    "ScheduleCancelled": 39,
    "UndoAsked": 40,
    "DrainAsked": 41,
    "MasterAddAsked": 42,
    "MasterRemoveAsked": 43,
    "FleetRollbackRequested": 44,
    "LoadReported": 29,
    "ClockStepped": 30,
    "FiguresDerived": 31,
    "CallsCounted": 32,
    "PolicyAdopted": 101,
    "MasterAdded": 102,
    "MasterRemoved": 103,
    "MasterHealthy": 104,
    "MasterDegraded": 105,
    "MasterFailed": 106,
    "MasterRecovering": 107,
    "MasterUnknown": 108,
    "Activated": 109,
    "ActivationLost": 110,
    "FailoverProposed": 111,
    "FailoverStarted": 112,
    "ApprovalGiven": 113,
    "AttemptStarted": 114,
    "MasterFenced": 115,
    "FenceConfirmed": 116,
    "MasterRejoined": 117,
    "TransferStarted": 118,
    "PromotionStarted": 119,
    "VerificationStarted": 120,
    "Switched": 121,
    "SwitchDone": 122,
    "MessagesAssigned": 123,
    "MessageDone": 124,
    "AttemptFailed": 125,
    "Compensated": 126,
    "FailoverEnded": 127,
    "StrategyChanged": 128,
    "ExclusionChanged": 129,
    "Refused": 130,
    "RollbackAccepted": 131,
    "RollbackEnded": 132,
    "DrainStarted": 133,
    "DrainCancelled": 134,
    "DrainEnded": 135,
    "StateKept": 136,
    "FollowChanged": 142,
    "HookStarted": 143,
    "HookEnded": 144,
    "RecoveryStarted": 145,
    "ObserversDisagree": 137,
    "ObserversAgree": 138,
    "FlappingStarted": 139,
    "FlappingEnded": 140,
    "DoubtChanged": 141,
    "AlertPending": 146,
    "AlertRaised": 147,
    "AlertCleared": 148,
    "SwitchoverScheduled": 149,
    "ScheduleEnded": 150,
    "DrainChanged": 151,
    "MasterEjected": 152,
    "MasterReadmitted": 153,
}
STORED: list[tuple[int, str, AnyEvent]] = [
    (1, "92a5302e312e3007", ev.EngineStarted(release="0.1.0", stopped_at_us=7)),
    (2, "92ce001e848007", ev.EngineResumed(stall_us=2_000_000, stopped_at_us=7)),
    (3, "95a26431c090a0c2", ev.ConfigurationLoaded(digest="d1")),
    (
        3,
        "95a2643281a667726f757073809197a161a167aa687474703a2f2f683a310101a092ce03211620ce00cc77c0"
        "a3616e6ec2",
        ev.ConfigurationLoaded(
            digest="d2", policy=Policy(groups={}), masters=(MASTER,), author="ann"
        ),
    ),
    (4, "9601cd05dca0c0a0a0", ev.ProbeOk(n=1, latency_us=1_500)),
    (
        4,
        "9602cd05dca16205a6616374697665a16f",
        ev.ProbeOk(n=2, latency_us=1_500, boot="b", epoch=5, role="active", observer="o"),
    ),
    (5, "9703cd2328a4736c6f77a0c0a0a0", ev.ProbeDegraded(n=3, latency_us=9_000, reason="slow")),
    (
        5,
        "9704cd2328a3637075a16205a77374616e646279a16f",
        ev.ProbeDegraded(
            n=4, latency_us=9_000, reason="cpu", boot="b", epoch=5, role="standby", observer="o"
        ),
    ),
    (6, "9605a7726566757365640000a0a0", ev.ProbeFailed(n=5, evidence=Evidence.REFUSED)),
    (
        6,
        "9606a76f7665726475650acd01f4a178a16f",
        ev.ProbeFailed(
            n=6, evidence=Evidence.OVERDUE, late_us=10, waited_us=500, detail="x", observer="o"
        ),
    ),
    (7, "92a6636c6f736564a0", ev.ConnectionClosed(evidence=Evidence.CLOSED)),
    (7, "92a57265736574a16f", ev.ConnectionClosed(evidence=Evidence.RESET, observer="o")),
    (8, "94a16ba16c03c4020102", ev.MessageAccepted(key="k", lane="l", size=3, digest=b"\x01\x02")),
    (9, "93a16b0590", ev.MessageAcked(key="k", epoch=5)),
    (
        9,
        "93a16b059293a17303c4010193a174ffc400",
        ev.MessageAcked(key="k", epoch=5, keeps=(("s", 3, b"\x01"), ("t", -1, b""))),
    ),
    (136, "93a173ffc400", ev.StateKept(key="s", size=-1, digest=b"")),
    (142, "9203a162", ev.FollowChanged(epoch=3, active="b")),
    (
        143,
        "93ae6265666f72652d70726f6d6f74650703",
        ev.HookStarted(hook="before-promote", failover=7, epoch=3),
    ),
    (
        144,
        "95ae6265666f72652d70726f6d6f74650703a772656675736564a26e6f",
        ev.HookEnded(hook="before-promote", failover=7, epoch=3, result="refused", reason="no"),
    ),
    (
        145,
        "940205099104",
        ev.RecoveryStarted(n=2, attempts=5, again_at_us=9, evidence=(4,)),
    ),
    (
        11,
        "98a566656e63650906a26f6ba0a00000",
        ev.Outcome(step="fence", failover=9, epoch=6, result=Result.OK),
    ),
    (
        11,
        "98a87472616e736665720906a7756e6b6e6f776ea164a36375740400",
        ev.Outcome(
            step="transfer",
            failover=9,
            epoch=6,
            result=Result.UNKNOWN,
            digest="d",
            detail="cut",
            elapsed_us=4,
        ),
    ),
    (12, "9508a4776f726ba3616e6ec2c2", ev.Paused(until_us=8, reason="work", author="ann")),
    (
        12,
        "9500a4776f726ba3616e6ec3c2",
        ev.Paused(until_us=0, reason="work", author="ann", at_rest=True),
    ),
    (
        12,
        "9500a4776f726ba466696c65c2c3",
        ev.Paused(until_us=0, reason="work", author="file", by_file=True),
    ),
    (13, "93a3616e6ec2c2", ev.Resumed(author="ann")),
    (14, "92a3616e6ec2", ev.Approved(author="ann")),
    (15, "93a56c696d6974a3616e6ec2", ev.Released(scope="limit", author="ann")),
    (16, "94a162a3616e6ec200", ev.SwitchoverAsked(to="b", author="ann")),
    (16, "94a162a3616e6ec208", ev.SwitchoverAsked(to="b", author="ann", due_us=8)),
    (17, "93a0a3616e6ec2", ev.FailoverAsked(to="", author="ann")),
    (18, "93a87072696f72697479a3616e6ec2", ev.StrategyAsked(strategy="priority", author="ann")),
    (19, "94c3a46469736ba3616e6ec2", ev.ExclusionAsked(excluded=True, reason="disk", author="ann")),
    (
        20,
        "950102a46469736ba3616e6ec2",
        ev.MaintenanceDeclared(from_us=1, to_us=2, reason="disk", author="ann"),
    ),
    (
        21,
        "960494a167a161a87072696f726974799292a1610192a16202a164a3616e6ec2c2",
        ev.RollbackRequested(position=4, control=CONTROL, digest="d", author="ann"),
    ),
    (
        21,
        "960494a167a161a87072696f726974799292a1610192a16202a164a3616e6ec3c3",
        ev.RollbackRequested(
            position=4, control=CONTROL, digest="d", author="ann", force=True, at_rest=True
        ),
    ),
    (22, "93a66265666f7265a3616e6ec2", ev.CheckpointMarked(name="before", author="ann")),
    (23, "91ad756e6b6e6f776e5f6166746572", ev.DeadlinePassed(what="unknown_after")),
    (24, "93c4018003c40100", ev.LogBased(state=b"\x80", seq=3, chain=b"\x00")),
    (
        25,
        "9a02cd03e891a16103c40101c40102c40103a3616765a3616e6ec2",
        ev.ObservationsDropped(
            after=2,
            until=1_000,
            unseen=("a",),
            dropped=3,
            chain=b"\x01",
            stayed=b"\x02",
            state=b"\x03",
            why="age",
            author="ann",
        ),
    ),
    (26, "92ce00c00000ce04000000", ev.SpaceShort(left=12 << 20, reserve=64 << 20)),
    (27, "91ce04000000", ev.SpaceReturned(reserve=64 << 20)),
    (
        28,
        "9491c4020102ab6b6565705f626f64696573a3616e6ec2",
        ev.BodiesRemoved(digests=(b"\x01\x02",), why="keep_bodies", author="ann"),
    ),
    (
        29,
        "9affffffffffffffffa0a0",
        ev.LoadReported(),
    ),
    (
        29,
        "9ace000f424001020304050607a3683a31a16f",
        ev.LoadReported(
            cpu_ppm=1_000_000,
            memory_ppm=1,
            queue=2,
            active=3,
            errors_ppm=4,
            position=5,
            lag_us=6,
            lease_us=7,
            follows="h:1",
            observer="o",
        ),
    ),
    (
        31,
        "92a7747261666669639292a563616c6c732892a66572726f727303",
        ev.FiguresDerived(what="traffic", figures=(("calls", 40), ("errors", 3))),
    ),
    (30, "92d2ff676980ce00989680", ev.ClockStepped(offset_us=-10_000_000, step_us=10_000_000)),
    (
        32,
        "92ce009896809193a1613c3a",
        ev.CallsCounted(window_us=10_000_000, calls=(Calls(master="a", calls=60, failed=58),)),
    ),
    (
        152,
        "95ce02625a0001a86661696c757265739192a563616c6c733c9107",
        ev.MasterEjected(
            until_us=40_000_000,
            times=1,
            rule="failures",
            figures=(("calls", 60),),
            evidence=(7,),
        ),
    ),
    (153, "90", ev.MasterReadmitted()),
    (
        137,
        "9491a091a26f329203079192a5766f74657301",
        ev.ObserversDisagree(against=("",), well=("o2",), evidence=(3, 7), figures=(("votes", 1),)),
    ),
    (138, "919108", ev.ObserversAgree(evidence=(8,))),
    (
        139,
        "92ce0004c4b49192a8686967685f70706dce000493e0",
        ev.FlappingStarted(percent_ppm=312_500, figures=(("high_ppm", 300_000),)),
    ),
    (140, "92ce00030d4090", ev.FlappingEnded(percent_ppm=200_000)),
    (141, "93c30303", ev.DoubtChanged(doubted=True, failing=3, masters=3)),
    (101, "9281a667726f75707380a164", ev.PolicyAdopted(policy=Policy(groups={}), digest="d")),
    (
        102,
        "9297a161a167aa687474703a2f2f683a310101a092ce03211620ce00cc77c0c2",
        ev.MasterAdded(master=MASTER),
    ),
    (
        102,
        "9297a161a167aa687474703a2f2f683a310101a092ce03211620ce00cc77c0c3",
        ev.MasterAdded(master=MASTER, by_command=True),
    ),
    (103, "91a167", ev.MasterRemoved(group="g")),
    (
        104,
        "93920102a4726973659192a4676f6f6402",
        ev.MasterHealthy(evidence=(1, 2), rule="rise", figures=(("good", 2),)),
    ),
    (105, "939101a8646567726164656490", ev.MasterDegraded(evidence=(1,), rule="degraded")),
    (
        106,
        "949201cd012cc3a466616c6c9192a86661696c7572657302",
        ev.MasterFailed(evidence=(1, 300), hard=True, rule="fall", figures=(("failures", 2),)),
    ),
    (107, "939101a8616e73776572656490", ev.MasterRecovering(evidence=(1,), rule="answered")),
    (108, "92a773696c656e636590", ev.MasterUnknown(rule="silence")),
    (109, "9201a76865616c746879", ev.Activated(epoch=1, rule="healthy")),
    (110, "9305009109", ev.ActivationLost(epoch=5, found=0, evidence=(9,))),
    (
        111,
        "95a66661696c6564a161a1629195a162c301a672616e6b65649192a87072696f72697479029104",
        ev.FailoverProposed(why="failed", source="a", heir="b", table=(VERDICT,), evidence=(4,)),
    ),
    (
        112,
        "9809a66661696c6564a161a0c2a56c696d6974c39104",
        ev.FailoverStarted(
            id=9,
            why="failed",
            source="a",
            to="",
            planned=False,
            waits="limit",
            counts=True,
            evidence=(4,),
        ),
    ),
    (113, "90", ev.ApprovalGiven()),
    (
        114,
        "9401a162069195a162c301a672616e6b65649192a87072696f7269747902",
        ev.AttemptStarted(n=1, heir="b", epoch=6, table=(VERDICT,)),
    ),
    (
        115,
        "970507020304a164a172",
        ev.MasterFenced(
            revokes=5, confirm_at=7, requeued=2, first=3, last=4, digest="d", reason="r"
        ),
    ),
    (116, "9207a8616e737765726564", ev.FenceConfirmed(epoch=7, how="answered")),
    (117, "9107", ev.MasterRejoined(epoch=7)),
    (118, "92a16400", ev.TransferStarted(digest="d", count=0)),
    (119, "9306a16400", ev.PromotionStarted(epoch=6, digest="d")),
    (120, "90", ev.VerificationStarted()),
    (121, "9106", ev.Switched(epoch=6)),
    (122, "9106", ev.SwitchDone(epoch=6)),
    (123, "9206ce00011170", ev.MessagesAssigned(epoch=6, upto=70_000)),
    (124, "91a16b", ev.MessageDone(key="k")),
    (125, "92a172c3", ev.AttemptFailed(reason="r", maybe_active=True)),
    (126, "90", ev.Compensated()),
    (
        127,
        "9809a9636f6d706c65746564a09192a5746f74616c050800a000",
        ev.FailoverEnded(
            id=9,
            result="completed",
            reason="",
            phases=(("total", 5),),
            hold_until_us=8,
            retry_at_us=0,
        ),
    ),
    (128, "91a87072696f72697479", ev.StrategyChanged(strategy="priority")),
    (129, "92c2a0", ev.ExclusionChanged(excluded=False, reason="")),
    (130, "92aa7377697463686f76657292a161a162", ev.Refused(what="switchover", reasons=("a", "b"))),
    (
        131,
        "9594a167a161a87072696f726974799292a1610192a1620294a167a161a87072696f726974799292a1610192a16202a16404c2",
        ev.RollbackAccepted(before=CONTROL, after=CONTROL, digest="d", position=4),
    ),
    (
        131,
        "9594a167a161a87072696f726974799292a1610192a1620294a167a161a87072696f726974799292a1610192a16202a16404c3",
        ev.RollbackAccepted(before=CONTROL, after=CONTROL, digest="d", position=4, force=True),
    ),
    (132, "92a8636f6d706c657465a164", ev.RollbackEnded(result="complete", digest="d")),
    (133, "91a172", ev.DrainStarted(reason="r")),
    (134, "90", ev.DrainCancelled()),
    (135, "90", ev.DrainEnded()),
    (37, "9307a3616e6ec2", ev.AlertAcked(alert=7, author="ann")),
    (38, "92a3616e6ec2", ev.ResetAsked(author="ann")),
    (39, "92a3616e6ec2", ev.ScheduleCancelled(author="ann")),
    (40, "9509a161a162a3616e6ec2", ev.UndoAsked(failover=9, to="a", heir="b", author="ann")),
    (41, "94c3a46469736ba3616e6ec2", ev.DrainAsked(drained=True, reason="disk", author="ann")),
    (
        42,
        "9397a161a167aa687474703a2f2f683a310101a092ce03211620ce00cc77c0a3616e6ec2",
        ev.MasterAddAsked(master=MASTER, author="ann"),
    ),
    (43, "92a3616e6ec2", ev.MasterRemoveAsked(author="ann")),
    (
        44,
        "97049194a167a161a87072696f726974799292a1610192a1620291a164a3616e6ec0c2c2",
        ev.FleetRollbackRequested(position=4, controls=(CONTROL,), digests=("d",), author="ann"),
    ),
    (149, "93a16208a3616e6e", ev.SwitchoverScheduled(to="b", due_us=8, author="ann")),
    (150, "9307a5626567756e90", ev.ScheduleEnded(scheduled=7, how="begun")),
    (
        150,
        "9307a77265667573656491a172",
        ev.ScheduleEnded(scheduled=7, how="refused", reasons=("r",)),
    ),
    (151, "92c3a46469736b", ev.DrainChanged(drained=True, reason="disk")),
    (
        146,
        "92a76e6f2d686569729192a76d61737465727302",
        ev.AlertPending(kind="no-heir", figures=(("masters", 2),)),
    ),
    (
        147,
        "95a76e6f2d68656972a77761726e696e67089192a76d617374657273029107",
        ev.AlertRaised(
            kind="no-heir",
            severity="warning",
            since_us=8,
            figures=(("masters", 2),),
            evidence=(7,),
        ),
    ),
    (148, "93a76e6f2d686569720709", ev.AlertCleared(kind="no-heir", alert=7, lasted_us=9)),
]


@pytest.mark.parametrize(("kind", "payload", "event"), STORED)
def test_stored_bytes_mean_the_same_for_ever(kind: int, payload: str, event: AnyEvent) -> None:
    assert ev.decode(kind, bytes.fromhex(payload), seq=1) == event
    assert ev.encode(event) == (kind, bytes.fromhex(payload))


def test_codes_are_frozen_and_every_event_has_one() -> None:
    assert {kind.__name__: code for code, kind in ev.KINDS.items()} == CODES
    assert set(ev.KINDS.values()) == set(get_args(AnyEvent))


def test_every_kind_has_stored_bytes() -> None:
    assert {type(event) for _, _, event in STORED} == set(ev.KINDS.values())


def test_observations_and_decisions_have_nothing_in_common() -> None:
    assert set(get_args(Observation)) == ev.OBSERVATIONS
    assert set(get_args(Decision)) == set(ev.KINDS.values()) - ev.OBSERVATIONS
    assert all((code < 100) == (kind in ev.OBSERVATIONS) for code, kind in ev.KINDS.items())


@pytest.mark.parametrize("kind", ev.KINDS.values())
def test_every_event_is_a_frozen_array_that_refuses_what_it_does_not_know(kind: type) -> None:
    config = kind.__struct_config__  # type: ignore[attr-defined]
    assert (config.frozen, config.array_like, config.forbid_unknown_fields) == (True, True, True)


def test_an_older_payload_ends_early_and_takes_the_defaults() -> None:
    payload = msgspec.msgpack.encode([1, 1_500])
    assert ev.decode(4, payload, seq=1) == ev.ProbeOk(n=1, latency_us=1_500)


def defaults_at_the_end(kind: type) -> dict[str, object]:
    """Return the fields at the end of a struct that have defaults, in order, with them."""
    found: dict[str, object] = {}
    for field in msgspec.structs.fields(kind):
        if field.required:
            assert not found, f"{kind.__name__}: {field.name} follows a field that may be missing"
        elif field.default_factory is not msgspec.NODEFAULT:
            found[field.name] = field.default_factory()
        else:
            found[field.name] = field.default
    return found


@pytest.mark.parametrize(("kind", "payload", "event"), STORED)
def test_every_event_may_end_before_its_fields_with_defaults(
    kind: int, payload: str, event: AnyEvent
) -> None:
    stored = msgspec.msgpack.decode(bytes.fromhex(payload))
    defaults = defaults_at_the_end(type(event))
    assert len(stored) == len(event.__struct_fields__)
    for count in range(1, len(defaults) + 1):
        missing = dict(list(defaults.items())[-count:])
        cut = msgspec.msgpack.encode(stored[:-count])
        expected = msgspec.structs.replace(event, **missing)
        assert ev.decode(kind, cut, seq=1) == expected
        assert ev.LIST_DECODERS[kind](msgspec.msgpack.encode([msgspec.Raw(cut)])) == [expected]
    short = msgspec.msgpack.encode(stored[: len(stored) - len(defaults) - 1])
    if len(stored) > len(defaults):
        with pytest.raises(LogCorrupted):
            ev.decode(kind, short, seq=1)


@pytest.mark.parametrize("kind", [ev.Verdict, Master, ev.GroupControl])
def test_what_is_stored_as_an_array_within_an_event_grows_at_its_end_too(kind: type) -> None:
    defaults_at_the_end(kind)
    assert kind.__struct_config__.array_like  # type: ignore[attr-defined]


def test_no_code_is_used_twice_and_what_is_retired_is_read_as_a_kind_of_today() -> None:
    assert ev.KINDS.keys().isdisjoint(ev.RETIRED)
    assert ev.READ_AS.keys() == ev.DECODERS.keys() == ev.LIST_DECODERS.keys()
    for code, before in ev.RETIRED.items():
        assert before.kind in ev.KINDS.values()
        assert before.old not in ev.KINDS.values()
        assert ev.READ_AS[code] is before.kind
        config = before.old.__struct_config__
        assert (config.frozen, config.array_like, config.forbid_unknown_fields) == (
            True,
            True,
            True,
        )


KEPT = ev.StateKept(key="k", size=3, digest=b"d")


def test_a_retired_kind_is_read_as_one_of_today_and_written_as_that() -> None:
    payload = bytes.fromhex("93a16b03c40164")
    assert ev.decode(10, payload, seq=1) == KEPT
    assert ev.LIST_DECODERS[10](b"\x92" + payload + payload) == [KEPT, KEPT]
    assert ev.encode(KEPT) == (136, payload)
    assert ev.codes_of((ev.StateKept, ev.ProbeOk)) == {4, 10, 136}
    for bad in (b"", b"\x90", msgspec.msgpack.encode(["k", 3, b"d", "one field too many"])):
        with pytest.raises(LogCorrupted, match="event 7"):
            ev.decode(10, bad, seq=7)


def test_an_unknown_kind_is_a_newer_log() -> None:
    with pytest.raises(LogTooNew, match="event 7: expected a known kind, found 99"):
        ev.decode(99, b"", seq=7)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xff",
        msgspec.msgpack.encode([1]),
        msgspec.msgpack.encode(["x", 1]),
        msgspec.msgpack.encode([1, 2, "", None, "", "", "one field too many"]),
    ],
)
def test_a_payload_that_is_none_is_corrupt_and_named(payload: bytes) -> None:
    with pytest.raises(LogCorrupted, match="event 7") as caught:
        ev.decode(4, payload, seq=7)
    assert caught.value.seq == 7


def test_json_opens_what_is_stored_as_arrays() -> None:
    event = ev.FailoverProposed(why="failed", source="a", heir="b", table=(VERDICT,), evidence=(4,))
    shown = ev.jsonable(Recorded(seq=5, at_us=1, subject="g", cause=4, event=event))
    verdict = {
        "master": "b", "fit": True, "rank": 1, "rule": "ranked", "figures": {"priority": 2}
    }  # fmt: skip
    assert shown == {
        "seq": 5,
        "kind": "FailoverProposed",
        "subject": "g",
        "cause": 4,
        "data": {
            "why": "failed", "source": "a", "heir": "b", "table": [verdict], "evidence": [4]
        },
    }  # fmt: skip


@pytest.mark.parametrize(
    ("event", "data"),
    [
        (
            ev.MessageAccepted(key="k", lane="l", size=3, digest=b"\x01\x02"),
            {"key": "k", "lane": "l", "size": 3, "digest": "0102"},
        ),
        (
            ev.ConfigurationLoaded(digest="d", policy=Policy(groups={})),
            {
                "digest": "d",
                "policy": {"groups": {}, "fleet": None, "alerts": None},
                "masters": [],
                "author": "",
                "at_rest": False,
            },
        ),
        (ev.ConnectionClosed(evidence=Evidence.RESET), {"evidence": "reset", "observer": ""}),
    ],
)
def test_json_shows_names_and_hex(event: AnyEvent, data: dict[str, object]) -> None:
    assert ev.jsonable(Recorded(seq=1, at_us=1, subject="g", cause=0, event=event))["data"] == data
