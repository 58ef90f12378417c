"""One key of a policy changed for every group, as `--set probe.fall=1` asks.

Such a policy is asked about, not run, so the promise that it had is not held against it.
"""

import tomllib

import msgspec

from engine.config.groups import GROUP_LATER, read_group, rebase
from engine.config.tables import Reading, Table, shown
from engine.core.errors import ConfigurationError
from engine.core.policy import Policy


def override(policy: Policy, assignment: str) -> Policy:
    """Return `policy` with one dotted key changed in every group.

    The value is TOML; a bare word, or anything else that is not, is a string. A default that
    follows from the changed key follows it. A new preset replaces all of the old one.

    Example:
        >>> from engine.core.policy import preset
        >>> changed = override(Policy(groups={"cache": preset("zone")}), "probe.interval=2s")
        >>> changed.groups["cache"].probe.interval_us
        2000000

    Raises:
        ConfigurationError: There is no such key, or it cannot take that value.
    """
    source = f"--set {assignment if assignment.isprintable() else shown(assignment)}"
    key, separator, written = assignment.partition("=")
    parts = [part.strip() for part in key.split(".")]
    if not separator or not all(parts) or not written.strip():
        raise ConfigurationError(
            [f"{source}: expected KEY=VALUE, found {shown(assignment)}; write as in probe.fall=1"]
        )
    values: object = _value(written.strip())
    for part in reversed(parts):
        values = {part: values}
    assert isinstance(values, dict)
    groups = {}
    for name, before in policy.groups.items():
        reading = Reading(source)
        table = Table(reading, (), values, later=GROUP_LATER)
        base = rebase(table, before)
        groups[name] = read_group(table, base, runs=False)
        table.finish()
        if reading.count:
            raise ConfigurationError(reading.mistakes)
    return msgspec.structs.replace(policy, groups=groups)


def _value(written: str) -> object:
    try:
        found = tomllib.loads(f"value = {written}")
    except (ValueError, RecursionError):
        return written
    return found["value"] if len(found) == 1 else written
