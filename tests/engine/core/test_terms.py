"""What a command is given under: looked at when it enters the core, and no rule depends on it."""

from collections.abc import Mapping

import msgspec
import pytest

from engine.core import events as ev
from engine.core.errors import CommandRefused
from engine.core.events import FLEET, Evidence
from engine.core.replay import replay
from engine.core.terms import (
    KEY_CHARACTERS_MAX,
    Keyed,
    Terms,
    check_key,
    content_of,
    unmet,
)
from tests.engine.core.drive import serving

PAUSED = ev.Paused(until_us=0, reason="r", author="ann")
CONTENT = bytes(32)


def versions(engine_state: object) -> dict[str, int]:
    groups = engine_state.groups  # type: ignore[attr-defined]
    return {name: group.version for name, group in groups.items()}


# Versions.


def test_a_version_moves_with_what_is_decided_or_asked_and_not_with_what_passes() -> None:
    engine = serving(fall=9)
    state = engine.driver.working
    before, fleet = versions(state), state.fleet.version
    engine.ok("a", "b", "c", "x")
    engine.accepts("m-1", "g")
    engine.see(ev.ProbeFailed(n=10_000, evidence=Evidence.OVERDUE), "b")
    engine.see(ev.ConnectionClosed(evidence=Evidence.CLOSED), "c")
    assert (versions(state), state.fleet.version) == (before, fleet)
    engine.see(PAUSED, "g")
    assert versions(state) == {**before, "g": before["g"] + 1}
    engine.see(ev.CheckpointMarked(name="here", author="ann"))
    assert state.fleet.version == fleet + 1
    engine.see(ev.FailoverAsked(to="b", author="ann"), "g")
    assert versions(state)["g"] > before["g"] + 2  # what was asked for, and what was decided
    assert versions(state)["h"] == before["h"]


def test_messages_and_outcomes_alone_move_no_version() -> None:
    engine = serving()
    state = engine.driver.working
    engine.accepts("m-1", "g")
    before = versions(state)
    engine.append()
    (deliver,) = engine.driver.due_deliveries(engine.at_us)
    acked = ev.MessageAcked(key=deliver.key, epoch=deliver.epoch, keeps=(("s", 1, bytes(32)),))
    engine.see(acked, deliver.master)
    assert not state.groups["g"].ledger.open
    assert state.groups["g"].kept
    assert versions(state) == before


# Expectations.


@pytest.mark.parametrize(
    ("off", "reason"),
    [
        ({"g": 1}, "expected version {g1} of g, found {g}"),
        ({"fleet": -1}, "expected version {fleet1} of fleet, found {fleet}"),
        ({"z": 5}, "expected version 5 of z, found no such group"),
    ],
)
def test_what_is_not_so_is_named_as_expected_and_found(off: Mapping[str, int], reason: str) -> None:
    engine = serving()
    state = engine.driver.working
    found = {"g": state.groups["g"].version, "fleet": state.fleet.version, "z": 0}
    expected = {name: found[name] + by for name, by in off.items()}
    said = reason.format(
        g=found["g"], g1=found["g"] + 1, fleet=found["fleet"], fleet1=found["fleet"] - 1
    )
    assert unmet(state, Terms(expected_versions=expected)) == (said,)


def test_everything_that_is_not_so_is_named_at_once() -> None:
    state = serving().driver.working
    terms = Terms(expected_head=state.seq - 1, expected_versions={"h": 0, "g": 0})
    assert unmet(state, terms) == (
        f"expected event {state.seq - 1} to be the last, found {state.seq}",
        f"expected version 0 of g, found {state.groups['g'].version}",
        f"expected version 0 of h, found {state.groups['h'].version}",
    )


def test_nothing_is_recorded_of_a_command_that_expects_something_else() -> None:
    engine = serving()
    head = engine.driver.working.seq
    for terms in (
        Terms(expected_head=head - 1, key="k", content=CONTENT),
        Terms(expected_versions={"g": 0}, key="k", content=CONTENT),
    ):
        with pytest.raises(CommandRefused, match="expected"):
            engine.driver.observe(
                PAUSED, subject="g", at_us=engine.at_us, bodies={CONTENT: b""}, terms=terms
            )
    assert engine.driver.working.seq == head
    assert engine.driver.take_batch(engine.at_us) is None
    engine.see(PAUSED, "g")
    batch = engine.driver.take_batch(engine.at_us)
    assert batch is not None
    assert (batch.bodies, batch.keyed) == ({}, ())


def test_a_command_that_finds_what_it_expects_is_decided_as_any_other() -> None:
    engine, plain = serving(), serving()
    state = engine.driver.working
    terms = Terms(
        key="k",
        content=CONTENT,
        expected_head=state.seq,
        expected_versions={"g": state.groups["g"].version, FLEET: state.fleet.version},
    )
    asked = ev.FailoverAsked(to="b", author="ann")
    seq = engine.driver.observe(asked, subject="g", at_us=engine.at_us, terms=terms)
    assert seq == plain.driver.observe(asked, subject="g", at_us=plain.at_us)
    batch, other = (each.driver.take_batch(each.at_us) for each in (engine, plain))
    assert batch is not None
    assert other is not None
    assert batch.events == other.events
    last = max(recorded.seq for recorded in batch.events if recorded.cause == seq)
    assert last > seq
    assert batch.keyed == (Keyed(key="k", content=CONTENT, first=seq, last=last),)
    assert other.keyed == ()


def test_what_is_due_is_decided_before_it_is_looked_at_what_a_command_finds() -> None:
    """Otherwise a deadline between the two would change what the command rests on."""
    engine = serving(unknown_after_us=1_000_000)
    expected = versions(engine.driver.working)
    engine.at_us += 2_000_000
    terms = Terms(expected_versions=expected)
    with pytest.raises(CommandRefused, match=f"expected version {expected['g']} of g"):
        engine.driver.observe(PAUSED, subject="g", at_us=engine.at_us, terms=terms)
    batch = engine.driver.take_batch(engine.at_us)
    assert batch is not None
    assert {type(recorded.event) for recorded in batch.events} >= {
        ev.DeadlinePassed,
        ev.MasterUnknown,
    }
    assert PAUSED not in [recorded.event for recorded in batch.events]


# Keys.


def test_each_command_of_a_batch_has_its_own_key_and_what_was_thrown_away_has_none() -> None:
    engine = serving()
    driver = engine.driver
    log = engine.log.copy()
    seqs = [
        driver.observe(
            PAUSED, subject=name, at_us=engine.at_us, terms=Terms(key=name, content=CONTENT)
        )
        for name in ("g", "h")
    ]
    driver.reset(replay(log))
    assert driver.take_batch(1 << 62) is None
    again = [
        driver.observe(
            PAUSED, subject=name, at_us=engine.at_us, terms=Terms(key=name, content=CONTENT)
        )
        for name in ("g", "h")
    ]
    assert again == seqs
    batch = driver.take_batch(engine.at_us)
    assert batch is not None
    assert [(each.key, each.first, each.last) for each in batch.keyed] == [
        ("g", seqs[0], seqs[0]),
        ("h", seqs[1], seqs[1]),
    ]
    driver.durable()
    engine.see(PAUSED, "g")
    later = driver.take_batch(engine.at_us)
    assert later is not None
    assert later.keyed == ()


def test_content_is_kind_subject_and_fields_and_their_order() -> None:
    known = content_of([(PAUSED, "g"), (ev.Resumed(author="ann"), "g")])
    others = [
        [(PAUSED, "g")],
        [(ev.Resumed(author="ann"), "g"), (PAUSED, "g")],
        [(PAUSED, "h"), (ev.Resumed(author="ann"), "g")],
        [(PAUSED, "g"), (ev.Approved(author="ann"), "g")],
        [(msgspec.structs.replace(PAUSED, until_us=1), "g"), (ev.Resumed(author="ann"), "g")],
    ]
    digests = {content_of(other) for other in others}
    assert len(digests) == len(others)
    assert known not in digests
    assert known == content_of([(PAUSED, "g"), (ev.Resumed(author="ann"), "g")])


def test_a_key_is_a_text_of_a_length() -> None:
    check_key("k" * KEY_CHARACTERS_MAX)
    with pytest.raises(CommandRefused, match="at most 255 characters, found 256"):
        check_key("k" * (KEY_CHARACTERS_MAX + 1))
    with pytest.raises(CommandRefused, match="surrogate"):
        check_key("\ud800")
