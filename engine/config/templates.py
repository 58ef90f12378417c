"""The commented `tanist.toml` that `tanist init` writes."""

import json
import re
from typing import Final

from engine.config import kinds
from engine.config.acting import ATTEMPTS_MAX, BACKOFF_US, RECOVER_TIMEOUT_US
from engine.config.durations import spell
from engine.config.loading import (
    DEFAULT_LISTEN,
    DEFAULT_LOG,
    KEEP_BODIES_US,
    RESERVE_BYTES,
    SEAL_AFTER_US,
)
from engine.config.sizes import spell_size
from engine.config.tables import Unfit, shown
from engine.core.errors import ConfigurationError
from engine.core.policy import ALERTS, EJECTION, PRESETS, AlertPolicy, GroupPolicy
from engine.core.policy import preset as policy_of

COMMENT_COLUMN: Final = 32  # where the comments behind values begin, if the value is that short
_COMMENT: Final = re.compile(r"(?m)^(.*?\S  |  +)# ")

REDIS_SCHEMES: Final = kinds.PROBED_SCHEMES["redis"]
EXAMPLES: Final = ("http://127.0.0.1:7001", "http://127.0.0.1:7002", "http://127.0.0.1:7003")

_FILE: Final = """\
# Tanist. Every key is here with the value in force; behind a # stands the default of the preset.
# Look at it with: tanist check tanist.toml
# Start it with:   tanist run tanist.toml

[engine]
log = {log}  # a file, or an sqlite:// URL; one engine writes it
listen = {listen}  # the HTTP service
preset = {preset}  # lan, zone, region; bench is for loopback only

[log]
# flush = {flush}  # a good probe that changes nothing may wait this long for company
# seal_after = {seal_after}  # older events are packed, to a seventh of their size or so
# keep_observations = {keep_observations}  # older probes go, if no decision rests on them
# keep_bodies = {keep_bodies}  # then bodies of messages that are done go, and replaced state
                                # sealed by bodies_key = {{ env = "NAME" }}, or {{ file = "PATH" }}
# max_size = {max_size}  # beyond it the oldest probes go earlier, decisions never; "0": any size
# reserve = {reserve}  # kept beside the log for a full disk, so that failures still commit; or "0"

[auth]
                        # names with a token of their own, beside whoever may read tanist.token:
                        #   ann = {{ role = "operate", token = {{ env = "TANIST_TOKEN_ANN" }} }}
                        # "read", "report" (what masters tell), "operate" or "admin"; with a name
                        # here nobody looks without a token

[fleet]
# limit = {fleet_limit}  # failovers of all groups in a window, or "none"; then approve

[alerts]
# no_heir_warning = {no_heir}  # nobody could take over
# no_heir_critical = {no_heir_critical}  # the same for so long
# failovers = "{failovers}/{failovers_window}"  # of one group in a window, or "none"
# recovery = {recovery}  # a failover is open for longer; or "never"
# paused = {paused}  # paused, or only observing although there are effects; or "never"
# late = {late}  # how long it is said that the engine itself stood still
# queue_warning = {queue_warning}  # more messages of a group, or requests at a master, wait
# queue_for = {queue_for}  # for so long; beyond queue_critical it is critical at once
# queue_critical = {queue_critical}
# cpu_warning = {cpu_warning}  # percent of its processors that a master says it uses
# cpu_critical = {cpu_critical}
# memory_warning = {memory_warning}  # the same of its memory
# memory_critical = {memory_critical}
# busy_for = {busy_for}  # and for so long
# errors_warning = {errors_warning}  # percent of the requests that the engine's route sent it fail
# errors_critical = {errors_critical}
# errors_for = {errors_for}  # for so long
# errors_calls = {errors_calls}  # of fewer requests in a minute nothing is said
# share = {share}  # percent of all requests that one of several masters gets
# share_calls = {share_calls}  # of fewer requests in a minute nothing is said
# latency_times = {latency_times}  # its slowest answers take so many times as long as usual
# latency_for = {latency_for}  # for so long, and more than a quarter of the time-out
# disk_warning = {disk_warning}  # percent of the disk of the log are used, and it may need more
# disk_critical = {disk_critical}
# disk_left = {disk_left}  # as it grows, the disk is full sooner: critical
# behind = {behind}  # a stored view is further behind the log
# burn_failures = {burn_failures}  # the budget of slo burns fast, and the group was down so often
# objective = {objective_alert}  # a group misses the objective of its slo

[groups.main]
mode = "active-standby"  # one master serves; "active-active": every healthy one does
automation = "observe"  # decides and logs what it would do; it acts on commands alone. More:
                        # "confirm" waits for tanist approve, "auto" goes ahead
# strategy = "priority"  # or "round-robin"
# detect_within = {detect_within}  # a promise: check refuses settings that cannot keep it
# slo = {{ objective = {objective}, window = {window} }}
                        # programs before and after steps, of which those before can stop it:
                        #   hooks = {{ before_promote = ["/usr/local/bin/may"], timeout = "1s" }}
                        # and one that heals failed masters, except under maintenance:
                        #   recover = {{ command = ["/usr/local/bin/heal"],
                        #     attempts = {heals}, backoff = {backoff}, timeout = {heal_timeout} }}

[groups.main.probe]
{probe_kind}
                        # https and redis: verify = false, ca = "FILE"; tcp: send, expect;
                        # redis: user, password = {{ env = "NAME" }}; command = ["PROGRAM"]
{path_is}path = {path}  # asked of each master: a path that answers 200 while all is well
# interval = {interval}  # from the start of one probe to the start of the next
# timeout = {timeout}  # a later answer is overdue
# recheck = {recheck}  # the interval after a failed probe
# rise = {rise}  # good answers in a row until healthy again
# fall = {fall}  # failed probes in a row until failed
# hold_open = {hold_open}  # keeps a connection open: its end is the earliest sign
# late_max = {late_max}  # an overdue answer does not count if the observer was later
# unknown_after = {unknown_after}  # silence until health is unknown, or "never"
# slow = "never"  # an answer that takes longer, as "200ms", is a poor one
# flap_high = {flap_high}  # percent of changed results from which a master flaps, or "never"
# flap_low = {flap_low}  # and up to which it is steady again
# detector = "consecutive"  # or "phi": by what is usual for each master, with
                 #   phi = {{ threshold = 8, deviation = {timeout}, warm_up = 20 }}
                 #   suspicion = {{ least = "2s", most = "30s", confirmations = 3 }}

[groups.main.observers]
# quorum = 1  # observers that have to agree, this engine included; others: tanist observer
# vote_ttl = "5s"  # what another one said holds for so long

[groups.main.degraded]
# cpu = "never"  # percent beyond which a master is degraded, by what it says of itself
# memory = "never"  # likewise
# errors = "never"  # likewise, of what it was asked
# queue = "never"  # likewise, a number
# reports = 3  # so many in a row
# silent_after = "never"  # no word of its load for so long degrades it too

[groups.main.effects]
{effects_kind}
                 # "redis": real primaries and replicas, with probe.kind = "redis"; it logs in
                 # as the probe does, or with user and password = {{ env = "NAME" }} of its own
                 # "command": a program, command = ["/usr/local/bin/act"], does what is in
                 # $TANIST_STEP to $TANIST_ADDRESS; exit 0 done, 1 refused, else unknown
                 # "python": functions of the service, @engine.effect
                 # "none": nothing is ever sent, as to plain HTTP upstreams

[groups.main.fence]
kind = "{fence}"  # gate: the committed epoch is the fence; needs clients = "route"
clients = "{clients}"  # direct where clients hold a master's own address: with "confirmed"
                   # or kind = "lease", lease = {lease}: by then it stops by itself

[groups.main.failover]
# deadline = {deadline}  # of the whole failover
# step_timeout = {step_timeout}  # of one step
# attempts = {attempts}  # candidates tried in one failover
# delay = {{ crash = {crash}, staleness = {staleness} }}  # before it starts
# hold_down = {hold_down}  # after a failover, soft evidence waits this long
# limit = {limit}  # failovers in a window, or "none"; a spent limit waits for approve
# grace = {grace}  # after a start, fresh evidence is awaited this long
# failback = "manual"  # or how long who was left has to be well to get its place back, as "30m"
# lag_max = "any"  # an heir that says it is further behind, as "1s", is passed over
# behind_max = "any"  # the same for what it lacks of the newest position, as 0 for nothing
# allow_loss = false  # true: both limits pass nobody over, and what was acknowledged may be lost

[groups.main.balance]
# slow_start = {slow_start}  # who begins to serve gets its whole share after this, at least 10 %
# ejection = {{ failed = "never" }}  # active-active: {failed} % of failures, and it rests
# panic = "never"  # active-active: 30; while fewer % may serve, who failed softly serves on

[groups.main.messages]
# deliver_timeout = {deliver_timeout}  # unacknowledged for this long: sent again
# remember = {remember}  # keys of finished messages, kept to refuse a repeat
# open_max = {open_max}  # accepted and not done; what comes beyond is refused
"""

_MASTER: Final = """
[[groups.main.masters]]
id = {id}
address = {address}
priority = {priority}  # 1 is the first choice
"""

_MASTER_REST: Final = """\
# weight = 1  # its share among equals; 0: none
# region = "eu-west"  # or location = [51.5, -0.13]
"""


# What is written for masters that speak HTTP, and for Redis servers.
_HTTP: Final = {
    "probe_kind": '# kind = "http"  # or https, tcp, redis, command, push, python',
    "path_is": "# ",
    "effects_kind": '# kind = "http"  # the masters take the control protocol',
    "fence": "gate",
    "clients": "route",
}
_REDIS: Final = {
    "probe_kind": 'kind = "redis"  # or http, https, tcp, command, push, python',
    "path_is": "# of http: ",
    "effects_kind": 'kind = "redis"  # or "http": the masters take the control protocol',
    "fence": "confirmed",
    "clients": "direct",
}


def template(
    addresses: tuple[str, ...] | None, preset: str, *, redis: bool = False, password_env: str = ""
) -> str:
    """Return the text of a first configuration, for the masters at `addresses`.

    Args:
        addresses: Where they listen, the first choice first; None: examples are written.
        preset: Its name.
        redis: They are Redis servers.
        password_env: The variable of the environment with their password; "": they ask for none.

    Raises:
        ConfigurationError: An address is none, or is there twice; or there is no such preset.
    """
    if preset not in PRESETS:
        names = ", ".join(PRESETS)
        raise ConfigurationError(
            [f"--preset: expected one of {names}, found {shown(preset)}; write --preset zone"]
        )
    written = dict(_REDIS if redis else _HTTP)
    if password_env:
        written["probe_kind"] += f"\npassword = {{ env = {json.dumps(password_env)} }}"
    text = _FILE.format(
        **written,
        **_figures(policy_of(preset)),
        flush=_q(PRESETS[preset].flush_us),
        seal_after=_q(SEAL_AFTER_US),
        keep_observations=_q(PRESETS[preset].keep_observations_us),
        keep_bodies=_q(KEEP_BODIES_US),
        max_size=json.dumps(spell_size(PRESETS[preset].max_size)),
        reserve=json.dumps(spell_size(RESERVE_BYTES)),
        fleet_limit=json.dumps(kinds.spell_fleet_limit(PRESETS[preset].fleet)),
    )
    for number, address in enumerate(_addresses(addresses or EXAMPLES, redis=redis), start=1):
        text += _MASTER.format(
            id=json.dumps(f"m{number}"), address=json.dumps(address), priority=number
        )
        if number == 1:
            text += _MASTER_REST
    return _COMMENT.sub(_aligned, text)


def _aligned(found: re.Match[str]) -> str:
    return f"{found[1]:<{COMMENT_COLUMN}}# "


def _addresses(written_as: tuple[str, ...], *, redis: bool) -> list[str]:
    option, schemes = ("--redis", REDIS_SCHEMES) if redis else ("--http", ("http",))
    taken: list[str] = []
    mistakes = []
    for written in written_as:
        try:
            taken.append(kinds.address(written, schemes=schemes))
        except Unfit as unfit:
            mistakes.append(
                f"{option}: expected {unfit.expected}, found {shown(written)}; {unfit.remedy}"
            )
    mistakes += [
        f"{option}: expected each address once, found {shown(address)} again; leave it out"
        for number, address in enumerate(taken)
        if address in taken[:number]
    ]
    if mistakes:
        raise ConfigurationError(mistakes)
    return taken


def _q(duration_us: int) -> str:
    return f'"{spell(duration_us)}"'


def _percent(ppm: int) -> str:
    return f"{ppm / (kinds.PPM // 100):g}" if ppm else '"never"'


def _limits(alerts: AlertPolicy) -> dict[str, object]:
    """Return the limits of figures that people hear of, as a file spells them."""
    return {
        "queue_warning": alerts.queue_warning,
        "queue_critical": alerts.queue_critical,
        "queue_for": _q(alerts.queue_us),
        "cpu_warning": _percent(alerts.cpu_warning_ppm),
        "cpu_critical": _percent(alerts.cpu_critical_ppm),
        "memory_warning": _percent(alerts.memory_warning_ppm),
        "memory_critical": _percent(alerts.memory_critical_ppm),
        "busy_for": _q(alerts.busy_us),
        "errors_warning": _percent(alerts.errors_warning_ppm),
        "errors_critical": _percent(alerts.errors_critical_ppm),
        "errors_for": _q(alerts.errors_us),
        "errors_calls": alerts.errors_calls,
        "share": _percent(alerts.share_ppm),
        "share_calls": alerts.share_calls,
        "latency_times": alerts.latency_times,
        "latency_for": _q(alerts.latency_us),
        "disk_warning": _percent(alerts.disk_warning_ppm),
        "disk_critical": _percent(alerts.disk_critical_ppm),
        "disk_left": _q(alerts.disk_left_us),
        "behind": _q(alerts.behind_us),
        "burn_failures": alerts.burn_failures,
        "objective_alert": json.dumps(alerts.objective),
    }


def _figures(policy: GroupPolicy) -> dict[str, object]:
    probe, failover = policy.probe, policy.failover
    window = spell(failover.limit_window_us)
    return {
        "no_heir": _q(ALERTS.no_heir_warning_us),
        "no_heir_critical": _q(ALERTS.no_heir_critical_us),
        "failovers": ALERTS.failovers,
        "failovers_window": spell(ALERTS.failovers_window_us),
        "recovery": _q(ALERTS.recovery_us),
        "paused": _q(ALERTS.paused_us),
        "late": _q(ALERTS.late_us),
        **_limits(ALERTS),
        "log": json.dumps(DEFAULT_LOG),
        "listen": json.dumps(DEFAULT_LISTEN),
        "preset": json.dumps(policy.preset),
        "detect_within": _q(policy.detect_within_us),
        "objective": policy.slo.objective_ppm / (kinds.PPM // 100),
        "window": _q(policy.slo.window_us),
        "path": json.dumps(probe.path),
        "interval": _q(probe.interval_us),
        "timeout": _q(probe.timeout_us),
        "recheck": _q(probe.recheck_us),
        "rise": probe.rise,
        "fall": probe.fall,
        "hold_open": json.dumps(probe.hold_open),
        "late_max": _q(probe.late_us_max),
        "unknown_after": _q(probe.unknown_after_us),
        "flap_high": _percent(probe.flap_high_ppm),
        "flap_low": _percent(probe.flap_low_ppm),
        "deadline": _q(failover.deadline_us),
        "step_timeout": _q(failover.step_timeout_us),
        "attempts": failover.attempts_max,
        "crash": _q(failover.delay_crash_us),
        "staleness": _q(failover.delay_staleness_us),
        "hold_down": _q(failover.hold_down_us),
        "limit": f'"{failover.limit}/{window}"' if failover.limit else '"none"',
        "grace": _q(failover.grace_us),
        "slow_start": _q(0 if policy.balance is None else policy.balance.slow_start_us),
        "failed": _percent(EJECTION.failed_ppm),
        "lease": _q(PRESETS[policy.preset].lease_us),
        "backoff": _q(BACKOFF_US),
        "heals": ATTEMPTS_MAX,
        "heal_timeout": _q(RECOVER_TIMEOUT_US),
        "deliver_timeout": _q(policy.messages.deliver_timeout_us),
        "remember": policy.messages.remember_max,
        "open_max": policy.messages.open_max,
    }
