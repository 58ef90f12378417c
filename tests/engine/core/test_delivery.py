"""Messages through the driver: offered, appended with their bodies, sent, sent again."""

import pytest

from engine.core import events as ev
from engine.core.errors import CommandRefused
from engine.core.policy import SECOND
from tests.engine.core.drive import serving


def test_a_body_goes_with_the_batch_of_its_event() -> None:
    engine = serving()
    event = ev.MessageAccepted(key="k", lane="g", size=1, digest=b"k")
    engine.driver.observe(event, subject="g", at_us=engine.at_us, bodies={b"k": b"body"})
    batch = engine.driver.take_batch(engine.at_us)
    assert batch is not None
    assert batch.bodies == {b"k": b"body"}
    engine.driver.durable()
    engine.accepts("l")
    batch = engine.driver.take_batch(engine.at_us)
    assert batch is not None
    assert batch.bodies == {}


def test_an_offer_is_new_open_done_or_refused() -> None:
    engine = serving()
    driver = engine.driver
    new = driver.offer("g", key="k", lane="", size=1, digest=b"k")
    assert new.event == ev.MessageAccepted(key="k", lane="g", size=1, digest=b"k")
    assert new.event is not None
    seq = engine.see(new.event, "g")
    again = driver.offer("g", key="k", lane="", size=1, digest=b"k")
    assert (again.event, again.seq) == (None, seq)
    with pytest.raises(CommandRefused, match="expected the body that it was first used for"):
        driver.offer("g", key="k", lane="", size=1, digest=b"other")
    engine.see(ev.MessageAcked(key="k", epoch=1), "a")
    assert driver.offer("g", key="k", lane="", size=1, digest=b"k").seq == 0
    with pytest.raises(CommandRefused, match="no group 'z'"):
        driver.offer("z", key="k", lane="", size=1, digest=b"k")


def test_a_lane_is_the_group_unless_it_is_named() -> None:
    offer = serving().driver.offer("g", key="k", lane="own", size=1, digest=b"")
    assert offer.event is not None
    assert offer.event.lane == "own"


def test_a_message_is_sent_again_when_its_time_is_up() -> None:
    engine = serving()
    engine.accepts("k")
    assert engine.driver.due_deliveries(engine.at_us) == []
    engine.append()
    (sent,) = engine.driver.due_deliveries(engine.at_us)
    assert (sent.key, sent.master, sent.epoch) == ("k", "a", 1)
    assert engine.driver.due_deliveries(engine.at_us + SECOND - 1) == []
    assert engine.driver.wake_at_us() == engine.at_us + SECOND
    assert engine.driver.due_deliveries(engine.at_us + SECOND) == [sent]


def test_a_message_that_did_not_arrive_is_sent_again_when_said() -> None:
    engine = serving()
    engine.accepts("k")
    engine.append()
    (sent,) = engine.driver.due_deliveries(engine.at_us)
    engine.driver.undelivered(sent, retry_at_us=engine.at_us + 3)
    assert engine.driver.due_deliveries(engine.at_us + 2) == []
    assert engine.driver.due_deliveries(engine.at_us + 3) == [sent]


def test_a_message_that_is_done_is_not_sent_and_not_waited_for() -> None:
    engine = serving()
    engine.accepts("k")
    engine.append()
    (sent,) = engine.driver.due_deliveries(engine.at_us)
    engine.see(ev.MessageAcked(key="k", epoch=1), "a")
    engine.append()
    engine.driver.undelivered(sent, retry_at_us=engine.at_us)
    assert engine.driver.due_deliveries(engine.at_us + SECOND) == []
    assert engine.driver.wake_at_us() is None


def test_groups_may_use_the_same_key() -> None:
    engine = serving()
    engine.accepts("k", "g")
    engine.accepts("k", "h")
    engine.append()
    sent = engine.driver.due_deliveries(engine.at_us)
    assert [(each.group, each.master) for each in sent] == [("g", "a"), ("h", "x")]
    engine.see(ev.MessageAcked(key="k", epoch=1), "a")
    engine.append()
    assert engine.driver.due_deliveries(engine.at_us) == []


def test_nobody_wakes_for_a_message_that_nobody_can_be_sent() -> None:
    engine = serving()
    engine.accepts("k")
    engine.append()
    engine.driver.due_deliveries(engine.at_us)
    engine.crashes("a")
    engine.append()
    engine.effects()
    engine.at_us += 10 * SECOND
    assert engine.driver.due_deliveries(engine.at_us) == []
    assert engine.driver.wake_at_us() is None
