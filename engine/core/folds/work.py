"""The fold over messages and kept state.

They move no verdict, so nobody's calm is disturbed.
"""

from engine.core import events as ev
from engine.core import messages
from engine.core import state as st
from engine.core.errors import LogCorrupted
from engine.core.events import Recorded
from engine.core.folds.places import quiet_group_of
from engine.core.state import State


def message_accepted(state: State, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, ev.MessageAccepted)
    ledger = quiet_group_of(state, recorded).ledger
    if event.key in ledger.by_key:
        raise LogCorrupted(recorded.seq, f"message {event.key!r} is accepted twice")
    messages.accept(
        ledger,
        recorded.seq,
        st.Message(key=event.key, lane=event.lane, digest=event.digest, size=event.size),
    )


def messages_assigned(state: State, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, ev.MessagesAssigned)
    group = quiet_group_of(state, recorded)
    messages.assign(group.ledger, recorded.subject, event.epoch, event.upto)


def message_done(state: State, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, ev.MessageDone)
    group = quiet_group_of(state, recorded)
    if event.key not in group.ledger.by_key:
        raise LogCorrupted(recorded.seq, f"message {event.key!r} is not open")
    remember_max = state.policy_of(group).messages.remember_max
    messages.finish(group.ledger, event.key, remember_max=remember_max)
    saga = group.saga
    if saga is not None and saga.planned:
        state.cache.calm[group.id].clear()


def message_acked(state: State, recorded: Recorded) -> None:
    quiet_group_of(state, recorded)


def state_kept(state: State, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, ev.StateKept)
    group = quiet_group_of(state, recorded)
    if event.size < 0:
        group.kept.pop(event.key, None)
    else:
        group.kept[event.key] = event.digest
