"""Who may ask a running engine for what: names with a role, and where the token of each is.

[auth.ann]
role = "operate"
token = { env = "TANIST_TOKEN_ANN" }
"""

from typing import Final

import msgspec

from engine.config import kinds
from engine.config.secrets import Secret, secret
from engine.config.tables import Table, Unfit, shown

# Each may do what those before it may.
ROLES: Final = ("read", "report", "operate", "admin")


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """What the bearer of a token is called, and may do."""

    name: str
    role: str  # one of ROLES
    token: Secret


def read_auth(table: Table) -> tuple[Grant, ...]:
    """Return what the table `auth` says; (): only the token beside the log is known."""
    found: list[Grant] = []
    for name in table.each():
        before = table.reading.count
        row = table.table(name)
        if table.reading.count > before:
            continue
        try:
            kinds.name(name)
        except Unfit as unfit:
            table.mistake(name, expected=unfit.expected, found=shown(name), remedy=unfit.remedy)
        role = row.need("role", kinds.choice(ROLES), ROLES[0], example='"operate"')
        token = row.need("token", secret, Secret(), example='{ env = "TANIST_TOKEN_ANN" }')
        row.finish()
        found.append(Grant(name=name, role=role, token=token))
    table.finish()
    return tuple(found)
