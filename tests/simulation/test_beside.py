"""Drawn worlds whose groups have programs around steps, are healed, follow, and fence by lease."""

import random

import msgspec
import pytest

from engine.core import events as ev
from engine.core.fleet import Mode
from engine.core.policy import MS, Fence, FenceKind, GroupPolicy, Hooks, Recover
from engine.simulation import policy, run, swarm, violations

SEEDS = 70
STEPS = ("fence", "transfer", "promote", "verify", "switch")
PROGRAM = ("a program",)


def drawn(chance: random.Random) -> GroupPolicy:
    """Return a policy with some of what may go on beside the steps."""
    mode = Mode.ACTIVE_ACTIVE if chance.random() < 0.1 else Mode.ACTIVE_STANDBY
    base = policy(mode=mode, fall=chance.choice((1, 2, 3)), rise=chance.choice((1, 2)))
    kind = chance.choice(list(FenceKind))
    hooks = {
        f"{when}_{step}": PROGRAM
        for when in ("before", "after")
        for step in STEPS
        if chance.random() < 0.3
    }
    heals = Recover(
        command=PROGRAM,
        attempts=chance.choice((1, 5)),
        backoff_us=chance.choice((50 * MS, 400 * MS)),
        timeout_us=100 * MS,
    )
    return msgspec.structs.replace(
        base,
        effects=chance.choice(("http", "command")),
        fence=Fence(
            kind=kind, clients="route", lease_us=300 * MS if kind is FenceKind.LEASE else 0
        ),
        hooks=Hooks(**hooks) if hooks and chance.random() < 0.8 else None,
        recover=heals if chance.random() < 0.6 else None,
    )


@pytest.fixture(scope="module")
def reached() -> dict[str, int]:
    """Run every seed, and return how often each kind of event was there."""
    found: dict[str, int] = {}
    for seed in range(SEEDS):
        chance = random.Random(seed)
        made = run(swarm(seed, policies={"g": drawn(chance)}))
        broken = violations(made)
        assert broken == [], (seed, broken[:3])
        for recorded in made.log:
            name = type(recorded.event).__name__
            if isinstance(recorded.event, ev.FenceConfirmed):
                name += f" {recorded.event.how}"
            elif isinstance(recorded.event, ev.HookEnded):
                name += f" {recorded.event.result}"
            found[name] = found.get(name, 0) + 1
    return found


def test_no_world_breaks_a_law_and_all_of_it_happens(reached: dict[str, int]) -> None:
    wanted = {
        "FollowChanged", "HookStarted", "HookEnded ok", "HookEnded refused", "HookEnded unknown",
        "RecoveryStarted", "FenceConfirmed lease", "FenceConfirmed answered", "AttemptFailed",
    }  # fmt: skip
    assert wanted <= reached.keys()
