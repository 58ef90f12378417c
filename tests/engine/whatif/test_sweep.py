"""A log in columns is decided upon again as it is event by event: lulls change nothing."""

from collections.abc import Callable, Iterator, Sequence

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as hs

from engine.core import events as ev
from engine.core import lulls
from engine.core import state as st
from engine.core.events import Recorded
from engine.core.evolve import evolve
from engine.core.lulls import Lull
from engine.core.policy import MS, SECOND, Automation
from engine.core.replay import replay
from engine.core.state import State
from engine.simulation.schedule import draw
from engine.simulation.world import run
from engine.whatif.again import WhatIf, unchanged
from engine.whatif.given import Change
from engine.whatif.sweep import sweep
from tests.engine.core.build import Story, declared, made
from tests.engine.core.columns import stretches
from tests.engine.whatif.asking import changed

CHANGES: tuple[Change, ...] = (
    unchanged,
    changed(probe__fall=4),
    changed(probe__fall=1),
    changed(probe__rise=1),
    changed(automation=Automation.OBSERVE),
    changed(probe__timeout_us=20 * MS),
)


class Taken:
    """How many events were taken in lulls."""

    count = 0


@pytest.fixture(scope="module", autouse=True)
def taken() -> Iterator[Taken]:
    """Let lulls be so short that random logs have many, and count what they take."""
    counted, take = Taken(), lulls.take

    def noted(state: State, lull: Lull) -> None:
        counted.count += lull.count
        take(state, lull)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lulls, "take", noted)
        patch.setattr(lulls, "EVENTS_MIN", 2)
        patch.setattr(lulls, "PATIENCE_EVENTS", 3)
        yield counted


def check(log: Sequence[Recorded], change: Change, *, skipped: tuple[int, ...] = ()) -> None:
    """Fail unless both ways give the same, from the start and from some place."""
    narrows = change is CHANGES[-1]

    def asked(base: State) -> WhatIf:
        return WhatIf(change=change, base=base, skipped=skipped, narrows=narrows)

    for cut in (0, len(log) // 3):
        first = asked(replay(log[:cut])).run(log[cut:])
        beside = replay(log[:cut])
        columns = stretches(log[cut:], each=211)
        second = sweep(asked(replay(log[:cut])), columns, beside=beside)
        assert st.digest(second.state) == st.digest(first.state)
        assert st.digest(beside) == st.digest(replay(log))
        assert second == first


@pytest.mark.parametrize("change", CHANGES)
@settings(max_examples=6)
@given(seed=hs.integers(0, 10_000))
def test_of_any_world(change: Change, seed: int) -> None:
    check(run(draw(seed)).log, change)


Act = tuple[str, str, int]  # what happens, to whom, how often or how long


def calm(tale: Story, names: str, rounds: int) -> None:
    for _ in range(rounds):
        for place, name in enumerate(sorted(names)):
            tale.wait(10 * MS + place * MS)
            if name in tale.dead:
                tale.refuses(name)
            else:
                tale.ok(name)
        tale.tick()
        tale.work()


ACTS: dict[str, Callable[[Story, str, int], object]] = {
    "calm": lambda tale, _, count: calm(tale, "abcde", count),
    "loses": lambda tale, name, count: [
        (tale.wait(20 * MS), tale.fails(name)) for _ in range(count % 6)
    ],
    "crashes": lambda tale, name, _: (tale.crashes(name), tale.work()),
    "restarts": lambda tale, name, _: tale.restarts(name),
    "is late": lambda tale, name, _: tale.fails(name, late_us=SECOND),
    "silence": lambda tale, _, count: (tale.wait(count * 100 * MS), tale.tick(), tale.work()),
    "accepts": lambda tale, name, _: tale.accepts(f"{name}-{tale.state.seq}"),
    "closes": lambda tale, name, _: tale.closes(name),
    "another looks": lambda tale, name, _: tale.ok(name, observer="o2"),
    "another fails": lambda tale, name, _: tale.see(
        ev.ProbeFailed(n=tale.n + 1, evidence=ev.Evidence.OVERDUE, observer="o2"), name
    ),
    "starts": lambda tale, _, __: tale.see(ev.EngineStarted(release="2", stopped_at_us=tale.at_us)),
    "pauses": lambda tale, _, __: tale.ask(ev.Paused(until_us=0, reason="r", author="x")),
    "resumes": lambda tale, _, __: tale.ask(ev.Resumed(author="x")),
}
acts = hs.lists(
    hs.one_of(
        hs.tuples(hs.just("calm"), hs.just("a"), hs.integers(1, 30)),
        hs.tuples(hs.sampled_from(sorted(ACTS)), hs.sampled_from("abcde"), hs.integers(1, 70)),
    ),
    max_size=14,
)


@pytest.mark.parametrize("change", CHANGES)
@settings(max_examples=12)
@given(told=acts, fall=hs.integers(1, 3), left_out=hs.integers(0, 3))
def test_of_any_story(change: Change, told: list[Act], fall: int, left_out: int) -> None:
    lan = made("lan", fall=fall, automation=Automation.AUTO, grace_us=0, hold_down_us=0)
    two = declared("abc") + declared("de", group="h")
    tale = Story({"g": lan, "h": msgspec.structs.replace(lan, effects="none")}, masters=two)
    tale.ok(*"abcde")
    tale.work()
    for what, name, count in [("calm", "a", 6), *told, ("calm", "a", 6)]:
        ACTS[what](tale, name, count)
    inputs = [one.seq for one in tale.log[20:] if type(one.event) is ev.ProbeFailed]
    skipped = tuple(inputs[: 1 if left_out == 1 else 0])
    check(tale.log, change, skipped=skipped)


def test_a_failover_that_would_not_have_been_leaves_lulls_behind_it(taken: Taken) -> None:
    """Masters go on to say another thing than they would have said: that is a lull too."""
    lan = made("lan", fall=3, automation=Automation.AUTO, grace_us=0, hold_down_us=0)
    tale = Story({"g": lan}, masters=declared("abc"))
    tale.serve()
    calm(tale, "abc", 8)
    for _ in range(3):
        tale.wait(20 * MS)
        tale.fails("a")
        tale.ok("b", "c")
        tale.work()
    calm(tale, "abc", 8)
    failed_over = len(tale.log)
    calm(tale, "abc", 100)
    assert tale.group.failovers == 1
    ask = WhatIf(change=changed(probe__fall=4))
    taken.count = 0
    found = sweep(ask, stretches(tale.log))
    assert found.whatif.failovers == 0
    assert taken.count >= len(tale.log) - failed_over - 60
    check(tale.log, changed(probe__fall=4))


def test_lulls_are_taken_at_all(taken: Taken) -> None:
    assert taken.count > 0


def test_other_rules_are_asked_of_every_event() -> None:
    tale = Story({"g": made("lan")}, masters=declared("abc"))
    tale.serve()
    calm(tale, "abc", 30)
    seen = 0

    def noted(state: State, recorded: Recorded) -> None:
        nonlocal seen
        seen += 1
        evolve(state, recorded)

    sweep(WhatIf(evolve=noted), stretches(tale.log))
    assert seen == len(tale.log)
