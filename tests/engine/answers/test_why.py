from collections.abc import Iterator
from typing import Any

import pytest

from engine.answers import why as module
from engine.answers.why import why
from engine.core import events as ev
from engine.core.errors import ConfigurationError
from engine.core.events import FLEET, OBSERVATIONS, Evidence
from engine.core.fleet import Mode
from engine.core.policy import preset
from engine.core.replay import control_at
from engine.core.state import control_digest
from engine.log.memory import MemoryLog
from tests.engine.answers.stories import GROUP, Story, failed_over, serving

Node = dict[str, Any]


def nodes(node: Node) -> Iterator[Node]:
    yield node
    for ground in node["because"]:
        yield from nodes(ground)


def kinds(found: list[Node]) -> list[str]:
    return [str(node["kind"]) for node in found]


def test_nothing_named_is_the_last_failover_down_to_single_observations() -> None:
    story = failed_over()
    found: Node = why(story.log)
    assert found["seq"] == story.last(ev.FailoverStarted)
    assert (found["kind"], found["subject"], found["rule"]) == ("FailoverStarted", GROUP, "failed")
    (failed,) = found["because"]
    assert (failed["kind"], failed["subject"]) == ("MasterFailed", "a")
    assert failed["rule"] == "closed-then-refused"
    assert failed["figures"] == {
        "failures": 2, "fall": 1, "probes": 4, "blips": 0, "blip_max": 0, "verdicts": 0
    }  # fmt: skip
    assert kinds(failed["because"]) == ["ConnectionClosed", "ProbeFailed"]
    assert [node["rule"] for node in failed["because"]] == ["closed", "refused"]


def test_every_leaf_is_an_observation_and_every_event_appears_once() -> None:
    story = failed_over()
    names = {kind.__name__ for kind in OBSERVATIONS}
    for recorded in story.log.read():
        found = list(nodes(why(story.log, str(recorded.seq))))
        seqs = [node["seq"] for node in found]
        assert len(seqs) == len(set(seqs))
        for node in found:
            assert all(ground["seq"] < node["seq"] for ground in node["because"])
            assert node["because"] or node["kind"] in names, node


def test_who_was_not_chosen_is_there_with_rule_and_figures() -> None:
    story = failed_over()
    found: Node = why(story.log)
    assert found["heir"] == "b"
    rejected = {node["master"]: node for node in found["rejected"]}
    assert set(rejected) == {"a", "c"}
    assert rejected["a"]["rule"] == "serving"
    assert rejected["a"]["figures"]["epoch"] > 0
    assert rejected["c"]["rule"] == "ranked"
    assert rejected["c"]["figures"]["rank"] == 2
    assert rejected["c"]["figures"]["priority"] == 3
    attempt: Node = why(story.log, str(story.last(ev.AttemptStarted)))
    assert attempt["rejected"] == found["rejected"]


def test_a_failover_says_what_followed_up_to_its_end() -> None:
    found: Node = why(failed_over().log)
    assert kinds(found["led_to"]) == [
        "AttemptStarted",
        "MasterFenced",
        "TransferStarted",
        "PromotionStarted",
        "VerificationStarted",
        "Switched",
        "FailoverEnded",
    ]
    assert found["led_to"][-1]["rule"] == "completed"


def test_a_switch_leads_back_to_the_probes_that_failed_the_active() -> None:
    story = failed_over()
    found = kinds(list(nodes(why(story.log, str(story.last(ev.Switched))))))
    assert found[:4] == ["Switched", "Outcome", "FailoverStarted", "MasterFailed"]
    assert "ProbeFailed" in found


def test_a_fence_belongs_to_the_failover_that_it_names() -> None:
    story = failed_over()
    found: Node = why(story.log, str(story.last(ev.MasterFenced)))
    assert found["because"][0]["kind"] == "FailoverStarted"


def test_a_failover_that_tried_two_heirs_shows_the_last_table() -> None:
    story = Story()
    story.probe(3)
    story.dead.add("b")  # nobody has noticed yet
    story.kill("a")
    story.probe(2)
    assert story.active == "c"
    found: Node = why(story.log)
    assert found["heir"] == "c"
    rejected = {node["master"]: node["rule"] for node in found["rejected"]}
    assert set(rejected) == {"a", "b"}
    assert rejected["a"] == "fenced"
    assert kinds(found["led_to"]).count("AttemptStarted") == 2
    second: Node = why(story.log, str(story.last(ev.AttemptStarted)))
    assert "FailoverStarted" in kinds(second["because"])


def test_a_master_is_its_last_verdict_and_a_group_its_last_failover() -> None:
    story = failed_over()
    assert why(story.log, "a")["seq"] == story.last(ev.MasterFailed)
    assert why(story.log, "b")["kind"] == "MasterHealthy"
    assert why(story.log, GROUP)["seq"] == story.last(ev.FailoverStarted)


def test_of_those_not_chosen_the_one_that_failed_is_called_that() -> None:
    found: Node = why(failed_over().log)
    assert {node["master"]: node["says"] for node in found["rejected"]} == {
        "a": "the one that failed",
        "c": "ranked",
    }
    story = failed_over()
    story.dead.clear()
    story.probe(20)
    story.see(ev.FailoverAsked(to="c", author="me"), GROUP)
    attempt: Node = why(story.log, str(story.last(ev.AttemptStarted)))
    said = {node["master"]: (node["rule"], node["says"]) for node in attempt["rejected"]}
    assert said["b"] == ("serving", "the one that is left")


def paused() -> Story:
    """Return the story in which a, the active one, is killed in a pause."""
    story = Story()
    story.probe(3)
    story.see(ev.Paused(until_us=0, reason="racks", author="me"), FLEET)
    story.kill("a")
    return story


def test_a_failure_in_a_pause_says_that_the_group_waits_and_for_what() -> None:
    story = paused()
    for what in (None, "a", GROUP, str(story.last(ev.MasterFailed))):
        found: Node = why(story.log, what)
        assert found["seq"] == story.last(ev.MasterFailed)
        (said,) = found["says"]
        assert "a has failed and nobody takes over yet: the fleet is paused" in said
        assert "(racks): tanist resume ends it" in said


def test_a_failure_that_waits_comes_before_an_older_failover() -> None:
    story = failed_over()
    story.see(ev.Paused(until_us=0, reason="racks", author="me"), FLEET)
    story.kill("c")
    assert why(story.log)["kind"] == "FailoverStarted"
    story.kill("b")
    assert why(story.log)["seq"] == why(story.log, GROUP)["seq"] == story.last(ev.MasterFailed)
    assert story.last(ev.MasterFailed) > story.last(ev.FailoverStarted)


def test_a_failure_says_what_followed_it_and_whether_it_mattered() -> None:
    story = failed_over()
    started = story.last(ev.FailoverStarted)
    (said,) = why(story.log, "a")["says"]
    assert said == f"failover {started} followed: tanist why {started}"
    story.kill("c")
    (said,) = why(story.log, "c")["says"]
    assert said == "c was not the active master: nobody had to take over"


def test_a_failure_that_nothing_followed_says_so_when_it_is_over() -> None:
    story = paused()
    failed = story.last(ev.MasterFailed)
    story.dead.clear()
    story.probe(20)
    story.see(ev.Resumed(author="me"), FLEET)
    assert story.active == "a"
    (said,) = why(story.log, str(failed))["says"]
    assert said.startswith("nothing failed over then: a has failed and nobody takes over yet: the")


def test_a_rollback_says_what_it_changed_or_that_it_changed_nothing() -> None:
    story = failed_over()
    story.dead.clear()
    story.probe(20)
    before = story.last(ev.MasterFailed) - 1
    for position, says in (
        (story.state.seq, f"nothing had to change to be as at position {story.state.seq}: b was"),
        (before, f"back to what position {before} gives: active b becomes a"),
    ):
        control = control_at(story.log.read(), GROUP, position=position)
        assert control is not None
        asked = ev.RollbackRequested(
            position=position, control=control, digest=control_digest(control), author="me"
        )
        story.see(asked, GROUP)
        accepted: Node = why(story.log, str(story.last(ev.RollbackAccepted)))
        ended: Node = why(story.log, str(story.last(ev.RollbackEnded)))
        assert accepted["says"] == ended["says"]
        assert accepted["says"][0].startswith(says)
        assert "RollbackAccepted" in kinds(list(nodes(ended)))


def test_a_group_that_waits_and_never_failed_says_what_it_waits_for() -> None:
    story = Story(preset("zone"), names="a")
    for what in (None, GROUP):
        with pytest.raises(ConfigurationError, match="nobody is active yet: "):
            why(story.log, what)


def test_silence_leads_back_to_the_last_that_was_heard() -> None:
    story = serving()
    heard = {
        recorded.subject: recorded.seq
        for recorded in story.log.read()
        if isinstance(recorded.event, ev.ProbeOk)
    }
    story.at_us += 60_000_000
    story.driver.tick(story.at_us)
    story.settle()
    found: Node = why(story.log, "a")
    assert found["kind"] == "MasterUnknown"
    (deadline,) = found["because"]
    assert deadline["kind"] == "DeadlinePassed"
    assert [node["seq"] for node in deadline["because"]] == [heard["a"]]


def test_a_refused_command_says_why_and_who_asked() -> None:
    story = failed_over()
    asked = story.see(ev.SwitchoverAsked(to="a", author="me"), GROUP)
    found: Node = why(story.log, str(asked + 1))
    assert (found["kind"], found["rule"]) == ("Refused", "switchover")
    assert any("fenced" in reason for reason in found["data"]["reasons"])
    (command,) = found["because"]
    assert command["data"] == {"to": "a", "author": "me"}


def test_where_nobody_acts_the_last_proposal_is_the_answer() -> None:
    story = Story(preset("zone"))
    story.probe(3)
    story.epochs["a"] = 1
    active = ev.ProbeOk(n=100, latency_us=1, boot="a", epoch=1, role="active")
    story.see(active, "a")
    story.n = 100
    story.kill("a")
    found: Node = why(story.log)
    assert (found["kind"], found["rule"], found["heir"]) == ("FailoverProposed", "failed", "b")
    assert {node["master"] for node in found["rejected"]} == {"a", "c"}


def test_where_all_serve_the_last_failed_master_is_the_answer() -> None:
    story = serving()
    story.kill("b")
    assert why(story.log)["seq"] == story.last(ev.MasterFailed)


def test_a_chain_that_is_cut_says_how_much_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = preset("zone", mode=Mode.ACTIVE_ACTIVE)
    story = Story(policy, names="a")
    story.probe(2)
    for _ in range(policy.probe.fall):
        story.n += 1
        story.see(ev.ProbeFailed(n=story.n, evidence=Evidence.OVERDUE), "a")
    monkeypatch.setattr(module, "WIDTH_MAX", 1)
    found: Node = why(story.log, "a")
    assert len(found["because"]) == 1
    assert found["omitted"] == policy.probe.fall - 1
    monkeypatch.setattr(module, "DEPTH_MAX", 0)
    assert why(story.log, "a")["because"] == []


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("99999", "no event 99999"),
        (str(1 << 64), "no event 18446744073709551616"),
        ("0", "no event 0"),
        ("nobody", "expected a seq, a failover, a master or a group"),
        (FLEET, "nothing was decided about fleet"),
    ],
)
def test_what_is_not_in_the_log_is_refused(what: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        why(failed_over().log, what)


def test_a_log_without_a_failure_has_nothing_to_explain() -> None:
    for log in (MemoryLog(), serving().log):
        with pytest.raises(ConfigurationError, match="no master failed"):
            why(log)


def test_a_group_that_nothing_happened_to_is_known_all_the_same() -> None:
    with pytest.raises(ConfigurationError, match="nothing was decided about g yet"):
        why(serving().log, GROUP)
