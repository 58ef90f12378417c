"""Where the observer is what is wrong: no failover, and the reason is in the log.

Real masters, `tanist run` as a process under the preset lan that acts by itself, and between them,
where it has to be cut, a network that is a process too.
"""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from engine.core import events as ev
from engine.core.events import Recorded
from engine.core.fleet import Health
from engine.core.policy import SECOND
from engine.core.replay import decide_again, replay
from engine.log.sqlite import open_log
from engine.log.tailing import tail
from engine.runtime.clock import WRONG_BY
from tests.engine.runtime.peers import Sample, sample
from tests.faults.fleet import Process
from tests.faults.test_observer import Said, observing, running, url_of

GUARD_S = 60
STOPPED_S = 10.0
NAMES = ("a", "b", "c")
HOUR_US = 3_600 * SECOND
MOVED = (
    ev.FailoverStarted, ev.MasterFenced, ev.ActivationLost, ev.DrainStarted, ev.RollbackAccepted,
)  # fmt: skip


def written(
    directory: Path, addresses: Mapping[str, str], *, more: str = "", file: str = "tanist.toml"
) -> None:
    lines = [
        '[engine]\nlog = "t.db"\nlisten = "127.0.0.1:0"\npreset = "lan"',
        '[groups.g]\nmode = "active-standby"\nautomation = "auto"\ndetect_within = "30s"\n'
        'fence = { kind = "gate", clients = "route" }\n'
        'failover = { grace = "30s" }\n' + more,
    ]
    for number, (name, address) in enumerate(addresses.items(), start=1):
        lines.append(
            f'[[groups.g.masters]]\nid = "{name}"\naddress = "{address}"\npriority = {number}'
        )
    (directory / file).write_text("\n".join(lines) + "\n")


class Log:
    """The log of a running engine, read from outside."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def first(self, wanted: Callable[[Recorded], bool], *, after: int = 0) -> Recorded:
        """Return the first event after the seq `after` that is wanted."""
        ending = threading.Event()
        guard = threading.Timer(GUARD_S, ending.set)
        guard.start()
        try:
            with open_log(self.path) as opened:
                for recorded in tail(opened, after, wait=lambda: not ending.wait(0.01)):
                    if wanted(recorded):
                        return recorded
        finally:
            guard.cancel()
        raise AssertionError("it did not come")

    def kind(self, kind: type[ev.AnyEvent], *, after: int = 0, subject: str = "") -> Recorded:
        return self.first(
            lambda seen: type(seen.event) is kind and subject in ("", seen.subject), after=after
        )

    def answers(self, *, after: int, times: int = 3) -> int:
        """Return where each master was heard so often by the engine itself after `after`."""
        left = dict.fromkeys(NAMES, times)

        def wanted(seen: Recorded) -> bool:
            event = seen.event
            if isinstance(event, ev.ProbeOk) and not event.observer:
                left[seen.subject] -= 1
            return max(left.values()) <= 0

        return self.first(wanted, after=after).seq

    def whole(self) -> list[Recorded]:
        with open_log(self.path) as opened:
            return list(opened.read())


@pytest.fixture
def masters() -> Iterator[dict[str, Sample]]:
    with contextlib.ExitStack() as stack:
        yield {
            name: stack.enter_context(sample("master", "--name", name, "--group", "g"))
            for name in NAMES
        }


def direct(masters: Mapping[str, Sample]) -> dict[str, str]:
    return {name: master.address for name, master in masters.items()}


@contextlib.contextmanager
def cut_by(addresses: Mapping[str, str]) -> Iterator[tuple[Process, dict[str, str]]]:
    """Run a network to these addresses; yield it, and where it takes what is for each."""
    network = Process(
        "tests.faults.network", *(urlsplit(each).netloc for each in addresses.values())
    )
    try:
        hello = network.line()
        assert hello is not None
        ports = hello["ports"]
        assert isinstance(ports, list)
        pairs = zip(addresses, ports, strict=True)
        yield network, {name: f"http://127.0.0.1:{port}" for name, port in pairs}
    finally:
        network.strike(signal.SIGCONT)
        network.end()


def serving(engine: Said, log: Log) -> int:
    """Return where the first of the masters serves and all are well."""
    url_of(engine)  # it has opened its log
    log.kind(ev.FailoverEnded)
    switched = log.kind(ev.SwitchDone, subject="a")
    return log.answers(after=switched.seq)


def ended(engine: Said, log: Log, *, since: int) -> list[Recorded]:
    """End the engine; return what it has decided after `since`, of which nothing moved anybody."""
    assert engine.ends(signal.SIGTERM) == 0
    whole = log.whole()
    taken = [seen for seen in whole if seen.seq > since]
    assert [seen for seen in taken if isinstance(seen.event, MOVED)] == []
    assert replay(whole).groups["g"].assigned == "a"
    assert list(decide_again(whole)) == whole
    return taken


@pytest.mark.alone
def test_an_observer_that_was_stopped_for_ten_seconds(
    tmp_path: Path, masters: dict[str, Sample]
) -> None:
    written(tmp_path, direct(masters))
    log = Log(tmp_path / "t.db")
    with running(tmp_path, "run") as engine:
        since = serving(engine, log)
        engine.process.send_signal(signal.SIGSTOP)
        threading.Event().wait(STOPPED_S)  # the fault itself lasts that long
        engine.process.send_signal(signal.SIGCONT)
        resumed = log.kind(ev.EngineResumed, after=since)
        log.answers(after=resumed.seq, times=10)
        taken = ended(engine, log, since=since)
    assert isinstance(resumed.event, ev.EngineResumed)
    assert resumed.event.stall_us >= 0.9 * STOPPED_S * SECOND
    assert [seen for seen in taken if isinstance(seen.event, ev.MasterFailed)] == []
    # What it slept through is unknown, and nothing worse.
    unknown = {seen.subject for seen in taken if isinstance(seen.event, ev.MasterUnknown)}
    assert unknown <= set(NAMES)
    state = replay(log.whole())
    assert {state.groups["g"].masters[name].health for name in NAMES} == {Health.HEALTHY}


@pytest.mark.alone
def test_a_wall_clock_that_goes_back_an_hour_and_forward_a_day(
    tmp_path: Path, masters: dict[str, Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path, direct(masters))
    offset = tmp_path / "offset"
    offset.write_text("0")
    monkeypatch.setenv(WRONG_BY, str(offset))
    log = Log(tmp_path / "t.db")
    steps = []
    with running(tmp_path, "run") as engine:
        since = seq = serving(engine, log)
        for wrong_us in (-HOUR_US, 23 * HOUR_US):
            beside = tmp_path / "next"
            beside.write_text(str(wrong_us))
            beside.replace(offset)
            stepped = log.kind(ev.ClockStepped, after=seq)
            assert isinstance(stepped.event, ev.ClockStepped)
            steps.append(stepped)
            seq = log.answers(after=stepped.seq)
        engine.until("the wall clock was set by")
        taken = ended(engine, log, since=since)
    found = [seen.event for seen in steps]
    assert [event.step_us for event in found if isinstance(event, ev.ClockStepped)] == [
        pytest.approx(-HOUR_US, abs=SECOND),
        pytest.approx(24 * HOUR_US, abs=SECOND),
    ]
    # Engine time went on as before, and nobody's health has changed.
    assert taken[-1].at_us - taken[0].at_us < GUARD_S * SECOND
    assert not [seen for seen in taken if type(seen.event).__name__.startswith("Master")]


@pytest.mark.alone
def test_all_masters_are_cut_off_at_once(tmp_path: Path, masters: dict[str, Sample]) -> None:
    log = Log(tmp_path / "t.db")
    with cut_by(direct(masters)) as (network, addresses):
        written(tmp_path, addresses)
        with running(tmp_path, "run") as engine:
            since = serving(engine, log)
            network.strike(signal.SIGSTOP)
            doubted = log.kind(ev.DoubtChanged, after=since)
            assert doubted.event == ev.DoubtChanged(doubted=True, failing=3, masters=3)
            for name in NAMES:
                log.kind(ev.MasterFailed, after=since, subject=name)
            network.strike(signal.SIGCONT)
            again = log.kind(ev.DoubtChanged, after=doubted.seq)
            assert isinstance(again.event, ev.DoubtChanged)
            assert not again.event.doubted
            for name in NAMES:
                log.kind(ev.MasterHealthy, after=again.seq, subject=name)
            log.answers(after=again.seq, times=10)
            engine.until("the engine may be cut off itself")
            taken = ended(engine, log, since=since)
    failed = [seen.event for seen in taken if isinstance(seen.event, ev.MasterFailed)]
    assert len(failed) >= len(NAMES)
    assert not any(event.hard for event in failed)


@pytest.mark.alone
def test_two_observers_that_contradict(tmp_path: Path, masters: dict[str, Sample]) -> None:
    """The engine's way to the active is cut; the other observer goes there by its own."""
    log = Log(tmp_path / "t.db")
    with cut_by({"a": masters["a"].address}) as (network, cut):
        written(tmp_path, {**direct(masters), **cut})
        away = tmp_path / "away"
        away.mkdir()
        with running(tmp_path, "run") as engine:
            url = url_of(engine)
            written(away, direct(masters))
            (away / "tanist.token").write_bytes((tmp_path / "tanist.token").read_bytes())
            with observing(away, url) as other:
                other.until("o2 looks at")
                since = serving(engine, log)
                log.first(
                    lambda seen: (
                        getattr(seen.event, "observer", "") == "o2"
                        and isinstance(seen.event, ev.ProbeOk)
                        and seen.subject == "a"
                    ),
                    after=since,
                )
                network.strike(signal.SIGSTOP)
                said = log.kind(ev.ObserversDisagree, after=since, subject="a")
                assert isinstance(said.event, ev.ObserversDisagree)
                assert (said.event.against, said.event.well) == (("",), ("o2",))
                # It goes on like that, and nothing is done about it.
                ten = iter(range(10))
                log.first(
                    lambda seen: (
                        isinstance(seen.event, ev.ProbeFailed)
                        and seen.subject == "a"
                        and next(ten, None) == 9
                    ),
                    after=said.seq,
                )
                network.strike(signal.SIGCONT)
                agreed = log.kind(ev.ObserversAgree, after=said.seq, subject="a")
                log.answers(after=agreed.seq)
                engine.until("observers of a contradict: the engine says it has failed, o2 hears")
                assert other.ends(signal.SIGTERM) == 0
            taken = ended(engine, log, since=since)
    assert [seen for seen in taken if isinstance(seen.event, ev.MasterFailed)] == []
