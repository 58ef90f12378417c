"""A fleet that changes while its engine runs, with masters that are real processes."""

from pathlib import Path

import msgspec
import pytest

from engine.core import events as ev
from engine.core.errors import CommandRefused
from engine.core.fleet import Health, Master, Mode
from engine.core.policy import ALERTS, SECOND, Policy, content_digest
from engine.embed import Engine
from engine.log.memory import MemoryLog
from tests.engine.real import (
    GROUP,
    configuration,
    fleet_of,
    kinds,
    of,
    policy_of,
    run,
    seen,
    served_by,
)


def test_a_master_that_is_added_is_watched_and_takes_over(tmp_path: Path) -> None:
    with fleet_of(tmp_path, "a", "b") as fleet:
        first = {"a": fleet.addresses["a"]}

        async def main() -> None:
            log = MemoryLog()
            async with Engine(configuration(first), log=log, author="ann") as engine:
                await served_by(engine, "a")
                master = Master(id="b", group=GROUP, address=fleet.addresses["b"], priority=2)
                seq = await engine.add_master(master)
                await seen(engine, of(ev.MasterHealthy, "b"), after=seq)
                fleet.masters["a"].process.kill()
                await served_by(engine, "b")
                await seen(engine, of(ev.MasterFailed, "a"))

        run(main())


def test_one_that_is_removed_is_watched_no_more(tmp_path: Path) -> None:
    with fleet_of(tmp_path, "a", "b") as fleet:

        async def main() -> None:
            log = MemoryLog()
            async with Engine(configuration(fleet.addresses), log=log) as engine:
                await served_by(engine, "a")
                with pytest.raises(CommandRefused, match="a of g is active: tanist master drain"):
                    await engine.remove_master("a")
                seq = await engine.remove_master("b")
                assert set(engine._watches) == {"a"}
                await seen(engine, of(ev.ProbeOk, "a"), after=seq + 3)
                later = [r for r in log.read(after=seq + 1) if r.subject == "b"]
                assert later == []
                with pytest.raises(CommandRefused, match="no master 'b': expected one of a"):
                    await engine.drain("b")

        run(main())


def test_the_active_rests_after_its_work_was_moved(tmp_path: Path) -> None:
    with fleet_of(tmp_path, "a", "b") as fleet:

        async def main() -> None:
            log = MemoryLog()
            async with Engine(configuration(fleet.addresses), log=log, author="ann") as engine:
                await served_by(engine, "a")
                seq = await engine.drain("a", reason="disks")
                await served_by(engine, "b")
                await seen(engine, of(ev.MasterRejoined, "a"), after=seq)
                with pytest.raises(CommandRefused, match="a: drained"):
                    await engine.switchover(GROUP, to="a")
                await engine.drain("a", drained=False)
                await engine.undo()
                await served_by(engine, "a")
                assert "DrainChanged" in kinds(log)

        run(main())


def test_a_configuration_is_applied_while_the_engine_runs(tmp_path: Path) -> None:
    with fleet_of(tmp_path, "a", "b", "c") as fleet:
        two = {name: fleet.addresses[name] for name in "ab"}

        async def main() -> None:
            async with Engine(configuration(two), log=MemoryLog(), author="ann") as engine:
                await served_by(engine, "a")
                seq = await engine.apply(configuration(fleet.addresses))
                await seen(engine, of(ev.MasterHealthy, "c"), after=seq)
                assert set(engine._watches) == {"a", "b", "c"}
                mode = configuration(two, policy=policy_of(Mode.ACTIVE_ACTIVE))
                with pytest.raises(CommandRefused, match="group g is active-standby and is served"):
                    await engine.apply(mode)
                gone = configuration({"b": fleet.addresses["b"]})
                with pytest.raises(CommandRefused, match="master a of g is active"):
                    await engine.apply(gone)
                seq = await engine.apply(configuration(two))
                assert set(engine._watches) == {"a", "b"}
                await seen(engine, of(ev.ProbeOk, "b"), after=seq)

        run(main())


def test_a_master_at_another_address_is_asked_there(tmp_path: Path) -> None:
    with fleet_of(tmp_path, "a", "b", "c") as fleet:
        two = {name: fleet.addresses[name] for name in "ab"}
        moved = {"a": fleet.addresses["a"], "b": fleet.addresses["c"]}

        async def main() -> None:
            async with Engine(configuration(two), log=MemoryLog()) as engine:
                await served_by(engine, "a")
                fleet.masters["b"].process.kill()
                await seen(engine, of(ev.MasterFailed, "b"))
                seq = await engine.apply(configuration(moved))
                await seen(engine, of(ev.MasterHealthy, "b"), after=seq)
                assert engine.state.cache.places["b"].master.health is Health.HEALTHY

        run(main())


def test_a_scheduled_switchover_happens_at_its_time_and_can_be_taken_back(tmp_path: Path) -> None:
    with fleet_of(tmp_path, "a", "b") as fleet:

        async def main() -> None:
            async with Engine(configuration(fleet.addresses), log=MemoryLog()) as engine:
                await served_by(engine, "a")
                await engine.switchover(GROUP, to="b", after_us=3_600 * SECOND)
                await engine.cancel(GROUP)
                with pytest.raises(CommandRefused, match="no switchover of g is scheduled"):
                    await engine.cancel(GROUP)
                seq = await engine.switchover(GROUP, to="b", after_us=SECOND // 5)
                begun = await seen(engine, ev.FailoverStarted, after=seq)
                assert isinstance(begun.event, ev.FailoverStarted)
                assert begun.event.to == "b"
                await served_by(engine, "b")

        run(main())


def test_other_commands_are_recorded_with_their_author(tmp_path: Path) -> None:
    with fleet_of(tmp_path, "a", "b") as fleet:

        async def main() -> None:
            log = MemoryLog()
            made = configuration(fleet.addresses)
            policy = Policy(groups=made.policy.groups, alerts=ALERTS)
            declared = msgspec.structs.replace(
                made, policy=policy, digest=content_digest(policy, made.masters)
            )
            async with Engine(declared, log=log, author="ann") as engine:
                await served_by(engine, "a")
                await engine.exclude("b")
                await engine.exclude("b", excluded=False)
                await engine.strategy(GROUP, "round-robin")
                await engine.reset("b")
                await engine.reset(GROUP)
                now = engine.state.at_us
                await engine.maintain("b", from_us=now, to_us=now + SECOND, reason="disks")
                with pytest.raises(CommandRefused, match="ends before it begins"):
                    await engine.maintain("b", from_us=2, to_us=1, reason="r")
                with pytest.raises(CommandRefused, match="no group 'z'"):
                    await engine.reset("z")
                with pytest.raises(CommandRefused, match="expected one of"):
                    await engine.strategy(GROUP, "luck")
                with pytest.raises(CommandRefused, match="no alert 1"):
                    await engine.ack(1)
                with pytest.raises(CommandRefused, match="probes by http"):
                    await engine.add_master(Master(id="z", group=GROUP, address="tcp://z:1"))
                fleet.masters["b"].process.kill()
                raised = await seen(engine, of(ev.AlertRaised, "b"))
                await engine.ack(raised.seq, key="k")
                assert await engine.ack(raised.seq, key="k") < engine.state.seq + 1
            authors = {getattr(r.event, "author", "ann") for r in log.read()}
            assert authors <= {"ann", ""}
            assert sum(isinstance(r.event, ev.AlertAcked) for r in log.read()) == 1

        run(main())


def test_a_failover_that_was_not_is_not_undone(tmp_path: Path) -> None:
    with fleet_of(tmp_path, "a", "b") as fleet:

        async def main() -> None:
            async with Engine(configuration(fleet.addresses), log=MemoryLog()) as engine:
                await served_by(engine, "a")
                with pytest.raises(CommandRefused, match="event 1 begins no failover"):
                    await engine.undo(1)
                with pytest.raises(CommandRefused, match="nobody of g was active"):
                    await engine.undo()

        run(main())


def test_several_groups_go_back_at_once_and_none_if_one_cannot(tmp_path: Path) -> None:
    (tmp_path / "g").mkdir()
    (tmp_path / "h").mkdir()
    with fleet_of(tmp_path / "g", "a", "b") as ours, fleet_of(tmp_path / "h", "c", "d") as theirs:
        masters = tuple(
            Master(id=name, group=group, address=address, priority=place)
            for group, fleet in ((GROUP, ours), ("h", theirs))
            for place, (name, address) in enumerate(fleet.addresses.items(), start=1)
        )
        policy = Policy(groups={GROUP: policy_of(), "h": policy_of()})
        made = msgspec.structs.replace(
            configuration(ours.addresses),
            policy=policy,
            masters=masters,
            digest=content_digest(policy, masters),
        )

        async def main() -> None:
            async with Engine(made, log=MemoryLog(), author="ann") as engine:
                await served_by(engine, "a")
                await seen(engine, of(ev.SwitchDone, "c"))
                position = await engine.checkpoint("before")
                seq = await engine.switchover(GROUP, to="b")
                await seen(engine, of(ev.MasterRejoined, "a"), after=seq)
                seq = await engine.switchover("h", to="d")
                await seen(engine, of(ev.MasterRejoined, "c"), after=seq)
                later = await engine.checkpoint("later")
                await engine.rollback_all(position)
                assert [group.assigned for group in engine.state.groups.values()] == ["a", "c"]
                await engine.rollback_all(position, groups=(GROUP, "h"))
                theirs.masters["d"].process.kill()
                await seen(engine, of(ev.MasterFailed, "d"), after=seq)
                with pytest.raises(CommandRefused, match="d: "):
                    await engine.rollback_all(later)
                assert [group.assigned for group in engine.state.groups.values()] == ["a", "c"]
                with pytest.raises(CommandRefused, match="there was no group g at position 1"):
                    await engine.rollback_all(1, groups=(GROUP,))
                with pytest.raises(CommandRefused, match="expected a seq up to"):
                    await engine.rollback_all(1 << 40)

        run(main())
