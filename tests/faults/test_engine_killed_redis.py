"""The engine is killed at every failpoint, amid changes of real Redis servers.

Whatever the moment: after a restart the change is there as a whole or not at all, one server is the
primary and all others replicate from it, what was written and replicated is there, and nobody was
promoted twice.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from engine.core import state as st
from engine.core.replay import control_at
from engine.runtime.carriers.redis_facts import key_of
from tests.engine.redis import RedisProcess, needs_redis, redis_servers, until
from tests.faults.fleet import GROUP, EngineProcess
from tests.faults.test_engine_killed import (
    Kill,
    Played,
    arm,
    changes_are_whole,
    epochs_go_up,
    kills,
    read,
)

pytestmark = needs_redis
Servers = dict[str, RedisProcess]

STEPS: Final = ("transfer", "promote", "verify", "switch", "follow")
EFFECTS: Final = tuple(
    Kill(f"{place}/{step}{word}")
    for step in STEPS
    for place, word in (("effect.before", ""), ("effect.after", " ok"), ("outcome.after", " ok"))
)
FAILOVER: Final = (
    Kill("observe.after/ProbeFailed"),
    Kill("log.before_append/MasterFenced"),
    Kill("log.before_commit/MasterFenced"),
    Kill("log.after_commit/MasterFenced"),
    Kill("durable.before/PromotionStarted"),
    Kill("durable.after/VerificationStarted"),
    Kill("publish.after/Switched"),
    *EFFECTS,
)
SWITCHOVER: Final = (
    Kill("log.before_append/SwitchoverAsked", ends="before"),
    Kill("log.after_commit/SwitchoverAsked"),
    Kill("effect.before/preflight"),
    Kill("effect.after/preflight ok"),
    Kill("effect.before/fence"),
    Kill("effect.after/fence ok"),
    Kill("outcome.after/fence ok"),
    Kill("effect.after/transfer ok"),
    Kill("effect.after/promote ok"),
    Kill("durable.before/Switched"),
    Kill("effect.before/follow"),
)
ROLLBACK: Final = (
    Kill("observe.after/RollbackRequested", ends="before"),
    Kill("log.after_commit/RollbackAccepted"),
    Kill("effect.after/fence ok"),
    Kill("effect.after/promote ok"),
    Kill("log.before_commit/Switched"),
    Kill("publish.after/RollbackEnded"),
)
# Boundaries of the same kind as others here: scripts/kill_engine.py goes through these as well.
ALIKE: Final = frozenset(
    (
        "log.before_append/MasterFenced",
        *(f"effect.before/{step}" for step in ("preflight", "fence", *STEPS) if step != "promote"),
        *(f"outcome.after/{step} ok" for step in ("fence", *STEPS) if step != "promote"),
    )
)


def unlike(moments: tuple[Kill, ...]) -> tuple[Kill, ...]:
    """Return one moment of each kind."""
    return tuple(kill for kill in moments if kill.place not in ALIKE)


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Servers]:
    with redis_servers(tmp_path, ["a", "b", "c"]) as servers:
        yield servers


@kills(*unlike(FAILOVER))
def test_a_failover_during_which_the_engine_is_killed_is_completed(
    tmp_path: Path, servers: Servers, kill: Kill
) -> None:
    log = tmp_path / "tanist.db"
    with started(log, servers) as engine:
        engine.ask(do="settle")
        written(servers["a"])
        arm(engine, kill)
        servers["a"].kill()
        engine.dies()
    with started(log, servers) as engine:
        assert engine.ask(do="served", without="a")["active"] == "b"
        servers["a"].start_again()
        played = settled(engine, log)
    check(played, servers, active="b", promoted=1)


@kills(*unlike(SWITCHOVER))
def test_a_switchover_during_which_the_engine_is_killed_happens_as_a_whole_or_not_at_all(
    tmp_path: Path, servers: Servers, kill: Kill
) -> None:
    log = tmp_path / "tanist.db"
    with started(log, servers) as engine:
        engine.ask(do="settle")
        written(servers["a"])
        arm(engine, kill)
        engine.tell(do="switchover", to="b")
        engine.dies()
    with started(log, servers) as engine:
        played = settled(engine, log)
    is_done = kill.ends == "after"
    check(played, servers, active="b" if is_done else "a", promoted=int(is_done))


@kills(*unlike(ROLLBACK))
def test_a_rollback_during_which_the_engine_is_killed_happens_as_a_whole_or_not_at_all(
    tmp_path: Path, servers: Servers, kill: Kill
) -> None:
    log = tmp_path / "tanist.db"
    with started(log, servers) as engine:
        engine.ask(do="settle")
        written(servers["a"])
        position = engine.ask(do="checkpoint", name="good")["position"]
        assert isinstance(position, int)
        assert engine.ask(do="switchover", to="b")["active"] == "b"
        engine.ask(do="settle")
        arm(engine, kill)
        engine.tell(do="rollback", position=position)
        engine.dies()
    with started(log, servers) as engine:
        played = settled(engine, log)
    is_done = kill.ends == "after"
    check(played, servers, active="a" if is_done else "b", promoted=1 + is_done)
    if is_done:
        before = control_at(played.log, GROUP, position=position)
        assert st.control_of(played.state.groups[GROUP]) == before


# The story.


def started(log: Path, servers: Servers) -> EngineProcess:
    addresses = {name: server.address for name, server in servers.items()}
    engine = EngineProcess(log, addresses, accepted=set())
    engine.said("open")
    return engine


def written(server: RedisProcess) -> None:
    """Write what has to be there in the end: both replicas have it."""
    with server.client() as client:
        assert client.ask("SET", "kept", "v") == b"OK"
        assert client.ask("WAIT", "2", "0") == 2
    # The id of the stream of writes goes along with every promotion, and only with one.
    server.ask("SET", "history", server.info()["master_replid"])
    until(lambda: server.info()["connected_slaves"] == "2")


def settled(engine: EngineProcess, log: Path) -> Played:
    engine.ask(do="settle")
    return read(engine, log)


def check(played: Played, servers: Servers, *, active: str, promoted: int) -> None:
    changes_are_whole(played.log)
    epochs_go_up(played.log)
    group = played.state.groups[GROUP]
    assert st.active_of(group) == active
    primary = servers[active]
    assert primary.info()["role"] == "master"
    assert primary.ask("GET", key_of(GROUP, "epoch")) == str(group.masters[active].epoch).encode()
    assert primary.ask("SET", "k", "w") == b"OK"
    assert primary.ask("GET", "kept") == b"v"
    assert primary.setting("min-replicas-to-write") == "0"
    for name, server in servers.items():
        if name == active:
            continue
        until(lambda server=server: server.ask("GET", "k") == b"w")
        assert server.ask("GET", "kept") == b"v"
        assert server.info()["role"] == "slave"
        assert server.info()["master_port"] == str(primary.port)
        assert server.setting("min-replicas-to-write") == "0"
    first = primary.ask("GET", "history")
    assert isinstance(first, bytes)
    info = primary.info()
    if promoted == 0:
        assert info["master_replid"] == first.decode()
    elif promoted == 1:
        assert info["master_replid2"] == first.decode()
    else:
        assert first.decode() not in (info["master_replid"], info["master_replid2"])


def test_the_moments_above_cover_every_failpoint_of_steps() -> None:
    places = {kill.place.partition("/")[0] for kill in unlike((*FAILOVER, *SWITCHOVER, *ROLLBACK))}
    assert places >= {
        "observe.after", "log.before_append", "log.before_commit", "log.after_commit",
        "durable.before", "durable.after", "publish.after", "effect.before", "effect.after",
        "outcome.after",
    }  # fmt: skip
