"""A schedule for each seed: the fleet, its time-outs, which faults there are, and how often.

Swarm testing: Groce et al., *Swarm Testing*, ISSTA 2012. A mix of everything hides what only a long
run of one fault reaches, so each seed leaves out most kinds, and weighs the rest.
"""

import random
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from engine.core.policy import MS, SECOND, GroupPolicy
from engine.simulation import figures
from engine.simulation.fleets import INTERVAL_US, NO_SIZES, drawn_setting, replicating
from engine.simulation.histories import History
from engine.simulation.network import LATENCY_US
from engine.simulation.schedule import (
    ALL_KINDS,
    BESIDE,
    CLOCK_FAULTS,
    DATA_FAULTS,
    FIGURES,
    KEEPING,
    LOG_FAULTS,
    PARTITIONS,
    PROGRAM_FAULTS,
    SITE_FAULTS,
    SPACE_FAULTS,
    Schedule,
    Setting,
    Turn,
)

TURNS: Final = 60

# What ends a fault, and comes with it.
HEALS: Final = {
    "crash": "restart", "hang": "continue", "cut": "join", "mute": "unmute", "sick": "sound",
    "poor": "well", "gray": "open", "shy": "open", "unheard": "heard", "hold": "burst",
    "flap": "steady", "isolate": "mend", "halves": "mend", "bridge": "mend", "ring": "mend",
    "crash-all": "restart-all", "standbys-crash": "restart-all", "standbys-poor": "standbys-well",
    "exclude": "include", "pause": "resume", "drain": "undrain", "fill": "free", "remove": "add",
}  # fmt: skip
# Mixes that bring about what a mix of everything has too seldom: masters that go and come; a source
# that drains when its heir is lost; an engine that hears nothing while a master proves itself;
# a copy of the log that is older than what a fenced master knows; programs that fail; leases whose
# clocks go astray; a full disk; a log that is thinned while work goes on; requests that fail.
THEMES: Final[tuple[tuple[str, ...], ...]] = (
    ("crash", "restart", "cut", "join", "exclude", "include", "poor", "well", "engine-crash"),
    ("switchover", "accept", "gray", "open", "exclude", "include", "rest"),
    ("flap", "steady", "stall", "engine-crash"),
    ("switchover", "hang", "continue", "restore"),
    ("crash", "restart", "hang", "continue", "program-fails", "program-hangs", "program-lies"),
    ("hang", "continue", "clock-jump", "drift", "engine-crash", "stray", "crash", "restart"),
    ("fill", "free", "crash", "restart", "hang", "continue", "engine-crash", "accept"),
    ("calls", "crash", "restart", "hang", "continue", "drain", "undrain", "engine-crash"),
    ("thin", "sweep", "engine-crash", "accept", "keep", "switchover", "checkpoint", "rollback"),
)
# The same of masters that replicate: primaries that go while a replica is behind; that come back
# without data; that are left while others follow them still; beside an engine that crashes.
DATA_THEMES: Final[tuple[tuple[str, ...], ...]] = (
    ("crash", "restart", "lacks", "severed", "rejoined", "rest"),
    ("emptied", "crash", "restart", "gray", "open", "hang", "continue"),
    ("switchover", "lacks", "severed", "rejoined", "hang", "continue", "cut", "join"),
    ("emptied", "lacks", "engine-crash", "stall", "crash", "restart"),
    ("hang", "continue", "severed", "rejoined", "stray", "isolate", "mend", "claim"),
)
BASED: Final = 0.1  # share of the seeds whose log begins with a state
FIGURED: Final = 0.1  # of those whose engine counts what is out of the ordinary
THEMED: Final = 0.25  # share of the seeds that draw one of them
WITHOUT_SUBJECT: Final = frozenset(
    (
        *PARTITIONS, *CLOCK_FAULTS, *LOG_FAULTS, *SITE_FAULTS, *PROGRAM_FAULTS, *SPACE_FAULTS,
        *KEEPING,
    )
)  # fmt: skip


def swarm(
    seed: int,
    *,
    turns: int = TURNS,
    setting: Setting | None = None,
    policies: dict[str, GroupPolicy] | None = None,
    masters: int | None = None,
    sizes: Mapping[str, int] = NO_SIZES,
    kinds: Sequence[str] = (),
) -> Schedule:
    """Return the schedule of `seed`.

    Args:
        seed: Says everything that is not said by the others.
        turns: How many.
        setting: The fleet; None: it is drawn.
        policies: The policies of its groups; None: they are drawn.
        masters: Of each group [count]; None: it is drawn.
        sizes: The same of single groups, unless `masters` says it.
        kinds: Of turns that there are; (): that is drawn.
    """
    rng = random.Random(seed)  # noqa: S311
    more = random.Random(f"{seed} replicates")  # noqa: S311
    is_drawn = setting is None
    if setting is None:
        setting = drawn_setting(rng, policies, masters, sizes)
        setting = replicating(more, setting, is_drawn=policies is None)
    mix = dict.fromkeys(kinds, 1) or _mix(rng)
    if setting.replication is not None and not kinds:
        mix = _mix_of_data(more, mix)
    beside = random.Random(f"{seed} beside")  # noqa: S311
    if beside.random() < BASED and is_drawn:
        setting = msgspec.structs.replace(setting, is_based=True)
    if beside.random() < FIGURED and not kinds:
        mix |= dict.fromkeys(FIGURES, beside.choice((1, 3)))
    weights = tuple(mix.values())
    gaps_us = _gaps(rng, setting)
    subjects = setting.names()
    subjects = subjects[: rng.randint(1, min(len(subjects), 6))]
    scale = max(1, setting.policy.probe.interval_us // INTERVAL_US)
    return Schedule(
        setting=setting,
        turns=tuple(
            _turn(rng, kind, rng.choice(gaps_us), subjects, setting, scale)
            for kind in rng.choices(tuple(mix), weights, k=turns)
        ),
    )


def endure(
    seed: int,
    *,
    for_us: int,
    setting: Setting,
    history: History | None = None,
) -> Schedule:
    """Return a schedule of hours: masters fail and are repaired as `history` says.

    Without one the times to failure and to repair are exponential: on average 200 and 10 intervals
    of a probe.
    """
    rng = random.Random(seed)  # noqa: S311
    interval_us = setting.policy.probe.interval_us
    failing, repair = ((), ()) if history is None else (history.to_failure_us, history.to_repair_us)
    moments: list[tuple[int, str, str]] = []
    for name in setting.names():
        at_us = 0
        while True:
            at_us += _drawn(rng, failing, 200 * interval_us)
            if at_us >= for_us:
                break
            fault = rng.choice(("crash", "crash", "hang", "cut", "mute"))
            moments.append((at_us, fault, name))
            at_us += _drawn(rng, repair, 10 * interval_us)
            moments.append((min(at_us, for_us), HEALS[fault], name))
    moments.sort()
    moments.append((for_us, "rest", ""))
    now_us, turns = 0, []
    for at_us, kind, name in moments:
        turns.append(Turn(kind=kind, gap_us=at_us - now_us, subject=name))
        now_us = at_us
    return Schedule(setting=setting, turns=tuple(turns))


def _drawn(rng: random.Random, recorded: Sequence[int], mean_us: int) -> int:
    return rng.choice(recorded) if recorded else max(1, int(rng.expovariate(1 / mean_us)))


def _mix(rng: random.Random) -> dict[str, int]:
    """Return the kinds that there are, and how often each is."""
    if rng.random() < THEMED:
        return dict.fromkeys(rng.choice(THEMES), 1)
    share = rng.choice((0.05, 0.15, 0.4))
    kinds = (kind for kind in ALL_KINDS if kind not in BESIDE)
    mix = {kind: rng.choice((1, 1, 3, 10)) for kind in kinds if rng.random() < share}
    for fault, heal in HEALS.items():
        if fault in mix:
            mix.setdefault(heal, mix[fault])
    return mix or {"crash": 1, "restart": 1}


def _mix_of_data(rng: random.Random, mix: dict[str, int]) -> dict[str, int]:
    """Return the same where masters keep data: one of their themes, or `mix` with their faults."""
    if rng.random() < 0.5:
        return dict.fromkeys(rng.choice(DATA_THEMES), 1)
    more = {kind: rng.choice((1, 3)) for kind in DATA_FAULTS if rng.random() < 0.4}
    if "severed" in more:
        more.setdefault("rejoined", more["severed"])
    return mix | more


def _gaps(rng: random.Random, setting: Setting) -> tuple[int, ...]:
    """Return the times between two turns: short ones, long ones, or those around a time-out."""
    probe, failover = setting.policy.probe, setting.policy.failover
    scale = max(1, probe.interval_us // INTERVAL_US)
    around = rng.choice((probe.timeout_us, probe.recheck_us, probe.interval_us,
                         failover.step_timeout_us, setting.append_us, LATENCY_US))  # fmt: skip
    return rng.choice(
        (
            (0, MS * scale, 10 * MS * scale),
            (5 * MS * scale, 50 * MS * scale),
            (0, 20 * MS * scale, 200 * MS * scale),
            (max(0, around - LATENCY_US), around, around + LATENCY_US),
        )
    )


def _turn(
    rng: random.Random,
    kind: str,
    gap_us: int,
    subjects: Sequence[str],
    setting: Setting,
    scale: int,
) -> Turn:
    subject = rng.choice(subjects)
    if kind in ("switchover", "failover", "release") and rng.random() < 0.5:
        subject = ""
    if kind == "isolate" and rng.random() < 0.3:
        subject = ""
    group = ""
    if not subject or kind in WITHOUT_SUBJECT:
        group = rng.choice(setting.groups()).id
    return Turn(
        kind=kind,
        gap_us=gap_us,
        subject=subject,
        count=_count(rng, kind, setting, scale),
        group="" if group == setting.first else group,
    )


def _count(rng: random.Random, kind: str, setting: Setting, scale: int) -> int:
    probe = setting.policy.probe
    match kind:
        case "slow":
            return rng.choice((0, probe.timeout_us // 4, probe.timeout_us - 2 * LATENCY_US,
                               2 * probe.timeout_us))  # fmt: skip
        case "tail":
            return rng.choice((0, probe.timeout_us // 16, probe.timeout_us // 4))
        case "flap":
            around_us = rng.choice((probe.timeout_us, probe.recheck_us, probe.interval_us))
            return around_us + rng.choice((-LATENCY_US, 0, LATENCY_US, around_us))
        case "stall" | "maintain" | "starve" | "locked":
            return rng.choice((20 * MS, 300 * MS)) * scale
        case "late":
            return rng.choice((100 * MS, SECOND)) * scale
        case "sick" | "lossy" | "repeat" | "reorder":
            return rng.choice((0, 2, 3, 7))
        case "pause":
            return rng.choice((0, 100 * MS)) * scale
        case "plan":
            return rng.choice((MS, 50 * MS, SECOND)) * scale
        case "engine-crash":
            return rng.randint(0, 12)
        case "clock-jump" | "strobe":
            return rng.choice((-3_600 * SECOND, -SECOND, 0, MS, SECOND, 3_600 * SECOND))
        case "drift":
            return rng.choice((-100_000, -500, 0, 500, 100_000))
        case "restore" | "thin":
            return rng.choice((1, 10, 100))
        case "fill":
            return rng.choice((1, 5, 40))
        case "figures":
            return rng.randint(1, 2 * len(figures.KINDS))
        case "lacks":
            return rng.choice((20 * MS, 300 * MS)) * scale
        case "lags":
            return rng.choice((0, 10 * MS, SECOND))
        case "halves" | "bridge":
            return rng.randint(1, 4)
        case "overload":
            return rng.choice((1, 10))
        case _:
            return rng.randint(1, 3)
