"""Messages under way: bounded for each master, issued once until their end, later and later."""

from typing import Any, NoReturn

import pytest

from engine.core import events as ev
from engine.core.errors import CommandRefused
from engine.core.events import Recorded
from engine.core.fleet import Mode
from engine.core.owed import Deliver, deliveries
from engine.core.policy import SECOND, Automation
from engine.core.replay import replay
from engine.core.sending import RESEND_US, RESEND_US_MAX, Sending, is_current
from engine.simulation.rim import Rim
from engine.simulation.schedule import draw
from engine.simulation.world import run
from tests.engine.core.build import declared, loaded
from tests.engine.core.drive import MEMBERS, Engine, serving


def taken(*keys: str, **changes: object) -> Engine:
    """Return an engine whose group g has these messages, each in a lane of its own."""
    engine = serving(**changes)
    for key in keys:
        engine.accepts(key, lane=key)
    engine.append()
    return engine


def due(engine: Engine, under_way_max: int = 10) -> list[Deliver]:
    return engine.driver.due_deliveries(engine.at_us, under_way_max=under_way_max)


def keys(sent: list[Deliver]) -> list[str]:
    return [deliver.key for deliver in sent]


def acked(engine: Engine, deliver: Deliver) -> None:
    """Let its master have answered that it is done."""
    engine.driver.sending.ended(deliver, again_us=None)
    engine.see(ev.MessageAcked(key=deliver.key, epoch=deliver.epoch), deliver.master)


# One at a time.


def test_what_is_under_way_is_not_issued_again_however_long_it_takes() -> None:
    engine = taken("k")
    assert keys(due(engine)) == ["k"]
    engine.at_us += 60 * SECOND
    assert due(engine) == []
    assert engine.driver.wake_at_us() is None


def test_a_master_has_only_so_many_and_the_others_have_theirs() -> None:
    engine = taken("k", "l", "m")
    engine.accepts("n", "h")
    engine.append()
    sent = due(engine, under_way_max=2)
    assert [(each.master, each.key) for each in sent] == [("a", "k"), ("a", "l"), ("x", "n")]
    assert due(engine, under_way_max=2) == []


def test_what_has_no_room_wakes_nobody_before_there_is_some() -> None:
    engine = taken("k", "l")
    (sent,) = due(engine, under_way_max=1)
    assert engine.driver.wake_at_us() is None
    acked(engine, sent)
    engine.append()
    wake_us = engine.driver.wake_at_us()
    assert wake_us is not None
    assert wake_us <= engine.at_us
    assert keys(due(engine, under_way_max=1)) == ["l"]


def test_who_waits_longest_is_next() -> None:
    engine = taken("k", "l")
    (first,) = due(engine, under_way_max=1)
    engine.driver.sending.failed(first, at_us=engine.at_us)
    engine.at_us += RESEND_US + 1
    engine.accepts("m", lane="m")
    engine.append()
    assert keys(due(engine, under_way_max=1)) == ["l"]
    assert keys(due(engine, under_way_max=3)) == ["k", "m"]


def test_in_a_lane_the_next_follows_when_the_one_before_is_done() -> None:
    engine = serving()
    for key in ("k", "l"):
        engine.accepts(key)
    engine.append()
    (first,) = due(engine)
    acked(engine, first)
    assert due(engine) == []  # that it is done is not durable
    engine.append()
    assert keys(due(engine)) == ["l"]


def test_what_is_done_out_of_its_turn_holds_up_nobody() -> None:
    engine = serving()
    for key in ("k", "l", "m"):
        engine.accepts(key)
    engine.append()
    (first,) = due(engine)
    engine.see(ev.MessageAcked(key="l", epoch=first.epoch), "a")
    engine.append()
    assert due(engine) == []
    acked(engine, first)
    engine.append()
    assert keys(due(engine)) == ["m"]


# Its end.


def test_a_message_that_fails_every_time_is_sent_later_and_later() -> None:
    engine = taken("k")
    pauses = []
    for _ in range(20):
        (sent,) = due(engine)
        engine.driver.sending.failed(sent, at_us=engine.at_us)
        failed_us = engine.at_us
        wake_us = engine.driver.wake_at_us()
        assert wake_us is not None
        engine.at_us = wake_us - 1
        assert due(engine) == []
        engine.at_us = wake_us
        pauses.append(wake_us - failed_us)
    assert pauses[:3] == [RESEND_US, 2 * RESEND_US, 4 * RESEND_US]
    assert pauses[-1] == RESEND_US_MAX


def test_what_was_taken_is_sent_again_when_it_was_said() -> None:
    engine = taken("k")
    (sent,) = due(engine)
    engine.driver.sending.ended(sent, again_us=engine.at_us + SECOND)
    assert engine.driver.wake_at_us() == engine.at_us + SECOND
    engine.at_us += SECOND
    assert due(engine) == [sent]


def test_the_end_of_what_nobody_was_sent_is_nobodys() -> None:
    engine = taken("k")
    (sent,) = due(engine)
    Sending().failed(sent, at_us=engine.at_us)
    acked(engine, sent)
    engine.append()
    engine.driver.sending.failed(sent, at_us=engine.at_us)
    assert engine.driver.wake_at_us() is None


def test_a_retry_that_was_due_then_anyway_is_sent_once() -> None:
    engine = taken("k")
    (sent,) = engine.driver.due_deliveries(engine.at_us)
    engine.driver.undelivered(sent, retry_at_us=engine.at_us + SECOND)  # its time-out, too
    engine.at_us += SECOND
    assert engine.driver.due_deliveries(engine.at_us) == [sent]


# A working state that is thrown away.


def test_what_is_under_way_stays_so_when_the_state_is_folded_again() -> None:
    engine = taken("k", "l")
    (first,) = due(engine, under_way_max=1)
    engine.driver.reset(replay(engine.log))
    assert due(engine, under_way_max=1) == []
    assert keys(due(engine)) == ["l"]
    engine.driver.sending.failed(first, at_us=engine.at_us)
    engine.at_us += RESEND_US
    assert due(engine) == [first]


def test_an_acknowledgement_that_was_lost_is_asked_for_again() -> None:
    engine = taken("k")
    (sent,) = due(engine)
    acked(engine, sent)
    engine.driver.reset(replay(engine.log))
    assert due(engine) == [sent]


# A revoked activation.


def test_what_a_revoked_activation_has_under_way_takes_its_room_until_it_ended() -> None:
    engine = taken("k", "l", "m")
    (old,) = due(engine, under_way_max=1)
    engine.see(ev.FailoverAsked(to="b", author="x"), "g")
    engine.work()
    assert not is_current(engine.driver.durable_state, old)
    assert keys(due(engine, under_way_max=1)) == ["k"]  # at b
    engine.ok("a", epoch=None)
    engine.see(ev.FailoverAsked(to="a", author="x"), "g")
    engine.work()
    engine.ok("a", "b", "c")
    engine.work()
    assert engine.driver.durable_state.groups["g"].masters["a"].role.value == "active"
    assert due(engine, under_way_max=1) == []
    engine.driver.sending.ended(old, again_us=engine.at_us)
    (again,) = due(engine, under_way_max=1)
    assert (again.master, again.key) == ("a", "k")
    assert again.epoch > old.epoch


def test_a_late_end_under_an_old_epoch_moves_nothing_of_the_new_one() -> None:
    engine = taken("k")
    (old,) = due(engine)
    engine.see(ev.FailoverAsked(to="b", author="x"), "g")
    engine.work()
    (new,) = due(engine)
    engine.driver.sending.failed(old, at_us=engine.at_us)
    assert due(engine) == []
    assert engine.driver.wake_at_us() is None
    acked(engine, new)
    engine.append()
    assert not is_current(engine.driver.durable_state, new)


def test_nothing_is_current_of_a_group_that_is_not_there() -> None:
    engine = taken("k")
    (sent,) = due(engine)
    assert is_current(engine.driver.durable_state, sent)
    assert not is_current(Engine().driver.durable_state, sent)


def test_who_leaves_the_fleet_is_sent_nothing() -> None:
    engine = taken()
    policy = engine.driver.working.fleet.policy.groups["g"]
    masters = (*(m for m in MEMBERS if m.id != "c"), *declared("x", group="h"))
    engine.see(loaded({"g": policy, "h": policy}, masters))
    removed = [type(seen.event) for seen in engine.append()]
    assert ev.MasterRemoved in removed
    assert due(engine) == []


# The list and the ledger.


class Looking(Rim):
    """Compares what there is to send with the ledger, before whatever it does."""

    listed = 0

    def _pump(self) -> None:
        found = {
            entry.deliver
            for outgoing in self.driver.sending._masters.values()
            for entry in outgoing.entries.values()
        }
        groups = self.driver.durable_state.groups.values()
        assert found == {deliver for group in groups for deliver in deliveries(group)}
        Looking.listed += len(found)
        super()._pump()


def test_the_lists_are_what_the_ledger_says_whatever_happens() -> None:
    Looking.listed = 0
    for seed in range(20):
        run(draw(seed), engine=Looking)
    assert Looking.listed > 1_000


class Unwalked(dict[Any, Any]):
    """What may be asked for one thing, and not for all."""

    def _walked(self) -> NoReturn:
        raise AssertionError("it was walked")

    __iter__ = items = keys = values = _walked


def test_what_is_due_is_found_without_walking_the_lanes() -> None:
    engine = taken(*(f"k{number}" for number in range(100)))
    ledger = engine.driver.durable_state.groups["g"].ledger
    ledger.lanes = Unwalked(ledger.lanes)
    ledger.open = Unwalked(ledger.open)
    sent = due(engine, under_way_max=100)
    assert len(sent) == 100
    engine.driver.sending.failed(sent[0], at_us=engine.at_us)
    assert engine.driver.wake_at_us() == engine.at_us + RESEND_US
    acked(engine, sent[1])
    assert [type(seen.event) for seen in engine.append()] == [ev.MessageAcked, ev.MessageDone]


# What nobody would be sent.


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"automation": Automation.OBSERVE}, "g only observes: nothing would be delivered"),
        ({"effects": "none"}, 'g has effects = "none": nothing would be delivered'),
        ({"mode": Mode.ACTIVE_ACTIVE}, 'g has effects = "none": nothing would be delivered'),
    ],
)
def test_what_nobody_would_be_sent_is_refused(changes: dict[str, object], reason: str) -> None:
    driver = Engine(**changes).driver
    with pytest.raises(CommandRefused) as refused:
        driver.offer("g", key="k", lane="", size=1, digest=b"k")
    assert refused.value.reasons == (reason,)


def test_what_was_accepted_while_it_could_be_delivered_is_known_all_the_same() -> None:
    engine = Engine(automation=Automation.OBSERVE)
    accepted = ev.MessageAccepted(key="k", lane="g", size=1, digest=b"k")
    seq = engine.see(accepted, "g")
    assert engine.driver.offer("g", key="k", lane="", size=1, digest=b"k").seq == seq


@pytest.mark.parametrize("automation", [Automation.CONFIRM, Automation.AUTO])
def test_a_group_that_acts_takes_messages(automation: Automation) -> None:
    driver = Engine(automation=automation).driver
    assert driver.offer("g", key="k", lane="", size=1, digest=b"k").event is not None


def test_the_end_of_a_drain_takes_what_was_left_off_the_list() -> None:
    engine = taken("k")
    (sent,) = due(engine)
    place = engine.driver.durable_state.cache.places["a"]
    ended = Recorded(seq=0, at_us=0, subject="a", cause=0, event=ev.DrainEnded())
    engine.driver.sending.note(engine.driver.durable_state, ended, ())
    assert place.group.ledger.by_key == {"k": sent.seq}
    engine.driver.sending.failed(sent, at_us=engine.at_us)
    assert engine.driver.wake_at_us() is None


def test_no_more_are_accepted_than_may_be_open() -> None:
    engine = serving(open_max=2)
    engine.accepts("i")
    engine.accepts("j")
    with pytest.raises(CommandRefused, match="g has 2 messages that are not done, and takes no"):
        engine.accepts("k")
    assert engine.driver.offer("g", key="j", lane="", size=1, digest=b"j").event is None
    engine.append()
    engine.see(ev.MessageAcked(key="i", epoch=1), "a")
    engine.accepts("k")
