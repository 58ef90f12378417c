"""Groups that replicate: what clients were told is there is there, whoever serves."""

from collections import Counter

import pytest
from msgspec.structs import replace

from engine.core import events as ev
from engine.core.events import AnyEvent, Result
from engine.core.leasing import REDIS_SLACK_US
from engine.core.policy import MS, Fence, FenceKind
from engine.simulation import Run, Schedule, Setting, Turn, policy, run, swarm, violations
from engine.simulation.servers import Server
from engine.simulation.streams import WRITE_BYTES, Data, Replication

SEEDS = range(110)  # of which a fifth replicates
REDIS = replace(policy(fall=1, rise=1), effects="redis")
PLAIN = Setting(policy=REDIS, message_every_us=0, replication=Replication())


def told(*turns: tuple[int, str, str, int], setting: Setting = PLAIN, **failover: object) -> Run:
    """Run turns of (gap in ms, kind, subject, count); no law may be broken."""
    made = replace(setting.policy, failover=replace(setting.policy.failover, **failover))
    schedule = Schedule(
        setting=replace(setting, policy=made),
        turns=tuple(
            Turn(gap_us=gap * MS, kind=kind, subject=subject, count=count)
            for gap, kind, subject, count in turns
        ),
    )
    result = run(schedule)
    assert violations(result) == []
    return result


def of(made: Run, kind: type[AnyEvent]) -> list[tuple[str, AnyEvent]]:
    return [(r.subject, r.event) for r in made.log if type(r.event) is kind]


def server(made: Run, name: str) -> Server:
    found = made.masters[name]
    assert isinstance(found, Server)
    return found


def transfers(made: Run) -> list[tuple[str, ev.Outcome]]:
    return [
        (name, event)
        for name, event in of(made, ev.Outcome)
        if isinstance(event, ev.Outcome) and event.step == "transfer"
    ]


LEFT_BEHIND = (
    (100, "severed", "b", 0),
    (200, "crash", "a", 0),
    (300, "restart", "a", 0),
)


def test_a_replica_that_was_left_behind_is_no_heir_while_another_one_answers() -> None:
    made = told(*LEFT_BEHIND)
    (first, refused), (second, taken) = transfers(made)
    assert (first, refused.result) == ("b", Result.REFUSED)
    assert "c has" in refused.detail
    assert (second, taken.result) == ("c", Result.OK)
    assert made.promises["g"].acknowledged_count > 20


def test_what_the_policy_lets_go_is_in_the_log_with_the_promotion() -> None:
    made = told(*LEFT_BEHIND, allow_loss=True)
    ((name, event),) = of(made, ev.PromotionStarted)
    assert isinstance(event, ev.PromotionStarted)
    assert name == "b"
    (loss,) = made.promises["g"].losses
    assert event.lacks >= loss.bytes > 20 * WRITE_BYTES


def test_the_limit_of_the_policy_passes_it_over_before_anything_is_asked_of_it() -> None:
    made = told(*LEFT_BEHIND, behind_max=0)
    ((heir, outcome),) = transfers(made)
    assert (heir, outcome.result) == ("c", Result.OK)


def test_a_primary_that_comes_back_without_data_is_left_at_once_and_gets_all_of_it_again() -> None:
    made = told((200, "emptied", "a", 0), (300, "rest", "", 0))
    (lost,) = of(made, ev.ActivationLost)
    assert lost[0] == "a"
    assert [name for name, _ in of(made, ev.Switched)] == ["b"]
    writes = set(server(made, "b").data.writes)
    assert len(writes) > made.promises["g"].acknowledged_count
    assert set(server(made, "a").data.writes) <= writes
    assert server(made, "a").follows == "b"


def test_a_primary_without_its_replicas_takes_no_writes_when_its_lease_is_over() -> None:
    lease = Fence(kind=FenceKind.LEASE, clients="direct", lease_us=REDIS_SLACK_US + 100 * MS)
    setting = replace(PLAIN, policy=replace(REDIS, fence=lease))
    cut = ((100, "severed", "a", 0), (2500, "rest", "", 0))
    alone = told(*cut, setting=setting)
    primary = server(alone, "a")
    assert primary.role == "active"
    together = told((2600, "rest", "", 0), setting=setting)
    assert len(primary.data.writes) < len(server(together, "a").data.writes)


def test_one_that_the_engine_alone_cannot_reach_is_fenced_before_another_one_serves() -> None:
    confirmed = Fence(kind=FenceKind.CONFIRMED, clients="direct")
    setting = replace(PLAIN, policy=replace(REDIS, fence=confirmed))
    made = told((100, "cut", "a", 0), (300, "join", "a", 0), (200, "rest", "", 0), setting=setting)
    assert [name for name, _ in of(made, ev.Switched)] == ["b"]
    kinds = [type(r.event) for r in made.log]
    assert kinds.index(ev.FenceConfirmed) < kinds.index(ev.PromotionStarted)
    assert made.promises["g"].acknowledged_count > 50


@pytest.mark.parametrize("keeps", ["all", "data", "nothing"])
def test_whatever_a_process_keeps_when_it_is_started_again_everybody_follows_in_the_end(
    keeps: str,
) -> None:
    setting = replace(PLAIN, replication=Replication(keeps=keeps))  # type: ignore[arg-type]
    made = told(
        (100, "crash", "a", 0), (200, "restart", "a", 0), (100, "crash", "b", 0),
        (200, "restart", "b", 0), (300, "rest", "", 0), setting=setting,
    )  # fmt: skip
    (active,) = [one.name for one in made.masters.values() if one.role == "active"]
    others = [one for one in made.masters.values() if one.name != active]
    assert {one.follows for one in others} == {active}


def test_drawn_worlds_that_replicate_keep_every_law_and_reach_what_they_are_for() -> None:
    found: Counter[str] = Counter()
    for seed in SEEDS:
        schedule = swarm(seed)
        if schedule.setting.replication is None:
            continue
        made = run(schedule, compare_every=50)
        assert violations(made) == [], seed
        promises = made.promises[schedule.setting.first]
        found["worlds"] += 1
        found["acknowledged"] += promises.acknowledged_count
        found["lost activations"] += len(of(made, ev.ActivationLost))
        found["promotions"] += len(of(made, ev.PromotionStarted))
        found["refusals"] += sum(one.result is Result.REFUSED for _, one in transfers(made))
        found[schedule.setting.policy.fence.kind.value] += 1
    assert found["worlds"] > 20
    assert found["acknowledged"] > 2_000
    for what in ("lost activations", "promotions", "refusals", *(one.value for one in FenceKind)):
        assert found[what] > 2, found


# The data of one master.


def test_a_stream_goes_on_where_it_was_and_forks_where_it_is_promoted() -> None:
    one, other = Data("a"), Data("b")
    for write in (1, 2, -5):
        one.append(write)
    assert (one.position, one.epoch) == (3 * WRITE_BYTES, 5)
    assert not other.goes_on(one)
    other.copy(one)
    other.fork()
    other.append(3)
    assert one.goes_on(other)  # it has nothing of its own since then
    one.append(4)
    assert not one.goes_on(other)
    assert one.shares(other)
    one.rename()
    assert (one.position, one.epoch, one.shares(other)) == (0, 5, False)
    one.clear()
    assert (one.writes, one.epoch) == ([], 0)
