"""The fold records: whatever follows its position, and nothing that cannot have happened."""

import hashlib

import msgspec
import pytest

from engine.core import events as ev
from engine.core import state as st
from engine.core.errors import LogCorrupted
from engine.core.events import FLEET, AnyEvent, Recorded
from engine.core.evolve import evolve, evolve_all
from engine.core.fleet import Health, Role
from engine.core.folds.failover import COUNTED_MAX
from engine.core.policy import Policy
from engine.core.replay import replay
from engine.core.state import State
from tests.engine.core.build import Story, declared, loaded, made, story


def put(tale: Story, event: AnyEvent, subject: str) -> None:
    """Append one fact that no rule decided upon."""
    evolve(
        tale.state,
        Recorded(seq=tale.state.seq + 1, at_us=tale.at_us, subject=subject, cause=0, event=event),
    )


# The position.


@pytest.mark.parametrize(("seq", "at_us"), [(0, 9), (1, 9), (3, 9), (2, 4)])
def test_what_does_not_follow_is_a_corrupt_log(seq: int, at_us: int) -> None:
    state = State()
    event = ev.EngineStarted(release="1", stopped_at_us=0)
    evolve(state, Recorded(seq=1, at_us=5, subject=FLEET, cause=0, event=event))
    wrong = Recorded(seq=seq, at_us=at_us, subject=FLEET, cause=0, event=event)
    with pytest.raises(LogCorrupted, match="expected seq 2 at 5 us or later"):
        evolve(state, wrong)
    assert (state.seq, state.at_us) == (1, 5)


# What there is not.


@pytest.mark.parametrize(
    ("event", "subject", "found"),
    [
        (ev.ProbeOk(n=1, latency_us=1), "z", "no master 'z'"),
        (ev.ProbeOk(n=1, latency_us=1), "g", "no master 'g'"),
        (ev.ConnectionClosed(evidence=ev.Evidence.CLOSED), "z", "no master 'z'"),
        (ev.DrainEnded(), "z", "no master 'z'"),
        (ev.StrategyChanged(strategy="priority"), "z", "no group 'z'"),
        (ev.StrategyChanged(strategy="priority"), "a", "no group 'a'"),
        (ev.Refused(what="x", reasons=()), "z", "no master or group 'z'"),
        (ev.StateKept(key="k", size=1, digest=b""), "z", "no master or group 'z'"),
        (ev.MessageDone(key="z"), "g", "message 'z' is not open"),
        (ev.Compensated(), "g", "Compensated while no failover of g is open"),
        (ev.ApprovalGiven(), "g", "no failover of g is open"),
        (ev.FenceConfirmed(epoch=1, how="x"), "a", "a is not fenced"),
        (ev.MasterRejoined(epoch=1), "a", "MasterRejoined of a while active"),
        (ev.Activated(epoch=9, rule="x"), "a", "Activated of a while active"),
        (ev.LogBased(state=b"", seq=1, chain=b""), FLEET, "LogBased may only begin a log"),
        (ev.PolicyAdopted(policy=Policy(groups={}), digest=""), FLEET, "still has masters"),
        (
            ev.MasterFenced(
                revokes=1, confirm_at=9, requeued=7, first=1, last=7, digest="", reason=""
            ),
            "a",
            "expected 7 messages of a",
        ),
    ],
)
def test_what_cannot_have_happened_is_a_corrupt_log(
    event: AnyEvent, subject: str, found: str
) -> None:
    tale = story()
    with pytest.raises(LogCorrupted, match=found) as caught:
        put(tale, event, subject)
    assert caught.value.seq == len(tale.log) + 1


@pytest.mark.parametrize(("subject", "group"), [("a", "z"), ("z", "g")])
def test_a_master_is_added_under_its_own_name_to_a_group_there_is(subject: str, group: str) -> None:
    tale = story()
    (master,) = [each.declared for each in tale.group.masters.values() if each.declared.id == "a"]
    moved = ev.MasterAdded(master=type(master)(id="a", group=group, address=master.address))
    with pytest.raises(LogCorrupted, match="no group"):
        put(tale, moved, subject)


def test_a_failover_is_not_opened_twice() -> None:
    tale = story()
    tale.crashes("a")
    (started,) = [
        seen.event
        for seen in tale.log
        if isinstance(seen.event, ev.FailoverStarted) and seen.event.why == "failed"
    ]
    with pytest.raises(LogCorrupted, match="is open already"):
        put(tale, started, "g")


def test_an_epoch_never_goes_back() -> None:
    tale = story()
    tale.ask(ev.SwitchoverAsked(to="b", author="x"))
    with pytest.raises(LogCorrupted, match="epoch 1 is not above 1"):
        put(tale, ev.AttemptStarted(n=1, heir="b", epoch=1, table=()), "g")


def test_a_message_is_accepted_once() -> None:
    tale = story()
    tale.accepts("k")
    with pytest.raises(LogCorrupted, match="'k' is accepted twice"):
        put(tale, ev.MessageAccepted(key="k", lane="g", size=1, digest=b""), "g")


# What is kept.


def test_a_refusal_to_anybody_is_recorded() -> None:
    tale = story()
    for subject in ("a", "g", FLEET):
        put(tale, ev.Refused(what="x", reasons=()), subject)
    assert tale.state.seq == len(tale.log) + 3


@pytest.mark.parametrize("subject", ["g", FLEET])
def test_a_pause_is_kept_with_its_reason_until_it_is_over(subject: str) -> None:
    tale = story()
    put(tale, ev.Paused(until_us=tale.at_us + 5, reason="work", author="x"), subject)
    part = tale.state.fleet if subject == FLEET else tale.group
    assert (part.pause_until_us, part.pause_reason) == (tale.at_us + 5, "work")
    assert st.paused_until(tale.state, tale.group, tale.at_us) == tale.at_us + 5
    assert st.paused_until(tale.state, tale.group, tale.at_us + 5) == 0
    put(tale, ev.Paused(until_us=0, reason="work", author="x"), subject)
    assert st.paused_until(tale.state, tale.group, tale.at_us) == -1
    put(tale, ev.Resumed(author="x"), subject)
    assert (part.pause_until_us, part.pause_reason) == (0, "")


def test_the_window_of_a_master_a_group_and_the_fleet() -> None:
    tale = story()
    spans = [(tale.at_us + at, tale.at_us + at + 1) for at in (1, 3, 5)]
    for (from_us, to_us), subject in zip(spans, ("a", "g", FLEET), strict=True):
        declared = ev.MaintenanceDeclared(from_us=from_us, to_us=to_us, reason="", author="x")
        put(tale, declared, subject)
    assert list(st.windows(tale.state, tale.group, tale.master("a"))) == spans
    assert list(st.windows(tale.state, tale.group, tale.master("b"))) == spans[1:]


def test_a_window_takes_the_place_of_one_with_its_beginning_and_an_empty_one_retracts() -> None:
    tale = story()
    at_us = tale.at_us + 1
    for to_us in (at_us + 1, at_us + 9):
        put(tale, ev.MaintenanceDeclared(from_us=at_us, to_us=to_us, reason="", author="x"), "a")
    assert tale.master("a").maintenance == [(at_us, at_us + 9)]
    put(tale, ev.MaintenanceDeclared(from_us=at_us, to_us=at_us, reason="", author="x"), "a")
    assert tale.master("a").maintenance == []


def test_a_window_that_is_over_is_let_go_when_the_next_is_declared() -> None:
    tale = story()
    first = ev.MaintenanceDeclared(from_us=tale.at_us, to_us=tale.at_us + 5, reason="", author="x")
    put(tale, first, "a")
    tale.wait(5)
    later = (tale.at_us + 1, tale.at_us + 2)
    put(tale, ev.MaintenanceDeclared(from_us=later[0], to_us=later[1], reason="", author="x"), "a")
    assert tale.master("a").maintenance == [later]


def test_the_starts_that_count_are_bounded() -> None:
    tale = story()
    started = ev.FailoverStarted(
        id=1, why="failed", source="a", to="", planned=False, waits="", counts=True
    )
    ended = ev.FailoverEnded(
        id=1, result="completed", reason="", phases=(), hold_until_us=0, retry_at_us=0
    )
    for _ in range(COUNTED_MAX + 3):
        tale.wait(1)
        put(tale, started, "g")
        put(tale, ended, "g")
    assert len(tale.group.counted_us) == COUNTED_MAX
    assert tale.group.counted_us[-1] == tale.at_us


def test_a_deadline_of_what_is_gone_unsettles_every_group() -> None:
    tale = story()
    tale.state.cache.calm["g"].add("a")
    put(tale, ev.DeadlinePassed(what="unknown_after"), "gone")
    assert tale.state.cache.calm["g"] == set()


def test_a_first_boot_id_is_no_restart() -> None:
    tale = story()
    tale.crashes("b")
    tale.crashes("a")
    tale.work()
    assert tale.group.assigned == "c"
    tale.boots["a"] = ""
    tale.ok("a")
    fence = tale.master("a").fence
    assert fence is not None
    assert not fence.is_restarted
    assert (tale.master("a").boot, tale.master("a").health) == ("a1", Health.RECOVERING)


def test_rejoining_forgets_the_fence_and_the_epoch() -> None:
    tale = story()
    tale.crashes("a")
    tale.answers("fence")
    master = tale.master("a")
    assert (master.role, master.epoch, master.fence) == (Role.STANDBY, 0, None)
    assert master.left_at_us == tale.at_us


# A log whose beginning was cut off.


def based(tale: Story, *, seq: int = 0, state: bytes | None = None) -> Recorded:
    """Return the event that stands for all of `tale`."""
    event = ev.LogBased(
        state=st.dump(tale.state) if state is None else state,
        seq=seq or tale.state.seq,
        chain=hashlib.sha256(b"").digest(),
    )
    return Recorded(seq=tale.state.seq, at_us=tale.state.at_us, subject=FLEET, cause=0, event=event)


def test_a_log_may_begin_with_what_came_before() -> None:
    tale = story()
    state = replay([based(tale)])
    assert state == tale.state
    more = story()
    taken = more.crashes("a")
    assert replay(taken, state=state) == more.state


@pytest.mark.parametrize(
    ("seq", "state", "found"), [(3, None, "begins at 3"), (0, b"\xc1", "the state it begins with")]
)
def test_a_beginning_that_is_none_is_corrupt(seq: int, state: bytes | None, found: str) -> None:
    with pytest.raises(LogCorrupted, match=found):
        replay([based(story(), seq=seq, state=state)])


def test_a_state_of_another_version_is_corrupt() -> None:
    with pytest.raises(LogCorrupted, match="the state it begins with"):
        replay([based(story(), state=b"\x80")])


def test_a_log_is_based_once() -> None:
    tale = story()
    state = replay([based(tale)])
    with pytest.raises(LogCorrupted, match="expected seq"):
        evolve(state, based(tale))


def test_every_event_has_a_rule() -> None:
    tale = Story(made())
    for kind in ev.KINDS.values():
        assert kind.__doc__, kind
    assert tale.state.seq == len(tale.log)


def eventful() -> Story:
    """Return a story of good probes in a row, and of all that may come between two of them."""
    tale = story()
    for _ in range(4):
        tale.wait(1)
        tale.ok("a", "b", "c")
    tale.fails("b")
    tale.ok("a", "b", "c")
    tale.ok("b", observer="o")
    tale.boots["c"] = "other"
    tale.ok("a", "c", "c")
    tale.n -= 3
    tale.ok("a")  # one that came before the last ones
    tale.see(loaded(made(), declared("abcd")))
    return tale


def test_facts_that_are_applied_together_give_the_state_of_single_ones() -> None:
    tale = eventful()
    one = State()
    for recorded in tale.log:
        evolve(one, recorded)
    together, by_another = State(), State()
    evolve_all(together, tale.log)
    evolve_all(by_another, tale.log, each=lambda state, recorded: evolve(state, recorded))
    assert together == one == by_another == tale.state


def test_facts_that_are_applied_together_follow_one_another() -> None:
    tale = eventful()
    state = State()
    with pytest.raises(LogCorrupted, match="expected seq"):
        evolve_all(state, [*tale.log[:20], *tale.log[21:]])
    assert state == replay(tale.log[:20])
    stranger = msgspec.structs.replace(tale.log[20], subject="nobody")
    with pytest.raises(LogCorrupted, match="no master"):
        evolve_all(state, [stranger])
