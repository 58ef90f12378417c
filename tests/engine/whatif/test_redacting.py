"""A part of a log under other names decides the same; of every field is said what it is."""

import msgspec
import pytest

from engine.core import events as ev
from engine.core import policy, state
from engine.core import state as st
from engine.core.errors import CommandRefused
from engine.core.facts import GroupControl, Verdict
from engine.core.fleet import Master
from engine.core.owed import owed
from engine.core.policy import SECOND
from engine.core.replay import replay
from engine.simulation.runs import Run
from engine.simulation.schedule import draw
from engine.simulation.world import run
from engine.whatif.redacting import Names, Redactor, Sort, redacted, sort_of
from tests.engine.core import build

HOLDS = ("str", "bytes", "location")


def structs() -> list[type[msgspec.Struct]]:
    found = [*ev.KINDS.values(), Master, Verdict, GroupControl]
    for module in (policy, state):
        found += [
            each
            for each in vars(module).values()
            if isinstance(each, type) and issubclass(each, msgspec.Struct)
            if each is not state.Place  # a cache, which nobody is shown
        ]
    return found


def test_somebody_has_said_of_every_field_whether_it_is_told() -> None:
    unnamed = {
        f"{struct.__name__}.{field.name}"
        for struct in structs()
        for field in msgspec.structs.fields(struct)
        if any(word in f"{field.name} {field.type}" for word in HOLDS)
        and sort_of(struct.__name__, field.name) is None
    }
    assert unnamed == set(), "say in redacting.FIELDS what they hold"
    assert sort_of("Master", "colour") is None


@pytest.fixture(scope="module")
def worlds() -> list[Run]:
    return [run(draw(seed)) for seed in range(12)]


def whole(made: Run, seq: int) -> int:
    """Return `seq`, or the end of the batch that it is in the middle of."""
    while seq < len(made.log) and made.log[seq].cause:
        seq += 1
    return seq


def test_what_is_redacted_has_the_same_decisions(worlds: list[Run]) -> None:
    for made in worlds:
        first = whole(made, len(made.log) // 3)
        base, events = replay(made.log[:first]), made.log[first:]
        begin, told, end = redacted(base, events)
        assert [type(one.event) for one in told] == [type(one.event) for one in events]
        assert st.digest(replay(told, state=begin)) == st.digest(end)
        old = replay(made.log)
        assert [part.epoch for part in end.groups.values()] == [
            part.epoch for part in old.groups.values()
        ]


def test_nothing_that_names_anybody_is_left(worlds: list[Run]) -> None:
    made = max(worlds, key=lambda each: len(each.log))
    events = [one.event for one in made.log]
    secrets = {
        *(event.master.address.encode() for event in events if isinstance(event, ev.MasterAdded)),
        *(event.digest for event in events if isinstance(event, ev.MessageAccepted)),
    }
    assert len(secrets) > 10
    begin, told, _ = redacted(replay(made.log[:1]), made.log[1:])
    text = b"".join([st.dump(begin), *(ev.encode(one.event)[1] for one in told)])
    assert not [secret for secret in secrets if secret in text]
    keys = {one.event.key for one in told if isinstance(one.event, ev.MessageAccepted)}
    assert keys == {f"k{number}" for number in range(1, len(keys) + 1)}


def test_names_keep_their_order() -> None:
    names = Names(["b", "a", "z", *(f"x{number}" for number in range(9))], ["g", "f"])
    order = sorted(["b", "a", "z", *(f"x{number}" for number in range(9))])
    assert [names.of(Sort.MASTER, name) for name in order] == sorted(
        names.of(Sort.MASTER, name) for name in order
    )
    assert (names.subject("g"), names.subject("f"), names.subject("fleet")) == ("g2", "g1", "fleet")
    assert names.of(Sort.LANE, "g") == "g2"
    assert names.of(Sort.OBSERVER, "traffic") == "traffic"
    assert names.of(Sort.OBSERVER, "o-7") == names.of(Sort.OBSERVER, "o-7") == "o1"


def test_addresses_keep_their_scheme_and_nothing_else() -> None:
    redactor = Redactor(Names(["a"], ["g"]))
    master = Master(
        id="a", group="g", address="redis://10.1.2.3:7001", region="eu", location=(1, 2)
    )
    told = redactor.struct(master)
    assert told.address.startswith("redis://host1.invalid:")
    assert (told.id, told.group, told.region, told.location) == ("m1", "g1", "region1", None)
    assert sort_of("Master", "address") is Sort.ADDRESS


@pytest.mark.parametrize("said", ["a:1", "elsewhere:1"])
@pytest.mark.parametrize("is_told_inside", [False, True])
def test_whom_masters_follow_is_the_same_under_other_names(said: str, is_told_inside: bool) -> None:
    tale = build.Story(build.made(effects="redis", unknown_after_us=0), names="abc")
    base, first = st.copy(tale.state), len(tale.log)
    tale.serve()
    tale.work()
    if not is_told_inside:
        base, first = st.copy(tale.state), len(tale.log)
    for name in "bc":
        decided = build.kinds(tale.see(ev.LoadReported(position=1, lag_us=0, follows=said), name))
        assert ("FollowChanged" in decided) is (said != "a:1")
    tale.wait(SECOND)
    tale.ok("a", "b", "c")
    begin, told, end = redacted(base, tale.log[first:])
    assert [type(one.event) for one in told] == [type(one.event) for one in tale.log[first:]]
    if not is_told_inside:
        follows = {name: each.follows for name, each in begin.groups["g1"].masters.items()}
        assert follows == {"m1": "", "m2": "m1", "m3": "m1"}
    assert [(each.step, each.master) for each in owed(end)] == [
        (each.step, f"m{'abc'.index(each.master) + 1}") for each in owed(tale.state)
    ]


def test_a_part_that_this_release_decides_otherwise_is_refused(worlds: list[Run]) -> None:
    made = worlds[0]
    events = [
        msgspec.structs.replace(one, event=ev.MasterDegraded(evidence=(), rule="another"))
        if isinstance(one.event, ev.MasterHealthy)
        else one
        for one in made.log[1:]
    ]
    with pytest.raises(CommandRefused, match="would be decided otherwise by this release"):
        redacted(replay(made.log[:1]), events)
