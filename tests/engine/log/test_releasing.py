"""Which bodies may go: those that nothing has needed for so long, each once, in portions."""

from pathlib import Path

import pytest

from engine.core import events as ev
from engine.core import state as st
from engine.core.errors import LogError
from engine.core.events import Recorded
from engine.core.policy import SECOND, Policy
from engine.log import releasing
from engine.log.memory import MemoryLog
from engine.log.naming import Named
from engine.log.releasing import Releasing
from engine.log.sqlite import open_log
from engine.log.states import state_at
from engine.log.thinning import dropping, thinned
from tests.engine.core.build import made
from tests.engine.log.events import at
from tests.engine.log.messaging import Messaging, digest_of

KEEP_US = 10 * SECOND


@pytest.fixture
def told() -> Messaging:
    return Messaging(MemoryLog())


def gone(told: Messaging, found: Releasing) -> list[bytes]:
    """Let go whatever may go, as an engine does; return the bodies."""
    bodies = []
    while (digests := found.next()) or found.is_behind:
        spare = told.driver.spare(digests)
        bodies += [told.log.body(digest) or b"" for digest in spare]
        if spare:
            told.see(ev.BodiesRemoved(digests=spare, why="keep_bodies"))
        found.settled(digests)
    return bodies


def test_a_body_goes_when_its_message_was_done_for_long_enough_and_not_before(
    told: Messaging,
) -> None:
    found = Releasing(told.log, keep_us=KEEP_US)
    told.accept("open", b"open")
    told.through("old", b"old")
    told.later(SECOND)
    told.through("young", b"young")
    told.later(KEEP_US - SECOND - 1)
    assert gone(told, found) == []
    told.later(1)
    assert gone(told, found) == [b"old"]
    assert told.there() == {b"open", b"young"}
    told.later(SECOND)
    assert gone(told, found) == [b"young"]
    told.later(100 * KEEP_US)
    assert gone(told, found) == []
    told.done("open")
    told.later(KEEP_US)
    assert gone(told, found) == [b"open"]
    assert told.there() == set()


def test_state_goes_when_it_was_replaced_or_dropped_for_long_enough(told: Messaging) -> None:
    found = Releasing(told.log, keep_us=KEEP_US)
    told.through("1", b"1", total=b"first", other=b"stays")
    told.later(KEEP_US)
    assert gone(told, found) == [b"1"]
    told.through("2", b"2", total=b"second")
    told.through("3", b"3", total=None)
    told.later(KEEP_US - 1)
    assert gone(told, found) == []
    told.later(1)
    assert set(gone(told, found)) == {b"2", b"3", b"first", b"second"}
    assert told.there() == {b"stays"}


def test_state_that_came_with_a_late_acknowledgement_goes_too(told: Messaging) -> None:
    found = Releasing(told.log, keep_us=KEEP_US)
    told.through("1", b"1", total=b"counts")
    blob = b"does not count"
    acked = ev.MessageAcked(key="1", epoch=1, keeps=(("total", len(blob), digest_of(blob)),))
    told.see(acked, "a", blob=blob)
    assert told.there() == {b"1", b"counts", blob}
    told.later(KEEP_US)
    assert set(gone(told, found)) == {b"1", blob}
    assert told.there() == {b"counts"}


def test_one_body_of_several_messages_goes_after_the_last_of_them(told: Messaging) -> None:
    found = Releasing(told.log, keep_us=KEEP_US)
    told.through("first", b"same")
    told.later(KEEP_US // 2)
    told.through("second", b"same", state=b"same")
    told.later(KEEP_US // 2)
    assert gone(told, found) == []
    told.through("third", b"third", state=None)
    told.later(KEEP_US // 2)
    assert gone(told, found) == []  # the second was done long ago, and the state is not
    told.later(KEEP_US // 2)
    assert set(gone(told, found)) == {b"same", b"third"}


def test_what_is_needed_again_is_spared_and_goes_later(told: Messaging) -> None:
    found = Releasing(told.log, keep_us=KEEP_US)
    told.through("first", b"same")
    told.later(KEEP_US)
    digests = found.next()
    assert digests == (digest_of(b"same"),)
    told.accept("again", b"same")  # between the look and the removal
    assert told.driver.spare(digests) == ()
    found.settled(digests)
    told.done("again")
    assert gone(told, found) == []
    told.later(KEEP_US)
    assert gone(told, found) == [b"same"]


def test_what_a_group_kept_goes_with_the_group() -> None:
    named = Named()
    for subject, body in (("g", b"one"), ("g", b"two"), ("h", b"one")):
        kept = ev.StateKept(key=body.decode(), size=len(body), digest=digest_of(body))
        assert named.take(at(1, kept, subject=subject)) == []
    adopted = ev.PolicyAdopted(policy=Policy(groups={"h": made()}), digest="d")
    assert set(named.take(at(2, adopted))) == {digest_of(b"one"), digest_of(b"two")}
    assert named.uses == {digest_of(b"one"): 1}


def test_portions_are_bounded_by_number_and_by_size(
    told: Messaging, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(releasing, "DIGESTS_MAX", 3)
    monkeypatch.setattr(releasing, "BYTES_MAX", 100)
    monkeypatch.setattr(releasing, "READ_EVENTS", 7)
    sizes = [1, 2, 3, 4, 60, 70, 500, 1]
    for number, size in enumerate(sizes):
        told.through(str(number), bytes([number]) * size)
    found, portions = Releasing(told.log, keep_us=0), []
    while (digests := found.next()) or found.is_behind:
        portions.append([len(told.log.body(digest) or b"") for digest in digests])
        assert found.next() == digests  # until it is settled
        found.settled(digests)
    assert [size for each in portions for size in each] == sizes
    assert all(len(each) <= 3 and (len(each) == 1 or sum(each) <= 100) for each in portions)
    assert max(map(len, portions)) > 1


def test_the_next_process_goes_on_where_this_one_was(
    told: Messaging, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(releasing, "_STORE_EVENTS", 1)
    for number in range(20):
        told.through(str(number), b"%d" % number)
    told.accept("open", b"open")
    assert len(gone(told, Releasing(told.log, keep_us=0))) == 20
    told.done("open")
    asked: list[int] = []
    real = told.log.read

    def read(after: int = 0, until: int | None = None, *, chunk: int = 500) -> object:
        asked.append(after)
        return real(after, until, chunk=chunk)

    before = told.log.shelf.load("removed bodies")
    assert before is not None
    told.log.read = read  # type: ignore[method-assign,assignment]
    found = Releasing(told.log, keep_us=0)
    assert found.next() == (digest_of(b"open"),)
    assert before.position in asked
    assert told.log.body(digest_of(b"open")) == b"open"


def test_what_one_process_found_and_did_not_remove_the_next_one_finds(
    told: Messaging, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(releasing, "_STORE_EVENTS", 1)
    told.through("1", b"1")
    first = Releasing(told.log, keep_us=0)
    assert first.next() == (digest_of(b"1"),)
    assert Releasing(told.log, keep_us=0).next() == (digest_of(b"1"),)
    assert gone(told, first) == [b"1"]
    assert Releasing(told.log, keep_us=0).next() == ()


def test_after_an_error_while_reading_nothing_is_passed_over(told: Messaging) -> None:
    told.through("1", b"1")
    told.through("2", b"2")
    real = told.log.read

    def failing(after: int = 0, until: int | None = None, *, chunk: int = 500) -> object:
        for recorded in real(after, until, chunk=chunk):
            if isinstance(recorded.event, ev.MessageAccepted) and recorded.event.key == "2":
                raise LogError("the disk has a bad moment")
            yield recorded

    told.log.read = failing  # type: ignore[method-assign,assignment]
    found = Releasing(told.log, keep_us=0)
    with pytest.raises(LogError):
        found.next()
    told.log.read = real  # type: ignore[method-assign]
    assert set(gone(told, found)) == {b"1", b"2"}


def test_where_observations_were_dropped_what_was_let_go_before_goes(tmp_path: Path) -> None:
    with open_log(tmp_path / "log.db", mode="write", create=True) as log:
        told = Messaging(log)
        told.accept("open", b"open")
        told.through("before", b"before", total=b"kept")
        while log.head.seq < 2_100:
            told.probe()
        told.through("after", b"after")
        log.seal(blocks_max=2)
        dropped = dropping(log, 2_000, state_at(log, 2_000), why="a test")
        told.see(dropped)
        assert list(thinned(log))
        found = Releasing(log, keep_us=KEEP_US)
        assert gone(told, found) == [b"before"]
        told.later(KEEP_US)
        assert gone(told, found) == [b"after"]
        assert told.there() == {b"open", b"kept"}


def test_a_log_that_begins_with_a_base_knows_what_its_base_needs(told: Messaging) -> None:
    told.accept("open", b"open")
    told.through("1", b"1", total=b"kept")
    seq, state = told.state.seq, st.dump(told.state)
    based = ev.LogBased(state=state, seq=seq, chain=told.log.chain_head())
    log = MemoryLog()
    bodies = {digest_of(body): body for body in told.there()}
    first = Recorded(seq=seq, at_us=told.at_us, subject=ev.FLEET, cause=0, event=based)
    log.append([first], bodies=bodies)
    after = Messaging(log)
    after.done("open")
    after.later()
    assert gone(after, Releasing(log, keep_us=0)) == [b"open"]
    assert after.there() == {b"1", b"kept"}
