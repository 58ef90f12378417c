"""How a group acts: its effects, its fence, the programs around its steps, and healing."""

from typing import Final

from engine.config import kinds
from engine.config.durations import spell
from engine.config.secrets import secret
from engine.config.tables import Table, shown
from engine.core.fleet import Mode
from engine.core.leasing import REDIS_SLACK_US
from engine.core.policy import (
    HOUR,
    MS,
    PRESETS,
    SECOND,
    Fence,
    FenceKind,
    GroupPolicy,
    Hooks,
    Probe,
    Reach,
    Recover,
)

EFFECTS: Final = ("http", "command", "redis", "python", "none")
WORDS_MAX: Final = 64  # of a command [count]
ATTEMPTS_MAX: Final = 5  # to heal a master [count]
BACKOFF_US: Final = 10 * SECOND
RECOVER_TIMEOUT_US: Final = 30 * SECOND
STEPS: Final = ("fence", "transfer", "promote", "verify", "switch")
_WORDS: Final = kinds.words(WORDS_MAX)
_SPAN: Final = kinds.duration(least_us=MS)


def speaks_http(schemes: tuple[str, ...] | list[str]) -> bool:
    """Return whether masters with one of these schemes may take the control protocol; (): any."""
    return not schemes or any(scheme in ("http", "https") for scheme in schemes)


def read_effects(
    table: Table, base: GroupPolicy, mode: Mode, probe: Probe
) -> tuple[str, Reach | None]:
    """Return the kind of effects, and what it takes to reach masters by it."""
    schemes = kinds.PROBED_SCHEMES[probe.kind]
    default = base.effects
    if default == "http" and not speaks_http(schemes):
        default = "none"  # its masters do not take the protocol unless it is said that they do
    before = table.reading.count
    kind = table.take("kind", kinds.choice(EFFECTS), default)
    reach = base.reach or Reach()
    reach = Reach(
        command=table.take("command", _WORDS, reach.command),
        user=table.take("user", kinds.text, reach.user),
        password=table.take("password", secret, reach.password),
    )
    if table.reading.count == before:
        _hold_effects(table, kind, reach, mode, schemes)
    table.finish()
    return kind, None if reach == Reach() else reach


def _hold_effects(
    table: Table, kind: str, reach: Reach, mode: Mode, schemes: tuple[str, ...]
) -> None:
    """Refuse what the kind of effects does not take, and what it cannot do without."""
    for key, taker in (("command", "command"), ("user", "redis"), ("password", "redis")):
        if table.has(key) and kind != taker:
            table.mistake(
                key,
                expected=f"no {key} where kind = {shown(kind)}",
                found=f"the key {key}",
                remedy=f'remove it, or write kind = "{taker}"',
            )
    if kind == "command" and not reach.command:
        table.mistake(
            "command",
            expected='a program and its arguments where kind = "command"',
            found="none",
            remedy='write as in command = ["/usr/local/bin/act"]: what to do is in $TANIST_STEP',
        )
    if kind != "redis":
        return
    if schemes and "redis" not in schemes:
        table.mistake(
            "kind",
            expected='probe.kind = "redis" where effects go to Redis servers',
            found=f"masters that are asked over {schemes[0]}://",
            remedy='write probe = { kind = "redis" } and addresses as in redis://127.0.0.1:6379',
        )
    if mode is not Mode.ACTIVE_STANDBY:
        table.mistake(
            "kind",
            expected='mode = "active-standby" where effects go to Redis servers',
            found=shown(mode.value),
            remedy="of a primary and its replicas one serves: write that mode",
        )
    if reach.user and reach.password is None:
        table.mistake(
            "user",
            expected="the password of the user",
            found="none",
            remedy='write where it is, as in password = { env = "NAME" }',
        )


def read_fence(table: Table, base: GroupPolicy, effects: str) -> Fence:
    """Return the fence; its lease is the preset's unless it is written."""
    before = table.reading.count
    kind = table.take("kind", kinds.member(FenceKind), base.fence.kind)
    clients = table.take("clients", kinds.choice(("direct", "route")), base.fence.clients)
    lease_us = base.fence.lease_us
    if kind is FenceKind.LEASE:
        lease_us = lease_us or PRESETS[base.preset].lease_us
    lease_us = table.take("lease", _SPAN, lease_us)
    if table.reading.count == before:
        _hold_fence(table, kind, clients, lease_us, effects)
    table.finish()
    is_leased = kind is FenceKind.LEASE
    return Fence(kind=kind, clients=clients, lease_us=lease_us if is_leased else 0)


def _hold_fence(table: Table, kind: FenceKind, clients: str, lease_us: int, effects: str) -> None:
    if kind is FenceKind.GATE and clients == "direct":
        table.mistake(
            "clients" if table.has("clients") else "kind",
            expected='clients = "route" where kind = "gate"',
            found='"direct"',
            remedy="a gate stops nothing for clients that hold the master's own address: write "
            'kind = "confirmed", or clients = "route" if they all leave through route()',
        )
    if table.has("lease") and kind is not FenceKind.LEASE:
        table.mistake(
            "lease",
            expected=f"no lease where kind = {shown(kind.value)}",
            found="the key lease",
            remedy='remove it, or write kind = "lease"',
        )
    least_us = REDIS_SLACK_US + SECOND
    if kind is FenceKind.LEASE and effects == "redis" and lease_us < least_us:
        table.mistake(
            "lease" if table.has("lease") else "kind",
            expected=f"a lease of {spell(least_us)} at least, for Redis counts whole seconds",
            found=spell(lease_us),
            remedy=f'write lease = "{spell(least_us)}" or more, and min-replicas-max-lag '
            f"{REDIS_SLACK_US // SECOND} s less on every server",
        )


def read_hooks(table: Table, base: Hooks | None, *, step_timeout_us: int) -> Hooks | None:
    """Return the programs around steps; None: there are none."""
    base = base or Hooks()
    found = {}
    for step in STEPS:
        for when in ("before", "after"):
            key = f"{when}_{step}"
            program: tuple[str, ...] = getattr(base, key)
            found[key] = table.take(key, _WORDS, program)
    timeout_us = table.take("timeout", _SPAN, base.timeout_us or step_timeout_us)
    table.finish()
    if not any(found.values()):
        return None
    return Hooks(**found, timeout_us=0 if timeout_us == step_timeout_us else timeout_us)


def read_recover(table: Table, base: Recover | None) -> Recover | None:
    """Return how failed masters are healed; None: they are not."""
    before = table.reading.count
    told = Recover(
        command=table.take("command", _WORDS, base.command if base else ()),
        attempts=table.take(
            "attempts",
            kinds.count(least=1, most=ATTEMPTS_MAX),
            base.attempts if base else ATTEMPTS_MAX,
        ),
        backoff_us=table.take(
            "backoff",
            kinds.duration(least_us=SECOND, most_us=HOUR),
            base.backoff_us if base else BACKOFF_US,
        ),
        timeout_us=table.take("timeout", _SPAN, base.timeout_us if base else RECOVER_TIMEOUT_US),
    )
    if not told.command and table.reading.count == before:
        for key in ("attempts", "backoff", "timeout"):
            if table.has(key):
                table.mistake(
                    "command",
                    expected="the program that heals a master",
                    found="none",
                    remedy='write as in command = ["/usr/local/bin/heal"]: whom is in '
                    "$TANIST_MASTER and $TANIST_ADDRESS",
                )
                break
    table.finish()
    return told if told.command else None


def needs_hands(policy: GroupPolicy) -> bool:
    """Return whether a group asks for something to be done that its effects never do."""
    return policy.effects == "none" and bool(policy.hooks or policy.recover)
