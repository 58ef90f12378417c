"""What goes on beside the steps of a failover: programs of the operator, and healing.

Each of these is there only where a policy asks for it.
"""

import msgspec


class Hook(msgspec.Struct, kw_only=True, gc=False):
    """A program that is run after a step; its outcome ends it."""

    hook: str
    master: str
    failover: int
    epoch: int


class Recovery(msgspec.Struct, kw_only=True, gc=False):
    """How often a failed master was tried to be healed since it was well."""

    seq: int  # the decision for the newest attempt, which its outcome is known by
    n: int  # attempts so far, the running one included [count]
    is_running: bool
    again_at_us: int  # the next one comes no earlier
