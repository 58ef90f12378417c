"""What a configuration adds up to, for `tanist check`: sums, fences, warnings, size of the log."""

from collections.abc import Iterable, Sequence
from typing import Final, TypedDict

from engine.config.acting import needs_hands
from engine.config.durations import spell
from engine.config.groups import sum_spelled
from engine.config.kinds import spell_fleet_limit
from engine.config.looking import look_sentence, look_warnings
from engine.core.events import ProbeOk, encode
from engine.core.fleet import Master, Mode
from engine.core.policy import (
    ALONE,
    DAY,
    LIMITLESS,
    FenceKind,
    FleetPolicy,
    GroupPolicy,
    Policy,
    lease_wait_us,
    sums,
)
from engine.core.suspicion import one_in

# A cell of SQLite: its length and header, seq, at_us, kind, cause and crc; without an index.
ROW_BYTES: Final = 36
BYTES_HOW: Final = (
    "one row for each good probe in a quiet fleet (86,400 s / interval for each master); "
    "failed probes, decisions and messages come on top"
)
_UNITS: Final = ((10**9, "GB"), (10**6, "MB"), (10**3, "kB"))


class GroupDescription(TypedDict):
    """What the policy of one group adds up to; durations in microseconds."""

    mode: str
    preset: str
    automation: str
    masters: int
    detect_us: int  # the worst, without slack
    slack_us: int  # what the observer itself may be late by
    detect_within_us: int
    promise_kept: bool
    sum: str  # the worst detection and the slack, spelled out
    blip_us: int  # the longest that is ignored
    restore_crash_us: int
    restore_staleness_us: int
    probe: str  # how masters are looked at, and what that does not show
    verdicts: str  # who comes to them, and by what
    fence: str
    brakes: str  # what holds automatic failovers back, and whether a place is given back
    warnings: list[str]
    log_probes_a_day: int
    log_bytes_a_day: int  # before they are sealed


class Description(TypedDict):
    """What a configuration adds up to; a document of JSON."""

    groups: dict[str, GroupDescription]
    log_probes_a_day: int
    log_bytes_a_day: int  # before they are sealed
    log_bytes_how: str


def describe(policy: Policy, masters: Sequence[Master]) -> Description:
    """Return what `policy` adds up to for these masters."""
    groups = {
        name: _group(group, [m for m in masters if m.group == name], policy.fleet)
        for name, group in policy.groups.items()
    }
    return Description(
        groups=groups,
        log_probes_a_day=sum(group["log_probes_a_day"] for group in groups.values()),
        log_bytes_a_day=sum(group["log_bytes_a_day"] for group in groups.values()),
        log_bytes_how=BYTES_HOW,
    )


def _group(
    policy: GroupPolicy, masters: Sequence[Master], fleet: FleetPolicy | None
) -> GroupDescription:
    total = sums(policy)
    return GroupDescription(
        mode=policy.mode.value,
        preset=policy.preset,
        automation=policy.automation.value,
        masters=len(masters),
        detect_us=total.detect_us,
        slack_us=total.slack_us,
        detect_within_us=policy.detect_within_us,
        promise_kept=total.detect_us + total.slack_us <= policy.detect_within_us,
        sum=sum_spelled(policy),
        blip_us=total.blip_us,
        restore_crash_us=total.restore_crash_us,
        restore_staleness_us=total.restore_staleness_us,
        probe=look_sentence(policy.probe),
        verdicts=verdict_sentence(policy),
        fence=fence_sentence(policy),
        brakes=brakes_sentence(policy, fleet),
        warnings=list(_warnings(policy, masters)),
        log_probes_a_day=len(masters) * _probes_a_day(policy),
        log_bytes_a_day=sum(_bytes_a_day(policy, master) for master in masters),
    )


def verdict_sentence(policy: GroupPolicy) -> str:
    """Return in one sentence by what a master fails, flaps and is degraded."""
    probe, observers = policy.probe, policy.observers or ALONE
    times = "one failed probe" if probe.fall == 1 else f"{probe.fall} failed probes in a row"
    fails = f"{times} fail{'s' if probe.fall == 1 else ''} a master"
    if probe.phi is not None:
        fails = (
            f"phi {probe.phi.threshold_milli / 1_000:g} fails a master (one false alarm in "
            f"{one_in(probe.phi.threshold_milli):.0e} silences), {times} at the latest"
        )
        if probe.phi.suspicion_us_max:
            fails += (
                f", after a suspicion of {spell(probe.phi.suspicion_us_min)} to "
                f"{spell(probe.phi.suspicion_us_max)}"
            )
    if observers.quorum > 1:
        fails += (
            f", if {observers.quorum} observers say so within {spell(observers.vote_ttl_us)} of "
            "one another"
        )
    flaps = ""
    if probe.flap_high_ppm:
        flaps = (
            f"; it flaps from {probe.flap_high_ppm / 10_000:g} % of changed results down to "
            f"{probe.flap_low_ppm / 10_000:g} %"
        )
    return f"{fails}{flaps}{_limits(policy)}."


def _limits(policy: GroupPolicy) -> str:
    degraded = policy.degraded or LIMITLESS
    named = (
        ("processor", f"{degraded.cpu_ppm / 10_000:g} %", degraded.cpu_ppm),
        ("memory", f"{degraded.memory_ppm / 10_000:g} %", degraded.memory_ppm),
        ("errors", f"{degraded.errors_ppm / 10_000:g} %", degraded.errors_ppm),
        ("queue", str(degraded.queue), degraded.queue),
    )
    found = [f"{name} above {most}" for name, most, value in named if value]
    if policy.probe.slow_us:
        found.append(f"answers slower than {spell(policy.probe.slow_us)}")
    if degraded.silent_after_us:
        found.append(f"no word of its load for {spell(degraded.silent_after_us)}")
    return f"; degraded by {', '.join(found)}" if found else ""


def fence_sentence(policy: GroupPolicy) -> str:
    """Return in one sentence what the fence of a group stops and what it does not."""
    if policy.fence.kind is FenceKind.GATE:
        return (
            "gate: stops every acknowledgement under a revoked epoch at once, for clients that "
            "leave through route() and for sinks that compare epochs; does not stop what a master "
            "that was left still does elsewhere by itself" + _leak(policy) + "."
        )
    away = (
        "clients that hold its address may still be answered by it"
        if policy.fence.clients == "direct"
        else "it may still act outside route()"
    )
    if policy.fence.kind is FenceKind.LEASE:
        lease, waits = spell(policy.fence.lease_us), spell(lease_wait_us(policy))
        if policy.effects == "redis":
            return (
                f"lease {lease}: stops anyone else from being promoted before the primary that was "
                "left has confirmed its fence, has restarted, or has lost its replicas for "
                f"{waits}, after which it refuses writes by itself; does not stop what it "
                "acknowledges until then, and waits for release unless every server says that it "
                "keeps such a lease (min-replicas-to-write, min-replicas-max-lag)."
            )
        return (
            f"lease {lease}: stops anyone else from being promoted before the master that was left "
            f"has confirmed its fence, has restarted, or was silent for {waits}; does not stop a "
            "master that goes on by itself although nobody renews its lease, which its operator "
            "vouches for."
        )
    return (
        "confirmed: stops anyone else from being promoted before the master that was left has "
        "confirmed its fence or has restarted (an unreachable one keeps the group waiting for "
        f"release); does not stop the master until then: {away}."
    )


def _leak(policy: GroupPolicy) -> str:
    """Return what clients that hold a primary's own address may lose, where it is a Redis."""
    if policy.effects != "redis":
        return ""
    return (
        ", and what a primary that hangs acknowledges to clients that hold its address between "
        "waking up and reading its fence"
    )


def _ejects(policy: GroupPolicy) -> str:
    ejection = None if policy.balance is None else policy.balance.ejection
    panic_ppm = 0 if policy.balance is None else policy.balance.panic_ppm
    said = ""
    if ejection is not None:
        said += (
            f"; one that fails {ejection.failed_ppm / 10_000:g} % of its requests, or much more "
            f"than the others, gets none for {spell(ejection.first_us)}, and longer the next time"
        )
    if panic_ppm:
        said += (
            f"; while fewer than {panic_ppm / 10_000:g} % of them may serve, those that failed "
            "on soft evidence serve on"
        )
    return said


def brakes_sentence(policy: GroupPolicy, fleet: FleetPolicy | None) -> str:
    """Return what brakes automatic failovers of a group, and when a place is given back."""
    failover = policy.failover
    if policy.mode is Mode.ACTIVE_ACTIVE:
        slow_us = 0 if policy.balance is None else policy.balance.slow_start_us
        grows = f"gets its whole share after {spell(slow_us)}" if slow_us else "is shared at once"
        return f"none: every healthy master serves; one that begins to {grows}{_ejects(policy)}."
    window = spell(failover.limit_window_us)
    held = f"held down for {spell(failover.hold_down_us)}" if failover.hold_down_us else ""
    limit = f"{failover.limit} within {window}" if failover.limit else ""
    both = f"{spell_fleet_limit(fleet)} in the whole fleet" if fleet is not None else ""
    brakes = ", ".join(part for part in (held, limit, both) if part) or "none"
    back = (
        f"its place is given back after {spell(failover.failback_us)}"
        if failover.failback_us
        else "no place is given back by itself"
    )
    return f"{brakes}; what runs into a limit waits for approve; {back}."


def _warnings(policy: GroupPolicy, masters: Sequence[Master]) -> Iterable[str]:
    total = sums(policy)
    if policy.preset == "bench":
        yield (
            "preset bench is for loopback only: a garbage collection or a fork takes longer than "
            "its time-out"
        )
    if total.detect_us + total.slack_us > policy.detect_within_us:
        yield f"the promise {spell(policy.detect_within_us)} cannot be kept: {sum_spelled(policy)}"
    if policy.probe.recheck_us < policy.probe.timeout_us:
        yield (
            f"recheck {spell(policy.probe.recheck_us)} is shorter than timeout "
            f"{spell(policy.probe.timeout_us)}: one probe is in flight at a time, so a hang is "
            "re-checked after the time-out"
        )
    yield from look_warnings(policy)
    quorum = (policy.observers or ALONE).quorum
    if quorum > 1:
        others = "another observer" if quorum == 2 else f"{quorum - 1} other observers"
        yield (
            f"observers.quorum {quorum}: without {others} (tanist observer) no master ever fails, "
            "and every failover waits for tanist approve"
        )
    if policy.mode is Mode.ACTIVE_STANDBY and len(masters) == 1:
        yield "there is no standby: if its only master fails, the group is down"
    if needs_hands(policy):
        yield "hooks and recover are never run with effects none: write another kind of effects"
    if policy.fence.kind is not FenceKind.GATE and policy.effects == "none":
        yield (
            f"fence {policy.fence.kind.value} with effects none: nobody is asked to confirm, so "
            "only a restart of the master ends the wait"
        )


def _probes_a_day(policy: GroupPolicy) -> int:
    """Return how many probes of one master there are in a day [count]."""
    return DAY // policy.probe.interval_us


def _bytes_a_day(policy: GroupPolicy, master: Master) -> int:
    """Return what the good probes of one master add to the log in a day [bytes]."""
    probes = _probes_a_day(policy)
    typical = ProbeOk(n=probes, latency_us=1_000, boot="0" * 8, epoch=1, role="standby")
    _, payload = encode(typical)
    return probes * (ROW_BYTES + len(master.id.encode()) + len(payload))


def size(count: int) -> str:
    """Return a number of bytes as people read it.

    Example:
        >>> size(5_270_400), size(999)
        ('5.3 MB', '999 bytes')
    """
    for unit, word in _UNITS:
        if count >= unit:
            return f"{count / unit:.1f} {word}"
    return f"{count} bytes"


def render(description: Description) -> str:
    """Return `description` as lines for people."""
    lines = []
    for name, group in description["groups"].items():
        kept = "kept" if group["promise_kept"] else "NOT kept"
        lines += [
            f"group {name}: {group['mode']}, preset {group['preset']}, "
            f"automation {group['automation']}, masters: {group['masters']}",
            f"  worst detection       {spell(group['detect_us'])}, with slack for the observer "
            f"{spell(group['detect_us'] + group['slack_us'])}; promised "
            f"{spell(group['detect_within_us'])}: {kept}",
            f"                        {group['sum']}",
            f"  longest blip ignored  {spell(group['blip_us'])}",
            f"  probe                 {group['probe']}",
            f"  verdicts              {group['verdicts']}",
            f"  worst restoration     {spell(group['restore_crash_us'])} after a crash, "
            f"{spell(group['restore_staleness_us'])} after silence",
            f"  fence                 {group['fence']}",
            f"  brakes                {group['brakes']}",
        ]
        if len(description["groups"]) > 1:  # else it is that of the whole log
            a_day = size(group["log_bytes_a_day"])
            lines.append(f"  log                   about {a_day} a day while hot")
        lines += [f"  warning               {warning}" for warning in group["warnings"]]
        lines.append("")
    return "\n".join(lines) + "\n"
