"""Purging: what one key names goes, unless that would lose something, and says who and why."""

import pytest

from engine.core import state as st
from engine.core.errors import CommandRefused
from engine.core.events import BodiesRemoved
from engine.log.memory import MemoryLog
from engine.log.purging import find, removal
from projections.kept import KEPT
from tests.engine.log.messaging import GROUP, Messaging, digest_of


@pytest.fixture
def told() -> Messaging:
    return Messaging(MemoryLog())


def purged(told: Messaging, key: str, *, group: str = "", why: str = "") -> BodiesRemoved:
    """Remove what `key` names, and return the event."""
    found = find(told.log, key, group=group)
    event = removal(told.state, found, key, group=group, why=why, author="ann")
    told.see(event)
    return event


def refused(told: Messaging, key: str, *, group: str = "") -> str:
    before, head = told.there(), told.log.head
    with pytest.raises(CommandRefused) as err:
        purged(told, key, group=group)
    assert (told.there(), told.log.head) == (before, head)
    (reason,) = err.value.reasons
    return reason


def test_the_body_of_a_message_that_is_done_goes_and_the_event_says_who_and_why(
    told: Messaging,
) -> None:
    told.through("order", b"secret")
    told.through("other", b"stays")
    event = purged(told, "order", why="asked to forget")
    assert (event.why, event.author) == ("purge of order: asked to forget", "ann")
    assert event.digests == (digest_of(b"secret"),)
    assert told.there() == {b"stays"}
    assert purged(told, "other", group=GROUP).why == "purge of other"


def test_all_that_messages_of_one_key_carried_goes(told: Messaging) -> None:
    told.through("order", b"one")
    told.state.groups[GROUP].ledger.done.clear()  # as if it were so long ago
    told.driver.working.groups[GROUP].ledger.done.clear()
    told.through("order", b"two")
    purged(told, "order")
    assert told.there() == set()


def test_replaced_state_goes_by_its_key(told: Messaging) -> None:
    told.through("1", b"1", total=b"first")
    told.through("2", b"2", total=b"second")
    assert refused(told, "total") == "state 'total' of g is current: a failover hands it on"
    told.through("3", b"3", total=None)
    purged(told, "total")
    assert told.there() == {b"1", b"2", b"3"}


def test_a_key_that_messages_had_is_theirs(told: Messaging) -> None:
    told.through("total", b"of the message", total=b"of the state")
    purged(told, "total")
    assert told.there() == {b"of the state"}
    assert "removed already, at event" in refused(told, "total")


def test_what_would_be_lost_is_not_purged(told: Messaging) -> None:
    told.accept("open", b"same")
    assert refused(told, "open") == "message 'open' of g is open: it would be lost"
    told.through("done", b"same")
    shared = "the body of 'done' is also that of an open message or of current state"
    assert refused(told, "done") == shared
    told.done("open", kept=b"same")
    assert refused(told, "done") == shared
    told.through("last", b"last", kept=None)
    purged(told, "done")
    assert told.there() == {b"last"}


def test_what_is_not_there_is_refused_with_what_is_known_of_it(told: Messaging) -> None:
    told.through("order", b"secret")
    assert refused(told, "nothing") == "no message and no state 'nothing'"
    assert refused(told, "nothing", group=GROUP) == "no message and no state 'nothing' of g"
    assert refused(told, "order", group="h") == "no group 'h': expected one of g"
    purged(told, "order")
    seq = told.log.head.seq
    assert refused(told, "order") == f"the body of 'order' was removed already, at event {seq}"
    told.through("gone", b"gone")
    told.log._bodies.clear()  # type: ignore[attr-defined]
    assert "the log holds no body of 'gone'" in refused(told, "gone")


def test_a_key_that_two_groups_know_needs_the_group(told: Messaging) -> None:
    found = find(told.log, "order")
    both = type(found)(
        messages={"g": [b"1"], "h": [b"2"]}, states={}, stored=frozenset((b"1",)), removed={}
    )
    with pytest.raises(CommandRefused, match="'order' is of g, h: name the group"):
        removal(told.state, both, "order", group="", why="", author="ann")


def test_no_state_and_no_view_holds_a_body(told: Messaging) -> None:
    told.through("order", b"a secret body", total=b"a secret state")
    told.accept("open", b"another secret body")
    held = [st.dump(told.state)]
    for projection in KEPT:
        view, _ = told.log.view(projection)
        held.append(projection.dump(view))
    assert not [data for data in held if b"secret" in data]


def test_only_what_is_in_the_group_is_found(told: Messaging) -> None:
    told.through("order", b"secret", order=b"state")
    assert find(told.log, "order").messages == {GROUP: [digest_of(b"secret")]}
    elsewhere = find(told.log, "order", group="h")
    assert (elsewhere.messages, elsewhere.states) == ({}, {})
