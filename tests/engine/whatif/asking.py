"""How the tests ask: a change of settings by their paths, as a function of a policy."""

import msgspec

from engine.core.policy import GroupPolicy, Policy
from engine.whatif.given import Change


def changed(**values: object) -> Change:
    """Return the change of `part__setting=value` in every group."""

    def change(policy: Policy) -> Policy:
        groups = {name: _with(group, values) for name, group in policy.groups.items()}
        return msgspec.structs.replace(policy, groups=groups)

    return change


def _with(group: GroupPolicy, values: dict[str, object]) -> GroupPolicy:
    for path, value in values.items():
        head, _, rest = path.partition("__")
        part = getattr(group, head)
        value = msgspec.structs.replace(part, **{rest: value}) if rest else value
        group = msgspec.structs.replace(group, **{head: value})
    return group
