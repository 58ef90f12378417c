"""The policy of one group: what its table says over what its base says.

The base of a file is a preset, that of a changed policy is the policy as it was. Four defaults
follow from other settings; one that stood at its default stays there when those change.
"""

from collections.abc import Callable
from typing import Final, TypedDict, TypeVar

import msgspec

from engine.config import kinds
from engine.config.acting import (
    WORDS_MAX,
    read_effects,
    read_fence,
    read_hooks,
    read_recover,
)
from engine.config.durations import spell
from engine.config.secrets import secret
from engine.config.tables import Table, shown
from engine.config.watching import read_degraded, read_observers, read_watching
from engine.core.fleet import Mode
from engine.core.policy import (
    DAY,
    EJECTION,
    HOUR,
    MS,
    PRESETS,
    SECOND,
    STRATEGIES,
    Automation,
    Balance,
    Ejection,
    Failover,
    GroupPolicy,
    Messages,
    Probe,
    Secret,
    Slo,
    preset,
    sums,
)

T = TypeVar("T")

COUNT_MAX: Final = 1_000  # of answers in a row, of attempts [count]
BEHIND_MAX: Final = 1 << 50  # in the unit of a replication; bytes for Redis
REMEMBER_MAX: Final = 10_000_000  # keys of messages [count]
UNKNOWN_AFTER_US_LEAST: Final = 5 * SECOND
DELIVER_TIMEOUT_US_LEAST: Final = SECOND

# What the design has and this release has not: answered by name, not as a slip of the pen.
STRATEGIES_LATER: Final = ("least-loaded", "peak-ewma", "geolocation", "consistent-hash")
GROUP_LATER: Final = ("drivers",)
FAILOVER_LATER: Final = ("across_regions",)

_INTERVAL: Final = kinds.duration(least_us=MS, most_us=DAY)
_SPAN: Final = kinds.duration(least_us=MS)


def late_us_default(probe: Probe) -> int:
    """Return half the time-out: an observer late by more cannot say whose lateness it saw [us]."""
    return probe.timeout_us // 2


def unknown_after_us_default(probe: Probe) -> int:
    """Return three probes that neither came nor ran into their time-out, 5 s at least [us]."""
    return max(UNKNOWN_AFTER_US_LEAST, 3 * (probe.interval_us + probe.timeout_us))


def step_timeout_us_default(failover: Failover) -> int:
    """Return a tenth of the whole failover [us]."""
    return failover.deadline_us // 10


def deliver_timeout_us_default(failover: Failover) -> int:
    """Return half of the whole failover, 1 s at least [us]."""
    return max(DELIVER_TIMEOUT_US_LEAST, failover.deadline_us // 2)


def read_base(table: Table, *, preset_name: str) -> GroupPolicy:
    """Return what a group of a file says nothing about: its preset, for its mode."""
    mode = table.need(
        "mode", kinds.member(Mode), Mode.ACTIVE_STANDBY, example=f'"{Mode.ACTIVE_STANDBY.value}"'
    )
    return preset(table.take("preset", kinds.choice(list(PRESETS)), preset_name), mode=mode)


def rebase(table: Table, base: GroupPolicy) -> GroupPolicy:
    """Return `base` under the mode or the preset that `table` asks for, if it asks for one."""
    mode = table.take("mode", kinds.member(Mode), base.mode)
    name = table.take("preset", kinds.choice(list(PRESETS)), base.preset)
    if table.has("preset"):
        return preset(name, mode=mode)
    return msgspec.structs.replace(base, mode=mode)


def read_group(table: Table, base: GroupPolicy, *, runs: bool) -> GroupPolicy:
    """Return the policy that `table` makes of `base`.

    What `runs` must be able to keep the promise of its preset too, and must not take a master for
    silent between two probes. What is only asked about is held to a promise that it writes itself.
    """
    before = table.reading.count
    probe = _probe(table.table("probe"), base.probe)
    detect_within_us = table.take("detect_within", _SPAN, base.detect_within_us)
    sound = table.reading.count == before
    failover = _failover(table.table("failover", later=FAILOVER_LATER), base.failover)
    effects, reach = read_effects(table.table("effects"), base, base.mode, probe)
    policy = GroupPolicy(
        mode=base.mode,
        preset=base.preset,
        automation=table.take("automation", kinds.member(Automation), base.automation),
        strategy=table.take(
            "strategy", kinds.choice(STRATEGIES, later=STRATEGIES_LATER), base.strategy
        ),
        detect_within_us=detect_within_us,
        effects=effects,
        probe=probe,
        fence=read_fence(table.table("fence"), base, effects),
        failover=failover,
        messages=_messages(table.table("messages"), base, failover),
        slo=_slo(table.table("slo"), base.slo),
        reach=reach,
        hooks=read_hooks(
            table.table("hooks"), base.hooks, step_timeout_us=failover.step_timeout_us
        ),
        recover=read_recover(table.table("recover"), base.recover),
        balance=_balance(table.table("balance"), base.balance),
        observers=read_observers(table.table("observers"), base.observers, probe),
        degraded=read_degraded(table.table("degraded"), base.degraded),
    )
    if sound and (runs or table.has("detect_within")):
        _hold_to_promise(table, policy)
    if sound and runs:
        _hold_to_silence(table, policy.probe)
    return policy


def _probe(table: Table, base: Probe) -> Probe:
    before = table.reading.count
    kind = table.take("kind", kinds.choice(list(kinds.PROBED_SCHEMES)), base.kind)
    times = msgspec.structs.replace(
        base,
        kind=kind,
        path=table.take("path", kinds.url_path, base.path),
        interval_us=table.take("interval", _INTERVAL, base.interval_us),
        timeout_us=table.take("timeout", _INTERVAL, base.timeout_us),
        recheck_us=table.take("recheck", _INTERVAL, base.recheck_us),
        rise=table.take("rise", kinds.count(least=1, most=COUNT_MAX), base.rise),
        fall=table.take("fall", kinds.count(least=1, most=COUNT_MAX), base.fall),
        hold_open=table.take("hold_open", kinds.flag, _holds(kind, base)),
        **_asked(table, base, kind),
    )
    if table.reading.count == before:
        _hold_to_kind(table, times)
    late_us = _follow(base.late_us_max, late_us_default(base), late_us_default(times))
    unknown_us = _follow(
        base.unknown_after_us, unknown_after_us_default(base), unknown_after_us_default(times)
    )
    silence = kinds.duration_or_never(least_us=MS)
    probe = msgspec.structs.replace(
        times,
        late_us_max=table.take("late_max", kinds.duration(), late_us),
        unknown_after_us=table.take("unknown_after", silence, unknown_us),
        **read_watching(table, base, times.timeout_us),
    )
    table.finish()
    return probe


def _holds(kind: str, base: Probe) -> bool:
    """Return whether a connection is held open where nothing is said about that.

    Not over bare tcp: a server that serves one connection at a time would serve nobody else.
    """
    return base.hold_open and (kind != "tcp" or base.kind == "tcp")


class _Asked(TypedDict):
    """What only some kinds of probes take."""

    verify: bool
    ca: str
    send: str
    expect: str
    user: str
    password: Secret | None
    command: tuple[str, ...]


def _asked(table: Table, base: Probe, kind: str) -> _Asked:
    """Return what the keys of some kinds say; those of others are looked at if they are there."""

    def take(key: str, of: Callable[[object], T], default: T) -> T:
        is_known = kind in _TAKEN_BY[key] or table.has(key)
        return table.take(key, of, default) if is_known else default

    return _Asked(
        verify=take("verify", kinds.flag, base.verify),
        ca=take("ca", kinds.text, base.ca),
        send=take("send", kinds.any_text, base.send),
        expect=take("expect", kinds.any_text, base.expect),
        user=take("user", kinds.text, base.user),
        password=take("password", secret, base.password),
        command=take("command", kinds.words(WORDS_MAX), base.command),
    )


# Which kinds of probes take a key that not all of them take.
_TAKEN_BY: Final[dict[str, tuple[str, ...]]] = {
    "path": ("http", "https"),
    "verify": ("https", "redis"),
    "ca": ("https", "redis"),
    "send": ("tcp",),
    "expect": ("tcp",),
    "user": ("redis",),
    "password": ("redis",),
    "command": ("command",),
    "hold_open": ("http", "https", "tcp", "redis"),
}


def _hold_to_kind(table: Table, probe: Probe) -> None:
    """Refuse what the kind of the probe does not take, and what it cannot do without."""
    for key, takers in _TAKEN_BY.items():
        if table.has(key) and probe.kind not in takers:
            table.mistake(
                key,
                expected=f"no {key} where kind = {shown(probe.kind)}",
                found=f"the key {key}",
                remedy=f"remove it, or write kind = {' or '.join(map(shown, takers))}",
            )
    if probe.kind == "command" and not probe.command:
        table.mistake(
            "command",
            expected='a program and its arguments where kind = "command"',
            found="none",
            remedy='write as in command = ["/usr/local/bin/look", "--quick"]',
        )
    if probe.kind == "tcp" and probe.send and not probe.expect:
        table.mistake(
            "send",
            expected="an answer to wait for where something is sent",
            found="no expect",
            remedy='write what the answer has in it, as in expect = "+PONG"',
        )
    if probe.kind == "redis" and probe.user and probe.password is None:
        table.mistake(
            "user",
            expected="the password of the user",
            found="none",
            remedy='write password = { env = "NAME" }',
        )


def _failover(table: Table, base: Failover) -> Failover:
    before = table.reading.count
    delay = table.table("delay")
    limit, window_us = table.take("limit", kinds.limit, (base.limit, base.limit_window_us))
    failback, failback_us = table.take(
        "failback", kinds.failback, (base.failback, base.failback_us)
    )
    times = msgspec.structs.replace(
        base,
        deadline_us=table.take("deadline", _SPAN, base.deadline_us),
        attempts_max=table.take(
            "attempts", kinds.count(least=1, most=COUNT_MAX), base.attempts_max
        ),
        delay_crash_us=delay.take("crash", kinds.duration(), base.delay_crash_us),
        delay_staleness_us=delay.take("staleness", kinds.duration(), base.delay_staleness_us),
        hold_down_us=table.take("hold_down", kinds.duration(), base.hold_down_us),
        limit=limit,
        limit_window_us=window_us or base.limit_window_us,  # "none" names no window
        grace_us=table.take("grace", kinds.duration(), base.grace_us),
        failback=failback,
        failback_us=failback_us,
        lag_us_max=table.take("lag_max", kinds.duration_or_any(least_us=MS), base.lag_us_max),
        behind_max=table.take("behind_max", kinds.count_or_any(most=BEHIND_MAX), base.behind_max),
        allow_loss=table.take("allow_loss", kinds.flag, base.allow_loss),
    )
    step_us = _follow(
        base.step_timeout_us, step_timeout_us_default(base), step_timeout_us_default(times)
    )
    failover = msgspec.structs.replace(
        times, step_timeout_us=table.take("step_timeout", _SPAN, step_us)
    )
    if table.reading.count == before and failover.step_timeout_us > failover.deadline_us:
        table.mistake(
            "step_timeout",
            expected=f"at most the deadline of the whole failover, {spell(failover.deadline_us)}",
            found=spell(failover.step_timeout_us),
            remedy=f'write step_timeout = "{spell(step_timeout_us_default(failover))}"',
        )
    delay.finish()
    table.finish()
    return failover


def _messages(table: Table, base: GroupPolicy, failover: Failover) -> Messages:
    timeout_us = _follow(
        base.messages.deliver_timeout_us,
        deliver_timeout_us_default(base.failover),
        deliver_timeout_us_default(failover),
    )
    remember = kinds.count(least=1, most=REMEMBER_MAX)
    messages = Messages(
        deliver_timeout_us=table.take("deliver_timeout", _SPAN, timeout_us),
        remember_max=table.take("remember", remember, base.messages.remember_max),
        open_max=table.take("open_max", remember, base.messages.open_max),
    )
    table.finish()
    return messages


def _balance(table: Table, base: Balance | None) -> Balance | None:
    known = base or Balance(slow_start_us=0)
    slow_us = table.take("slow_start", kinds.duration(), known.slow_start_us)
    ejection = _ejection(table, known.ejection)
    panic_ppm = table.take("panic", kinds.percent_or_never, known.panic_ppm)
    table.finish()
    found = Balance(slow_start_us=slow_us, ejection=ejection, panic_ppm=panic_ppm)
    return found if found != Balance(slow_start_us=0) else None


def _ejection(table: Table, base: Ejection | None) -> Ejection | None:
    own = table.table("ejection")
    # What a table says counts also where the preset ejects nobody; nothing said changes nothing.
    is_asked = base is not None or table.has("ejection")
    known = base or EJECTION
    failed_ppm = own.take("failed", kinds.percent_or_never, known.failed_ppm)
    ejection = Ejection(
        first_us=own.take("first", kinds.duration(least_us=SECOND), known.first_us),
        most_us=own.take("most", kinds.duration(least_us=SECOND), known.most_us),
        share_ppm=own.take("share", kinds.percent, known.share_ppm),
        failed_ppm=failed_ppm,
    )
    own.finish()
    return ejection if is_asked and failed_ppm else None


def _slo(table: Table, base: Slo) -> Slo:
    slo = Slo(
        objective_ppm=table.take("objective", kinds.percent, base.objective_ppm),
        window_us=table.take("window", kinds.duration(least_us=HOUR), base.window_us),
    )
    table.finish()
    return slo


def _follow(value_us: int, default_before_us: int, default_us: int) -> int:
    """Return the default of now where the value was the default of before, else the value."""
    return default_us if value_us == default_before_us else value_us


def sum_spelled(policy: GroupPolicy) -> str:
    """Return the worst detection with the slack, as the sum that it is."""
    probe, total = policy.probe, sums(policy)
    again = max(probe.recheck_us, probe.timeout_us)
    phi = probe.phi
    if phi is not None and phi.suspicion_us_max > (probe.fall - 2) * again:
        return (
            f"interval {spell(probe.interval_us)} + timeout {spell(probe.timeout_us)}"
            f" + suspicion {spell(phi.suspicion_us_max)} + {spell(again)}"
            f" + slack {spell(probe.late_us_max)} = {spell(total.detect_us + total.slack_us)}"
        )
    return (
        f"interval {spell(probe.interval_us)} + (fall {probe.fall} - 1) x {spell(again)}"
        f" + timeout {spell(probe.timeout_us)} + slack {spell(probe.late_us_max)}"
        f" = {spell(total.detect_us + total.slack_us)}"
    )


def _hold_to_promise(table: Table, policy: GroupPolicy) -> None:
    total = sums(policy)
    needed_us = total.detect_us + total.slack_us
    if needed_us > policy.detect_within_us:
        table.mistake(
            "detect_within",
            expected=f"at least {spell(needed_us)}, the worst detection ({sum_spelled(policy)})",
            found=spell(policy.detect_within_us)
            + ("" if table.has("detect_within") else f", the promise of preset {policy.preset}"),
            remedy=f'write detect_within = "{spell(needed_us)}", or lower interval, timeout, '
            "recheck or fall",
        )


def _hold_to_silence(table: Table, probe: Probe) -> None:
    """Refuse a silence that every healthy master would keep between two probes."""
    needed_us = probe.interval_us + probe.timeout_us
    if 0 < probe.unknown_after_us < needed_us:
        table.reading.mistake(
            (*table.path, "probe", "unknown_after"),
            expected=f"at least {spell(needed_us)}, one interval and one time-out",
            found=spell(probe.unknown_after_us),
            remedy=f'write unknown_after = "{spell(unknown_after_us_default(probe))}"',
        )
