"""The fold over what goes on beside the steps of a failover: following, hooks, healing."""

from engine.core import events as ev
from engine.core.beside import Hook, Recovery
from engine.core.errors import LogCorrupted
from engine.core.events import Recorded
from engine.core.folds.places import place_of
from engine.core.state import State


def follow_changed(state: State, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, ev.FollowChanged)
    master = place_of(state, recorded).master
    master.follows, master.follow_epoch = event.active, event.epoch
    master.follow_us = recorded.at_us if event.epoch else 0


def hook_started(state: State, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, ev.HookStarted)
    group = place_of(state, recorded).group
    if event.hook.startswith("after-"):
        owed = Hook(
            hook=event.hook,
            master=recorded.subject,
            failover=event.failover,
            epoch=event.epoch,
        )
        group.hooks.append(owed)
        return
    if group.saga is None or group.saga.id != event.failover:
        raise LogCorrupted(recorded.seq, f"{event.hook} while no failover of {group.id} is open")
    group.saga.hook = event.hook


def hook_ended(state: State, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, ev.HookEnded)
    group = place_of(state, recorded).group
    if event.hook.startswith("after-"):
        group.hooks = [
            owed
            for owed in group.hooks
            if (owed.hook, owed.master, owed.failover, owed.epoch)
            != (event.hook, recorded.subject, event.failover, event.epoch)
        ]
        return
    saga = group.saga
    if saga is None or saga.hook != event.hook:
        raise LogCorrupted(recorded.seq, f"{event.hook} of {group.id} was not under way")
    saga.hook = ""
    saga.hooks.append(event.hook)


def recovery_started(state: State, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, ev.RecoveryStarted)
    place_of(state, recorded).master.recovery = Recovery(
        seq=recorded.seq, n=event.n, is_running=True, again_at_us=event.again_at_us
    )
