"""The engine's side of the comparison with Redis Sentinel, in small: what holds in each round."""

import asyncio
import random
from pathlib import Path

import pytest

from tests.engine.redis import needs_redis
from tests.faults.comparing import FAULTS, engine_rounds, http_rounds
from tests.faults.replicas import patient_policy

pytestmark = [needs_redis, pytest.mark.alone]


def test_nothing_that_went_through_the_route_is_lost_and_the_old_primary_is_fenced(
    tmp_path: Path,
) -> None:
    found, routed = asyncio.run(
        engine_rounds(tmp_path, [*FAULTS, *FAULTS], chance=random.Random(1))
    )
    assert [each.fault for each in found] == [*FAULTS, *FAULTS]
    assert routed["routed_lost"] == 0
    assert routed["routed"]
    # Each round ended with every server at the new primary, the old one among them: `rounds`
    # waits for that. Whoever goes around the engine may lose what it wrote, and it is counted.
    assert all(0 <= each.leaked <= each.told for each in found)
    assert all(0 < each.detected_ms <= each.over_ms for each in found)


def test_kills_alone_are_detected_without_any_time_out(tmp_path: Path) -> None:
    found, routed = asyncio.run(
        engine_rounds(tmp_path, ["kill"] * 3, chance=random.Random(2), policy=patient_policy())
    )
    assert len({each.victim for each in found}) > 1
    assert routed["routed_lost"] == 0
    assert routed["failovers_without_a_fault"] == []


def test_while_messages_are_accepted_at_full_rate_each_of_them_is_done(tmp_path: Path) -> None:
    found, sent = asyncio.run(
        http_rounds(tmp_path, ["kill", "hang"], chance=random.Random(4), senders=32)
    )
    assert [each.fault for each in found] == ["kill", "hang"]
    assert sent["accepted"] == sent["finished"] != 0
    assert sent["requeued"]
