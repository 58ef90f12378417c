"""Groups whose well masters all serve: no failover, activations and fences only."""

from engine.core import events as ev
from engine.core.fleet import Mode
from engine.core.policy import SECOND, Automation
from tests.engine.core.build import Story, declared, kinds, loaded, made, only, subjects


def serving(**changes: object) -> Story:
    tale = Story(made(mode=Mode.ACTIVE_ACTIVE, rise=1, **changes))  # type: ignore[arg-type]
    tale.ok("a", "b", "c")
    return tale


def test_every_well_master_serves_under_its_own_epoch() -> None:
    tale = serving()
    assert [tale.master(name).epoch for name in "abc"] == [1, 2, 3]
    assert tale.group.saga is None
    assert tale.group.assigned == ""


def test_a_failed_one_is_fenced_and_comes_back_under_a_new_epoch() -> None:
    tale = serving()
    taken = tale.crashes("a")
    assert kinds(taken) == ["MasterFailed", "MasterFenced", "FenceConfirmed", "MasterRejoined"]
    assert only(taken, ev.FenceConfirmed).how == "assumed"
    taken = tale.ok("a")
    assert kinds(taken) == ["MasterRecovering", "MasterHealthy", "Activated"]
    assert tale.master("a").epoch > 3


def test_where_effects_are_sent_its_fence_is_owed() -> None:
    tale = serving(effects="http")
    assert kinds(tale.crashes("a")) == ["MasterFailed", "MasterFenced"]
    assert tale.owed() == [("fence", "a"), ("promote", "b"), ("promote", "c")]


def test_observing_takes_nobody_out() -> None:
    tale = serving(automation=Automation.OBSERVE)
    assert kinds(tale.crashes("a")) == ["MasterFailed"]


def test_messages_go_to_whoever_has_least() -> None:
    tale = serving()
    taken = [recorded for key in "ijkl" for recorded in tale.accepts(key, lane=key)]
    assert subjects(taken, ev.MessagesAssigned) == ["a", "b", "c", "a"]
    tale.acks("j", "b", epoch=2)
    assert subjects(tale.accepts("m", lane="m"), ev.MessagesAssigned) == ["b"]


def test_what_a_failed_one_had_is_shared_by_the_others() -> None:
    tale = serving()
    for key in "ijkl":
        tale.accepts(key, lane=key)
    taken = tale.crashes("a")
    assert subjects(taken, ev.MessagesAssigned) == ["b", "c"]


def test_nobody_gets_a_message_while_nobody_serves() -> None:
    tale = Story(made(mode=Mode.ACTIVE_ACTIVE))
    tale.accepts("k")
    assert subjects(tale.ok("b"), ev.MessagesAssigned) == ["b"]


def test_an_excluded_one_finishes_what_it_has_and_stands_by() -> None:
    tale = serving()
    tale.accepts("k")
    taken = tale.ask(ev.ExclusionAsked(excluded=True, reason="", author="x"), "a")
    assert kinds(taken) == ["ExclusionChanged", "DrainStarted"]
    assert kinds(tale.ok("a")) == []
    assert kinds(tale.acks("k", "a", epoch=1)) == ["MessageDone", "DrainEnded"]
    taken = tale.ask(ev.ExclusionAsked(excluded=False, reason="", author="x"), "a")
    assert kinds(taken) == ["ExclusionChanged", "Activated"]


def test_one_that_fails_while_it_drains_is_fenced() -> None:
    tale = serving()
    tale.accepts("k")
    tale.ask(ev.ExclusionAsked(excluded=True, reason="", author="x"), "a")
    taken = tale.crashes("a")
    assert kinds(taken)[:2] == ["MasterFailed", "MasterFenced"]
    assert subjects(taken, ev.MessagesAssigned) == ["b"]


def test_maintenance_drains_while_it_lasts() -> None:
    tale = serving()
    declared = ev.MaintenanceDeclared(
        from_us=tale.at_us, to_us=tale.at_us + SECOND, reason="", author="x"
    )
    assert kinds(tale.ask(declared, "a")) == ["DrainStarted", "DrainEnded"]
    assert kinds(tale.ok("a")) == []
    tale.wait(SECOND)
    assert kinds(tale.ok("a")) == ["Activated"]


def test_maintenance_of_a_group_is_of_all_its_masters() -> None:
    tale = serving()
    declared = ev.MaintenanceDeclared(
        from_us=tale.at_us, to_us=tale.at_us + SECOND, reason="", author="x"
    )
    assert kinds(tale.ask(declared)) == ["DrainStarted", "DrainEnded"] * 3


def told(**changes: object) -> Story:
    """Return a story whose masters were told under which epochs they serve."""
    tale = serving(effects="http", **changes)
    tale.work()
    tale.ok("a", "b", "c")
    return tale


def test_messages_wait_for_a_master_that_was_told_its_epoch() -> None:
    tale = serving(effects="http")
    assert subjects(tale.accepts("k"), ev.MessagesAssigned) == []
    assert subjects(tale.answers("promote", master="b"), ev.MessagesAssigned) == ["b"]


def test_an_answer_from_before_it_was_told_its_epoch_is_not_judged() -> None:
    tale = serving(effects="http")
    tale.work()
    assert kinds(tale.ok("a", epoch=0)) == []


def test_one_that_was_restarted_and_knows_no_epoch_is_fenced_and_activated_anew() -> None:
    tale = told()
    tale.accepts("k")
    tale.restarts("a")
    taken = tale.ok("a")
    assert kinds(taken)[:2] == ["ActivationLost", "MasterFenced"]
    assert only(taken, ev.MasterFenced).requeued == 1
    assert subjects(taken, ev.MessagesAssigned) == ["b"]
    assert kinds(tale.answers("fence")) == ["FenceConfirmed", "MasterRejoined", "Activated"]
    assert tale.owed() == [("promote", "a")]


def test_what_masters_report_counts_for_nothing_where_they_are_told_nothing() -> None:
    for tale in (serving(), serving(automation=Automation.OBSERVE, effects="http")):
        assert kinds(tale.ok("a", "b", "c", epoch=77)) == []


def test_a_long_queue_goes_out_in_few_pieces_and_even_shares() -> None:
    tale = Story(made(mode=Mode.ACTIVE_ACTIVE, rise=1))
    for count in range(3_000):
        tale.accepts(f"k{count}", lane=f"k{count}")
    tale.ok("a")
    tale.crashes("a")
    taken = [*tale.ok("b"), *tale.ok("c", "a")]
    assert len(subjects(taken, ev.MessagesAssigned)) < 100
    assert sum(tale.group.ledger.assigned.values()) == 3_000


def test_an_engine_that_only_observes_by_now_takes_no_activation_for_lost() -> None:
    tale = told()
    observing = made(mode=Mode.ACTIVE_ACTIVE, rise=1, effects="http", automation=Automation.OBSERVE)
    tale.see(loaded(observing, declared("abc")))
    assert kinds(tale.ok("a", epoch=77)) == []


def test_one_that_knows_a_newer_epoch_than_it_is_to_be_told_is_fenced_above_it() -> None:
    """So it is after an older copy of the log was put back: it would refuse that one for ever."""
    tale = serving(effects="http")
    tale.ok("a", epoch=0)
    assert tale.master("a").promote_owed
    taken = tale.ok("a", epoch=17)
    assert only(taken, ev.ActivationLost) == ev.ActivationLost(
        epoch=1, found=17, evidence=(taken[0].seq,)
    )
    assert only(taken, ev.MasterFenced).confirm_at == 18
