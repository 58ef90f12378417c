"""Who asks, by the token of the request, and what that name may do.

A role may do what those before it may:

- `read`: look, and compare a configuration with what is in force;
- `report`: tell what a master or another observer has to tell;
- `operate`: give commands;
- `admin`: commands that change the policy or the fleet, or remove what was accepted for good;
  `rollback` is one where it takes the policy back, too.

The token that lies beside the log is an admin's, who is called as the command says: it is this
machine's, where whoever may read it may do more than that. A name of `[auth]` stands in the log for
what was done with its token, whatever the command says.
"""

import enum
import re
import secrets
from collections.abc import Iterable
from typing import Final

import msgspec
from starlette.requests import Request

from engine.config.access import ROLES, Grant
from engine.config.secrets import password
from engine.core.errors import ConfigurationError

TOKEN_CHARACTERS_MIN: Final = 16  # fewer are guessed
NO_TOKEN: Final = "expected the token that lies beside the log"  # noqa: S105
NO_NAME: Final = "expected the token of a name in [auth], or the one that lies beside the log"
# What checks of load balancers ask for; it says nothing of the fleet.
OPEN: Final = frozenset({"/livez", "/readyz"})
# Whether `rollback` is one more, its body says: commanding.changes_policy.
ADMIN: Final = frozenset({"apply", "add-master", "remove-master", "purge"})
COMMANDS: Final = "/api/commands/"
LOOKS: Final = frozenset({"/api/config"})  # a POST only because a file is no part of an address


class Role(enum.IntEnum):
    """What a name may do, the least first."""

    READ = 1
    REPORT = 2
    OPERATE = 3
    ADMIN = 4

    @property
    def word(self) -> str:
        """Return how a configuration spells it."""
        return ROLES[self - 1]


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Who has a token."""

    name: str  # "": whoever may read the file beside the log
    role: Role
    token: bytes


class Access:
    """The tokens that one engine knows."""

    def __init__(self, token: str, named: Iterable[Caller] = ()) -> None:
        """`token` is the one that lies beside the log."""
        own = Caller(name="", role=Role.ADMIN, token=token.encode())
        self._callers: Final = (own, *named)

    @property
    def has_names(self) -> bool:
        """Return whether a configuration says who may what: then nobody looks without a token."""
        return len(self._callers) > 1

    def caller(self, request: Request) -> Caller | None:
        """Return whose token a request carries; None: nobody's. It takes as long for every one."""
        given = request.headers.get("authorization", "").removeprefix("Bearer ").encode()
        found = None
        for caller in self._callers:
            if secrets.compare_digest(given, caller.token):
                found = caller
        return found

    def refused(self, caller: Caller | None, needed: Role, path: str) -> tuple[int, str] | None:
        """Return why `caller` may not do what needs a role, with the code; None: it may."""
        if caller is None:
            return 401, NO_NAME if self.has_names else NO_TOKEN
        if caller.role < needed:
            is_word = needed.word
            return 403, f"{caller.name} may {caller.role.word}: {path} needs the role {is_word}"
        return None


def path_of(request: Request) -> str:
    """Return the path that decides who answers a request.

    Not that of its URL: what it says in `Host` is a part of that.
    """
    path: str = request.scope["path"]
    return path


def needed(request: Request) -> Role | None:
    """Return the role that a request needs; None: none at all."""
    path = path_of(request)
    if path in OPEN:
        return None
    if path.startswith(COMMANDS):
        is_admin = path.removeprefix(COMMANDS) in ADMIN
        return Role.ADMIN if is_admin else Role.OPERATE
    if request.method in ("GET", "HEAD", "OPTIONS") or path in LOOKS:
        return Role.READ
    return Role.REPORT


def callers(grants: Iterable[Grant], *, source: str) -> list[Caller]:
    """Return those whom a configuration names, with their tokens, which are read now.

    Raises:
        ConfigurationError: A token is not there, too short, or that of another name; every one is
            named, and none is shown.
    """
    found: list[Caller] = []
    mistakes: list[str] = []
    for grant in grants:
        key = f"auth.{grant.name}.token"
        try:
            token = password(grant.token, name=key, source=source)
        except ConfigurationError as err:
            mistakes += err.mistakes
            continue
        if len(token) < TOKEN_CHARACTERS_MIN or not re.fullmatch(r"[!-~]+", token):
            mistakes.append(
                f"{source}: {key}: expected {TOKEN_CHARACTERS_MIN} printable characters or more "
                f"without spaces in {grant.token}, found another text"
            )
        same = next((one.name for one in found if one.token == token.encode()), "")
        if same:
            mistakes.append(f"{source}: {key}: expected a token of its own, found that of {same}")
        role = Role(1 + ROLES.index(grant.role))
        found.append(Caller(name=grant.name, role=role, token=token.encode()))
    if mistakes:
        raise ConfigurationError(mistakes)
    return found
