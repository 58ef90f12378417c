"""What a probe sees of its masters and what it does not, in a sentence for `tanist check`."""

import shlex
from collections.abc import Iterable

from engine.config.durations import spell
from engine.core.policy import GroupPolicy, Probe

_HELD = "over a connection held open, whose end is seen at once"
_FRESH = "over a connection each time"


def look_sentence(probe: Probe) -> str:
    """Return how masters are looked at, and what that does not show."""
    how = _HELD if probe.hold_open else _FRESH
    match probe.kind:
        case "http" | "https":
            return f"GET {probe.path} by {probe.kind}, {how}; redirects are not followed"
        case "tcp" if probe.expect:
            return f"a text is sent by tcp and {probe.expect!r} has to come; {_one_held(probe)}"
        case "tcp":
            return (
                f"a tcp connection that opens is enough; {_one_held(probe)}. A process that hangs "
                "is not seen: its system goes on to accept connections until their queue is full"
            )
        case "redis":
            login = f"; logs in with {probe.password}" if probe.password else ""
            return f"role, epoch, position and lag by redis, {how}{login}"
        case "command":
            return (
                f"{shlex.join(probe.command)} is run: exit 0 is well, 1 degraded, anything else "
                f"failed; after {spell(probe.timeout_us)} it is killed with its children"
            )
        case "push":
            late_us = probe.interval_us + probe.timeout_us
            return (
                f"masters post to /api/beat/MASTER; one whose last beat is {spell(late_us)} old is "
                "overdue. That nobody can listen to it is not told from its failure"
            )
        case _:
            return "a function of the service, @engine.probe"


def _one_held(probe: Probe) -> str:
    return "one is held open for its end" if probe.hold_open else "none is held open"


def look_warnings(policy: GroupPolicy) -> Iterable[str]:
    """Yield what makes a probe say less, or more, than it seems to."""
    probe = policy.probe
    if not probe.verify:
        yield "verify = false: whoever answers at its address is taken for the master"
    if probe.kind == "command" and probe.interval_us < probe.timeout_us:
        yield (
            f"a command each {spell(probe.interval_us)}: a process is started for each master and "
            "probe, one at a time"
        )
    if probe.kind == "tcp" and probe.hold_open:
        yield (
            "hold_open over tcp: a server that serves one connection at a time serves nobody else "
            "while it is held"
        )
    if probe.kind in ("http", "https", "redis") and not probe.hold_open:
        yield (
            "hold_open = false: no connection ends when a master dies, so a crash is only seen by "
            "failed probes"
        )
