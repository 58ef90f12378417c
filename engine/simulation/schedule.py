"""What happens to a simulated fleet, as data: a setting, and a list of turns.

A schedule says everything: the same one gives the same run, to the byte. It is drawn from a seed,
written by hand, or built by a strategy of Hypothesis; one that fails is shrunk (shrinking.py) and
kept. `draw` has the kinds of turns that it had first: kept seeds mean what they meant. All kinds,
and fleets of several groups, are drawn by `swarm` (drawing.py).
"""

import random
from typing import Final

import msgspec

from engine.core.fleet import Master, Mode
from engine.core.policy import (
    MS,
    SECOND,
    AlertPolicy,
    Automation,
    FenceKind,
    FleetPolicy,
    GroupPolicy,
    preset,
)
from engine.simulation.streams import Replication

GROUP: Final = "g"  # the first one, where nobody says otherwise
WEIGHTS: Final = 26  # different ones in a group [count]

# Each kind of turn, by what it strikes. `subject` is a master, `count` what the comment says.
# `draw` mixes these, in this order; a kind that comes later is in the lists below.
MASTER_FAULTS: Final = (
    "crash", "restart", "hang", "continue", "cut", "join",
    "mute", "unmute",  # it hears everything, and its answers are lost
    "slow",  # by `count` [us]
    "poor", "well",  # it answers that it is not well
    "sick", "sound",  # of `count` probes it hears one
    "close",  # the connection held open to it ends
    "refuse",  # the next `count` steps asked of it
)  # fmt: skip
ENGINE_FAULTS: Final = (
    "engine-crash",  # at the `count`-th boundary between two duties from here; 0: now
    "append-fails", "append-lost", "append-stored",  # the `count`-th append from here; see `Tape`
    "stall",  # for `count` [us]
    "late",  # for `count` [us] it looks at its clock too late to judge a time-out
)  # fmt: skip
COMMANDS: Final = (
    "switchover", "failover",  # to `subject`; "": to the best
    "pause",  # for `count` [us]; 0: until resumed
    "resume", "approve", "exclude", "include",
    "maintain",  # for `count` [us]
    "release",  # the fence of `subject`; "": the group's hold-down and limit
    "checkpoint",
    "rollback",  # to the `count`-th newest checkpoint
    "rollback-force",
    "strategy",
    "reload",  # a file whose masters have other weights, from `count`
    "leave-out",  # the same, without `subject`
)  # fmt: skip
WORK: Final = (
    "accept",  # `count` messages at once
    "keep",  # a state blob
    "claim",  # `subject` is made the active one by somebody else
    "rest",
)
KINDS: Final = (*MASTER_FAULTS, *ENGINE_FAULTS, *COMMANDS, *WORK)  # those of `draw`

# Those of `swarm` besides.
MORE_MASTER_FAULTS: Final = (
    "wipe",  # what it had stored is gone; its process goes on
    "gray",  # it answers probes, and nothing else
    "shy",  # it answers everything but probes
    "open",  # it answers everything again
    "twice",  # it executes the next `count` requests twice
    "lie",  # it executes the next `count` steps, and answers that it failed
    "lags",  # it says that its data is `count` [us] behind; 0: that it is not
)
LINK_FAULTS: Final = (  # of the way between the engine and `subject`
    "unheard", "heard",  # what it is asked is lost; what it says would arrive
    "lossy",  # every `count`-th packet is lost; 0: none
    "repeat",  # every `count`-th packet arrives twice
    "reorder",  # every `count`-th packet arrives after the next ones
    "tail",  # each packet takes `count` [us] more, every second twice that, every fourth ...
    "hold", "burst",  # packets wait, and arrive all at once
    "flap", "steady",  # cut and joined in turns, every `count` [us]
)  # fmt: skip
PARTITIONS: Final = (
    "isolate",  # `subject` from everybody; "": the engine
    "halves",  # the first `count` nodes from the rest: the engine, other observers, masters
    "bridge",  # the same, but the last one of the first half reaches all
    "ring",  # each node reaches its two neighbours
    "mend",
)
CLOCK_FAULTS: Final = (
    "clock-jump",  # the wall clock goes by `count` [us]
    "drift",  # the engine's own clock gains `count` [parts per million]
    "strobe",  # the wall clock goes forth and back by `count` [us], all the time; 0: no more
    "starve",  # for `count` [us] no timer fires, and everything else goes on
)
LOG_FAULTS: Final = (
    "locked",  # for `count` [us] no append succeeds
    "torn",  # the engine ends within the `count`-th append from here; nothing of it is stored
    "second-writer",  # somebody else appends
    "restore",  # the engine ends, and a copy of the log that lacks `count` events is put back
)
SITE_FAULTS: Final = (
    "crash-all", "restart-all",  # all masters of the group of `subject` at once
    "standbys-crash", "standbys-poor", "standbys-well",  # all that do not act
    "overload",  # `count` messages for each master at once, and all masters are slow
)  # fmt: skip
MORE_COMMANDS: Final = (
    "plan",  # a switchover to `subject` in `count` [us]
    "cancel",  # what is planned
    "undo",  # the last failover of the group
    "drain", "undrain",
    "reset",
    "ack",  # the newest alert
    "rollback-all",  # as "rollback", of all groups at once, with the policy of then
)  # fmt: skip
PROGRAM_FAULTS: Final = (  # of the next `count` programs, around steps and to heal
    "program-fails",  # they say no
    "program-hangs",  # they are killed when their time is up
    "program-lies",  # they say that it is done, and did nothing
)
REPLICA_FAULTS: Final = ("stray",)  # it replicates from the `count`-th other master
DATA_FAULTS: Final = (  # of masters that keep data, where a group replicates it
    "emptied",  # it is started again, and has lost its data
    "lacks",  # for `count` [us] nothing more comes to it
    "severed", "rejoined",  # no other master reaches it
)  # fmt: skip
SPACE_FAULTS: Final = (
    "fill",  # the disk; of what is kept for it each step lasts `count` appends
    "free",
)
KEEPING: Final = (
    "thin",  # what was only observed goes, but for the last `count` events
    "sweep",  # the bodies that nothing needs go
)
FLEET_COMMANDS: Final = ("remove", "add")
TRAFFIC: Final = ("calls",)  # of 100 requests to `subject` `count` quarters fail, of others one
# The engine has counted what is out of the ordinary: one of `figures.KINDS`; every second `count`:
# what is not.
FIGURES: Final = ("figures",)
MORE_KINDS: Final = (
    *PROGRAM_FAULTS,
    *REPLICA_FAULTS,
    *SPACE_FAULTS,
    *KEEPING,
    *FLEET_COMMANDS,
    *TRAFFIC,
    *MORE_MASTER_FAULTS,
    *LINK_FAULTS,
    *PARTITIONS,
    *CLOCK_FAULTS,
    *LOG_FAULTS,
    *SITE_FAULTS,
    *MORE_COMMANDS,
)
BESIDE: Final = (*DATA_FAULTS, *FIGURES)  # drawn by themselves: seeds mean what they meant before
ALL_KINDS: Final = (*KINDS, *MORE_KINDS, *BESIDE)
# The same, by what they concern, for whoever shows them to people.
SECTIONS: Final[dict[str, tuple[str, ...]]] = {
    "masters": (*MASTER_FAULTS, *MORE_MASTER_FAULTS, *REPLICA_FAULTS, *DATA_FAULTS),
    "ways": (*LINK_FAULTS, *PARTITIONS),
    "the engine and its clocks": (*ENGINE_FAULTS, *CLOCK_FAULTS),
    "the log and its disk": (*LOG_FAULTS, *SPACE_FAULTS, *KEEPING),
    "many at once": SITE_FAULTS,
    "programs": PROGRAM_FAULTS,
    "people": (*COMMANDS, *MORE_COMMANDS, *FLEET_COMMANDS),
    "work": (*WORK, *TRAFFIC, *FIGURES),
}


class Turn(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One thing that happens."""

    kind: str  # one of `ALL_KINDS`
    gap_us: int = 0  # virtual time since the turn before [us]
    subject: str = ""
    count: int = 0
    group: str = ""  # where no subject says it; "": the first one


# Conditions last for parts of a second here, and so does what people are spared.
ALERTS: Final = AlertPolicy(
    no_heir_warning_us=60 * MS,
    no_heir_critical_us=200 * MS,
    failovers=2,
    failovers_window_us=SECOND,
    recovery_us=100 * MS,
    paused_us=100 * MS,
    late_us=100 * MS,
    errors_warning_ppm=100_000,
    errors_calls=100,
    latency_times=10,
    disk_warning_ppm=900_000,
    behind_us=10 * SECOND,
    burn_failures=2,
    objective=True,
)


class GroupSetting(msgspec.Struct, frozen=True, kw_only=True):
    """One group of the fleet."""

    id: str
    policy: GroupPolicy
    masters: int = 3  # [count, >= 1]
    replication: Replication | None = None  # None: its masters keep no data

    @property
    def is_standby(self) -> bool:
        """Return whether one master serves and the others stand by."""
        return self.policy.mode is Mode.ACTIVE_STANDBY

    @property
    def acts(self) -> bool:
        """Return whether the engine does what it decides."""
        return self.policy.automation is not Automation.OBSERVE

    @property
    def replicates(self) -> bool:
        """Return whether its masters keep data, which the engine has to look after."""
        return self.replication is not None and self.is_standby and self.acts

    def names(self) -> tuple[str, ...]:
        """Return the ids of the masters, in order of priority: a, b, c ... in the first group."""
        prefix = "" if self.id == GROUP else f"{self.id}-"
        return tuple(f"{prefix}{_letters(index)}" for index in range(self.masters))


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """The fleet that it happens to: a group and its policy, and perhaps further groups."""

    policy: GroupPolicy
    masters: int = 3  # named a, b, c ... in order of priority [count, >= 1]
    message_every_us: int = 20 * MS  # 0: no messages but those of "accept"
    lanes: int = 3
    acks_later: bool = False  # masters answer "taken", and acknowledge on their own
    append_us: int = 300  # until an append is on disk
    flush_us: int = 0  # how long good probes wait for company
    down_us: int = 50 * MS  # from a crash of the engine to its next start
    more: tuple[GroupSetting, ...] = ()  # groups besides the first one
    first: str = GROUP  # its id
    observers: int = 0  # besides the engine, named o1, o2 ... [count]
    fleet: FleetPolicy | None = None  # what brakes all groups together
    alerts: AlertPolicy | None = ALERTS  # when people have to hear of something
    replication: Replication | None = None  # of the first group
    is_based: bool = False  # the log begins with a state: what came before it was cut off

    def groups(self) -> tuple[GroupSetting, ...]:
        """Return all groups, the first one first."""
        first = GroupSetting(
            id=self.first,
            policy=self.policy,
            masters=self.masters,
            replication=self.replication,
        )
        return (first, *self.more)

    def names(self) -> tuple[str, ...]:
        """Return the ids of all masters, group by group."""
        return tuple(name for group in self.groups() for name in group.names())

    def beside(self) -> tuple[str, ...]:
        """Return the names of the observers besides the engine."""
        return tuple(f"o{index + 1}" for index in range(self.observers))

    def declared(self, *, weights_from: int = 1) -> tuple[Master, ...]:
        """Return the masters as a file declares them; their weights count on from a number.

        Not in the order of their ids: no decision may hang on that.
        """
        return tuple(
            Master(
                id=name,
                group=group.id,
                address=f"http://{name}:1",
                priority=index + 1,
                weight=weights_from + index % WEIGHTS,
            )
            for group in self.groups()
            for index, name in reversed(tuple(enumerate(group.names())))
        )


def _letters(index: int) -> str:
    """Return a, b, ... z, aa, ab ... for 0, 1 ..."""
    name = chr(ord("a") + index % 26)
    return name if index < 26 else _letters(index // 26 - 1) + name


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """All that a run depends on."""

    setting: Setting
    turns: tuple[Turn, ...] = ()


def policy(
    *,
    mode: Mode = Mode.ACTIVE_STANDBY,
    automation: Automation = Automation.AUTO,
    fence: FenceKind = FenceKind.GATE,
    fall: int = 2,
    rise: int = 2,
    interval_us: int = 20 * MS,
    delay_us: int = 0,
    hold_down_us: int = 0,
    limit: int = 0,
    unknown_after_us: int = 400 * MS,
) -> GroupPolicy:
    """Return a policy that is quick enough to be simulated for seconds, not hours."""
    replace = msgspec.structs.replace
    base = preset("bench", mode=mode)
    return replace(
        base,
        automation=automation,
        effects="http",
        probe=replace(
            base.probe,
            interval_us=interval_us,
            timeout_us=30 * MS,
            recheck_us=30 * MS,
            fall=fall,
            rise=rise,
            late_us_max=15 * MS,
            unknown_after_us=unknown_after_us,
        ),
        fence=replace(base.fence, kind=fence),
        failover=replace(
            base.failover,
            delay_crash_us=delay_us // 4,
            delay_staleness_us=delay_us,
            hold_down_us=hold_down_us,
            limit=limit,
            limit_window_us=3 * SECOND,
            step_timeout_us=100 * MS,
            grace_us=200 * MS,
        ),
        messages=replace(base.messages, deliver_timeout_us=150 * MS),
    )


def draw(seed: int, *, turns: int = 40, setting: Setting | None = None) -> Schedule:
    """Return the schedule of `seed`; which kinds of turns there are is itself drawn.

    Swarm testing: Groce et al., *Swarm Testing*, ISSTA 2012. A mix of everything hides what only a
    long run of one fault reaches.
    """
    rng = random.Random(seed)  # noqa: S311
    setting = _draw_setting(rng) if setting is None else setting
    mix = [kind for kind in KINDS if rng.random() < 0.4] or ["crash"]
    heals = {
        "crash": "restart", "hang": "continue", "cut": "join", "mute": "unmute", "sick": "sound",
    }  # fmt: skip
    mix += [heal for fault, heal in heals.items() if fault in mix]
    gaps_us = rng.choice(((0, 1 * MS, 10 * MS), (5 * MS, 50 * MS), (0, 20 * MS, 200 * MS)))
    subjects = setting.names()[: rng.randint(1, setting.masters)]
    return Schedule(
        setting=setting,
        turns=tuple(
            Turn(
                kind=(kind := rng.choice(mix)),
                gap_us=rng.choice(gaps_us),
                subject=_draw_subject(rng, kind, subjects),
                count=_draw_count(rng, kind),
            )
            for _ in range(turns)
        ),
    )


def _draw_setting(rng: random.Random) -> Setting:
    is_standby = rng.random() < 0.85
    automation = rng.choices(
        (Automation.AUTO, Automation.CONFIRM, Automation.OBSERVE), weights=(8, 1, 1)
    )[0]
    return Setting(
        policy=policy(
            mode=Mode.ACTIVE_STANDBY if is_standby else Mode.ACTIVE_ACTIVE,
            automation=automation,
            fence=rng.choice((FenceKind.GATE, FenceKind.CONFIRMED)),
            fall=rng.choice((1, 2, 3)),
            rise=rng.choice((1, 2, 3)),
            delay_us=rng.choice((0, 0, 80 * MS)),
            hold_down_us=rng.choice((0, 0, SECOND)),
            limit=rng.choice((0, 0, 1)),
        ),
        masters=rng.choice((2, 3, 3, 4)),
        message_every_us=rng.choice((0, 5 * MS, 20 * MS)),
        lanes=rng.choice((1, 3)),
        acks_later=rng.random() < 0.3,
        append_us=rng.choice((0, 300, 5 * MS)),
        flush_us=rng.choice((0, 0, 30 * MS)),
        down_us=rng.choice((1 * MS, 50 * MS, SECOND)),
    )


def _draw_subject(rng: random.Random, kind: str, subjects: tuple[str, ...]) -> str:
    if kind in ("switchover", "failover", "release") and rng.random() < 0.5:
        return ""
    return rng.choice(subjects)


def _draw_count(rng: random.Random, kind: str) -> int:
    match kind:
        case "slow":
            return rng.choice((0, 5 * MS, 60 * MS))
        case "stall" | "maintain":
            return rng.choice((20 * MS, 300 * MS))
        case "late":
            return rng.choice((100 * MS, SECOND))
        case "sick":
            return rng.choice((2, 6))
        case "pause":
            return rng.choice((0, 100 * MS))
        case "engine-crash":
            return rng.randint(0, 12)
        case _:
            return rng.randint(1, 3)
