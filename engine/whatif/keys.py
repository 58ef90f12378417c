"""Which settings of a policy can be asked about on a log that was recorded under another.

`DECIDED`: the rules alone use it, so the recorded observations say what it would have changed.
`NARROWING`: a time-out. A smaller one can be asked about, because recorded latencies say which
answers would have come too late; a larger one cannot, since nobody waited so long.
`OBSERVED`: it changes what would have been observed, or what is done to the world. The log cannot
know; a simulation can.

What is not declared here is taken for observed, and a test names it.
"""

import enum
from collections.abc import Callable
from typing import Final

import msgspec

from engine.core.policy import GroupPolicy, Policy


class Sort(enum.Enum):
    """What a setting changes."""

    DECIDED = "decided"
    NARROWING = "narrowing"
    OBSERVED = "observed"


# By the path of the setting; one that has parts stands for all of them.
SORTS: Final[dict[str, Sort]] = {
    **dict.fromkeys(
        (
            "preset",
            "automation",
            "strategy",
            "detect_within_us",
            "probe.rise",
            "probe.fall",
            "probe.late_us_max",
            "probe.unknown_after_us",
            "probe.phi",
            "probe.flap_high_ppm",
            "probe.flap_low_ppm",
            "probe.slow_us",
            "observers",
            "degraded",
            "fence",
            "failover.deadline_us",
            "failover.attempts_max",
            "failover.delay_crash_us",
            "failover.delay_staleness_us",
            "failover.hold_down_us",
            "failover.limit",
            "failover.limit_window_us",
            "failover.grace_us",
            "failover.failback",
            "failover.failback_us",
            "failover.lag_us_max",
            "failover.behind_max",
            "failover.allow_loss",
            "messages.remember_max",
            "messages.open_max",
            "slo",
            "fleet",
            "alerts",
        ),
        Sort.DECIDED,
    ),
    **dict.fromkeys(("probe.timeout_us", "failover.step_timeout_us"), Sort.NARROWING),
    **dict.fromkeys(
        (
            "mode",
            "effects",
            "balance",
            "reach",
            "hooks",
            "recover",
            "probe.kind",
            "probe.path",
            "probe.interval_us",
            "probe.recheck_us",
            "probe.hold_open",
            "probe.verify",
            "probe.ca",
            "probe.send",
            "probe.expect",
            "probe.user",
            "probe.password",
            "probe.command",
            "messages.deliver_timeout_us",
        ),
        Sort.OBSERVED,
    ),
}
# As a configuration spells them, where that is not the path without its unit.
_SPELLED: Final = {
    "failover.delay_crash_us": "failover.delay.crash",
    "failover.delay_staleness_us": "failover.delay.staleness",
    "failover.attempts_max": "failover.attempts",
    "probe.late_us_max": "probe.late_max",
    "failover.lag_us_max": "failover.lag_max",
    "probe.flap_high_ppm": "probe.flap_high",
    "probe.flap_low_ppm": "probe.flap_low",
    "slo.objective_ppm": "slo.objective",
    "alerts.queue_us": "alerts.queue_for",
    "alerts.busy_us": "alerts.busy_for",
    "alerts.errors_us": "alerts.errors_for",
    "alerts.latency_us": "alerts.latency_for",
    "effects": "effects.kind",
}


class Changed(msgspec.Struct, frozen=True, kw_only=True):
    """One setting that is not what it was."""

    group: str  # "" for what holds for the fleet
    path: str
    before: object
    after: object
    sort: Sort

    @property
    def is_answerable(self) -> bool:
        """Return whether the log can say what it changes."""
        if self.sort is Sort.NARROWING:
            is_less = isinstance(self.after, int) and isinstance(self.before, int)
            return is_less and self.after < self.before  # type: ignore[operator]
        return self.sort is Sort.DECIDED

    @property
    def key(self) -> str:
        """Return what a configuration calls it."""
        return spelled(self.path)

    def refusal(self, written: Callable[[str, object], str]) -> str:
        """Return why the log cannot answer, and what can.

        `written` gives the value of the setting at a path as a configuration has it.
        """
        where = f" of {self.group}" if self.group else ""
        before, after = written(self.path, self.before), written(self.path, self.after)
        if self.sort is Sort.NARROWING:
            return (
                f"{self.key}{where}: expected less than what was recorded, {before}, found "
                f"{after}: nobody waited so long; tanist simulate can"
            )
        return (
            f"{self.key}{where} changes what is observed (recorded {before}, asked "
            f"{after}), which this log cannot know: tanist simulate can"
        )


def sort_of(path: str) -> Sort:
    """Return the sort of the setting at `path`: its own, or that of what it is a part of."""
    found = declared(path)
    return Sort.OBSERVED if found is None else found


def declared(path: str) -> Sort | None:
    """Return the sort that is declared for `path`; None: nobody has thought about that setting."""
    while path:
        if path in SORTS:
            return SORTS[path]
        path = path.rpartition(".")[0]
    return None


def spelled(path: str) -> str:
    """Return how a configuration spells the setting at `path`.

    Example:
        >>> spelled("probe.timeout_us"), spelled("failover.delay_crash_us")
        ('probe.timeout', 'failover.delay.crash')
    """
    return _SPELLED.get(path, path.removesuffix("_us"))


def settings(policy: msgspec.Struct, prefix: str = "") -> dict[str, object]:
    """Return every setting of a policy by its path."""
    found: dict[str, object] = {}
    for name in policy.__struct_fields__:
        value = getattr(policy, name)
        if isinstance(value, msgspec.Struct):
            found.update(settings(value, f"{prefix}{name}."))
        else:
            found[f"{prefix}{name}"] = getattr(value, "value", value)
    return found


def changes(before: Policy, after: Policy) -> list[Changed]:
    """Return every setting that differs between two policies, for the groups that both have."""
    found = [
        changed
        for name, policy in before.groups.items()
        if name in after.groups
        for changed in _differing(name, policy, after.groups[name])
    ]
    return [*_differing("", fleet_settings(before), fleet_settings(after)), *found]


def _differing(group: str, before: object, after: object) -> list[Changed]:
    ours = settings(before) if isinstance(before, msgspec.Struct) else dict(before)  # type: ignore[call-overload]
    theirs = settings(after) if isinstance(after, msgspec.Struct) else dict(after)  # type: ignore[call-overload]
    return [
        Changed(
            group=group,
            path=path,
            before=ours.get(path),
            after=theirs.get(path),
            sort=sort_of(path),
        )
        for path in {**ours, **theirs}
        if ours.get(path) != theirs.get(path)
    ]


def fleet_settings(policy: Policy) -> dict[str, object]:
    """Return the settings that hold for all groups, by their paths."""
    found: dict[str, object] = {}
    for name in policy.__struct_fields__:
        value = getattr(policy, name)
        if name == "groups":
            continue
        if isinstance(value, msgspec.Struct):
            found.update(settings(value, f"{name}."))
        else:
            found[name] = value
    return found


def answerable(before: GroupPolicy, after: GroupPolicy, group: str) -> GroupPolicy:
    """Return `after`, with what the log cannot answer left as it is in `before`."""
    result = after
    for changed in _differing(group, before, after):
        if not changed.is_answerable:
            result = _with(result, before, changed.path)
    return result


def _with(policy: GroupPolicy, source: GroupPolicy, path: str) -> GroupPolicy:
    """Return `policy` with the setting at `path` as `source` has it."""
    head, _, rest = path.partition(".")
    value = getattr(source, head)
    own = getattr(policy, head)
    if rest and isinstance(own, msgspec.Struct) and isinstance(value, msgspec.Struct):
        name = rest.partition(".")[0]  # no part of a group has parts of parts that differ
        value = msgspec.structs.replace(own, **{name: getattr(value, name)})
    return msgspec.structs.replace(policy, **{head: value})
