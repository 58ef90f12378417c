"""P2, replay: the engine's own fold of a log, hot and sealed, beside the floor over its rows."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from engine.bench import raw
from engine.bench.history import History
from engine.bench.report import Bound, Part, Tick, part
from engine.bench.rounds import Side, medians, per_second
from engine.core import state as st
from engine.core.policy import Policy
from engine.core.replay import replay
from engine.log.packing import pack
from engine.log.sqlite import open_log
from engine.whatif.again import WhatIf
from engine.whatif.sweep import sweep
from projections.uptime import UPTIME

MASTERS: Final = 50
PER_S: Final = "events/s"


class Sizes(msgspec.Struct, frozen=True, kw_only=True):
    """How long the log is [events]."""

    events: int


def replayed(path: Path) -> int:
    """Return the seq of the last event, after the engine's own replay of the log."""
    with open_log(path) as log:
        return replay(log.read()).seq


def read(path: Path) -> int:
    """Return the same after reading the log as the engine does, and hardly folding it."""
    last: dict[str, tuple[int, object]] = {}
    seq = 0
    with open_log(path) as log:
        for recorded in log.read():
            last[recorded.subject] = recorded.at_us, recorded.event
            seq = recorded.seq
    return seq


def uptime(path: Path) -> int:
    """Return the same after folding the log into the view that `tanist uptime` answers from."""
    with open_log(path) as log:
        return log.view(UPTIME)[1]


def decided(path: Path) -> int:
    """Return the same after deciding upon the log again under another policy, as `whatif` does."""

    def patient(policy: Policy) -> Policy:
        groups = {
            name: msgspec.structs.replace(
                group, probe=msgspec.structs.replace(group.probe, fall=group.probe.fall + 1)
            )
            for name, group in policy.groups.items()
        }
        return msgspec.structs.replace(policy, groups=groups)

    with open_log(path) as log:
        run = WhatIf(change=patient)
        sweep(run, log.stretches())
        return run.last_seq


def _logs(directory: Path, events: int) -> tuple[Path, Path, int]:
    """Return a log of hot rows, the same log sealed, and where both end [seq]."""
    hot, sealed = directory / "hot.db", directory / "sealed.db"
    with open_log(hot, mode="write", create=True) as log:
        History(masters=MASTERS).append_to(log, events)
        head = log.head.seq
    shutil.copyfile(hot, sealed)
    pack(sealed, progress=lambda _done, _total: None)
    with open_log(hot) as log, open_log(sealed) as packed:
        assert packed.seals()
        assert st.digest(replay(log.read())) == st.digest(replay(packed.read()))
        assert UPTIME.dump(log.view(UPTIME)[0]) == UPTIME.dump(packed.view(UPTIME)[0])
    return hot, sealed, head


def rows_and_blocks(directory: Path, sizes: Sizes, *, rounds: int, tick: Tick) -> list[Part]:
    """Measure folds over rows and over blocks."""
    hot, sealed, head = _logs(directory, sizes.events)

    def side(name: str, run: Callable[[Path], int], path: Path) -> Side:
        def checked() -> None:
            assert run(path) == head

        return lambda: {name: per_second(head, checked)}

    found = medians(
        [
            side("floor", raw.fold, hot),
            side("replay", replayed, hot),
            side("replay sealed", replayed, sealed),
            side("read", read, hot),
            side("read sealed", read, sealed),
            side("decided", decided, hot),
            side("uptime", uptime, hot),
            side("uptime sealed", uptime, sealed),
        ],
        rounds=rounds,
        tick=tick,
    )
    floor, floor_is = found["floor"], "the raw driver: read, decode, fold hardly"
    return [
        part(
            "rows",
            "replay of hot rows, the default policy",
            PER_S,
            found["replay"],
            floor=floor,
            floor_is=floor_is,
            goal=Bound(of="ratio", at_least=0.6),
        ),
        part(
            "read",
            "hot rows read as the engine does, hardly folded",
            PER_S,
            found["read"],
            floor=floor,
            floor_is=floor_is,
        ),
        part(
            "sealed",
            "sealed blocks read as the engine does, hardly folded",
            PER_S,
            found["read sealed"],
            floor=found["read"],
            floor_is="the same of hot rows",
            goal=Bound(of="ratio", at_least=1.7),
        ),
        part(
            "sealed-replay",
            "replay of sealed blocks",
            PER_S,
            found["replay sealed"],
            floor=found["replay"],
            floor_is="replay of hot rows",
        ),
        part(
            "whatif",
            "hot rows decided upon again under another policy",
            PER_S,
            found["decided"],
            floor=found["replay"],
            floor_is="replay of hot rows",
        ),
        part(
            "uptime",
            "uptime over the columns of sealed blocks",
            PER_S,
            found["uptime sealed"],
            floor=found["uptime"],
            floor_is="uptime over hot rows",
            goal=Bound(of="ratio", at_least=5),
        ),
    ]
