"""What each command takes over HTTP: the fields of its body, each with the type it must have.

A body that is not understood raises TypeError or ValueError, with the field, what was expected and
what was found. What comes of a command is the engine's to say.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from engine.config.loading import parse
from engine.config.members import declared
from engine.core.errors import ConfigurationError
from engine.embed import Engine
from engine.runtime.commands import Conditions

COUNT_MAX: Final = 1 << 53  # JSON carries no larger number exactly; in microseconds 285 years

Command: TypeAlias = Callable[[Engine, "Body"], Awaitable[int]]


class Body:
    """The fields of a command, each with the type that it must have."""

    def __init__(self, fields: object, key: str = "", *, author: str = "") -> None:
        if not isinstance(fields, dict):
            raise TypeError("expected a JSON object")
        self._fields = fields
        self._key = key  # that the command came under; "": none
        self._author = author  # the name of the token; "": as the body says

    def text(self, name: str, *, default: str | None = None) -> str:
        """Return a string field; who acts is told by the token, if it is somebody's."""
        if name == "author" and self._author:
            return self._author
        value = self._fields.get(name)
        if value is None and default is not None:
            return default
        if not isinstance(value, str) or (default is None and not value):
            what = "who asks, for the log, as a text" if name == "author" else "a text"
            raise TypeError(f"{name}: expected {what}, found {json.dumps(value)}")
        value.encode()  # half of a surrogate pair is no text, and no log can hold it
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of strings, empty if there is none."""
        value = self._fields.get(name)
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise TypeError(f"{name}: expected a list of texts, found {json.dumps(value)}")
        return tuple(value)

    def group(self) -> str | None:
        """Return the group, None for the whole fleet."""
        return self.text("group", default="") or None

    def flag(self, name: str, *, default: bool) -> bool:
        """Return a boolean field."""
        value = self._fields.get(name, default)
        if not isinstance(value, bool):
            raise TypeError(f"{name}: expected true or false, found {json.dumps(value)}")
        return value

    def count(self, name: str, *, default: int | None = None) -> int:
        """Return a whole number from 0 to COUNT_MAX."""
        value = self._fields.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= COUNT_MAX:
            raise TypeError(f"{name}: expected a count, found {json.dumps(value)}")
        return value

    def conditions(self) -> Conditions:
        """Return what the command is given under."""
        is_expecting = self._fields.get("expected_head") is not None
        return {
            "key": self._key,
            "expected_head": self.count("expected_head") if is_expecting else None,
            "expected_versions": self._versions(),
        }

    def _versions(self) -> dict[str, int]:
        value = self._fields.get("expected_versions")
        if value is None:
            return {}
        if not isinstance(value, dict):
            found = json.dumps(value)
            raise TypeError(f"expected_versions: expected an object of counts, found {found}")
        versions = Body(value)
        return {name: versions.count(name) for name in value}


async def _pause(engine: Engine, body: Body) -> int:
    return await engine.pause(
        body.group(),
        for_us=body.count("for_us", default=0),
        reason=body.text("reason"),
        author=body.text("author"),
        **body.conditions(),
    )


async def _resume(engine: Engine, body: Body) -> int:
    return await engine.resume(body.group(), author=body.text("author"), **body.conditions())


async def _approve(engine: Engine, body: Body) -> int:
    author = body.text("author")
    return await engine.approve(body.text("group"), author=author, **body.conditions())


async def _release(engine: Engine, body: Body) -> int:
    author = body.text("author")
    return await engine.release(body.text("subject"), author=author, **body.conditions())


async def _failover(engine: Engine, body: Body) -> int:
    return await engine.failover(
        body.text("group"),
        to=body.text("to", default=""),
        author=body.text("author"),
        wait=body.flag("wait", default=False),
        **body.conditions(),
    )


async def _switchover(engine: Engine, body: Body) -> int:
    return await engine.switchover(
        body.text("group"),
        to=body.text("to", default=""),
        due_us=body.count("due_us", default=0),
        after_us=body.count("after_us", default=0),
        author=body.text("author"),
        wait=body.flag("wait", default=False),
        **body.conditions(),
    )


async def _checkpoint(engine: Engine, body: Body) -> int:
    author = body.text("author")
    return await engine.checkpoint(body.text("name"), author=author, **body.conditions())


async def _rollback(engine: Engine, body: Body) -> int:
    if body.flag("all", default=False) or body.texts("groups"):
        return await engine.rollback_all(
            body.count("position"),
            groups=body.texts("groups"),
            force=body.flag("force", default=False),
            author=body.text("author"),
            wait=body.flag("wait", default=True),
            **body.conditions(),
        )
    return await engine.rollback(
        body.count("position"),
        group=body.text("group"),
        force=body.flag("force", default=False),
        author=body.text("author"),
        wait=body.flag("wait", default=True),
        **body.conditions(),
    )


def changes_policy(name: str, body: Body) -> bool:
    """Return whether a command that need not be an admin's changes the policy as it is given."""
    return name == "rollback" and body.flag("all", default=False) and not body.texts("groups")


async def _rebuild(engine: Engine, body: Body) -> int:
    return await engine.rebuild(body.text("view"), retry=body.flag("retry", default=False))


async def _purge(engine: Engine, body: Body) -> int:
    return await engine.purge(
        body.text("key"),
        group=body.group() or "",
        reason=body.text("reason", default=""),
        author=body.text("author"),
        **body.conditions(),
    )


async def _ack(engine: Engine, body: Body) -> int:
    author = body.text("author")
    return await engine.ack(body.count("alert"), author=author, **body.conditions())


async def _reset(engine: Engine, body: Body) -> int:
    author = body.text("author")
    return await engine.reset(body.text("subject"), author=author, **body.conditions())


async def _cancel(engine: Engine, body: Body) -> int:
    author = body.text("author")
    return await engine.cancel(body.text("group"), author=author, **body.conditions())


async def _undo(engine: Engine, body: Body) -> int:
    return await engine.undo(
        body.count("failover", default=0),
        author=body.text("author"),
        wait=body.flag("wait", default=False),
        **body.conditions(),
    )


async def _drain(engine: Engine, body: Body) -> int:
    return await engine.drain(
        body.text("master"),
        drained=body.flag("drained", default=True),
        reason=body.text("reason", default=""),
        author=body.text("author"),
        **body.conditions(),
    )


async def _exclude(engine: Engine, body: Body) -> int:
    return await engine.exclude(
        body.text("master"),
        excluded=body.flag("excluded", default=True),
        reason=body.text("reason", default=""),
        author=body.text("author"),
        **body.conditions(),
    )


async def _add_master(engine: Engine, body: Body) -> int:
    try:
        master = declared(
            body.text("master"),
            group=body.text("group"),
            address=body.text("address"),
            priority=body.count("priority", default=1),
            weight=body.count("weight", default=1),
            region=body.text("region", default=""),
        )
    except ConfigurationError as err:
        raise TypeError(str(err)) from err
    return await engine.add_master(master, author=body.text("author"), **body.conditions())


async def _remove_master(engine: Engine, body: Body) -> int:
    author = body.text("author")
    return await engine.remove_master(body.text("master"), author=author, **body.conditions())


async def _strategy(engine: Engine, body: Body) -> int:
    return await engine.strategy(
        body.text("group"),
        body.text("strategy"),
        author=body.text("author"),
        **body.conditions(),
    )


async def _maintenance(engine: Engine, body: Body) -> int:
    return await engine.maintain(
        body.text("subject"),
        from_us=body.count("from_us"),
        to_us=body.count("to_us"),
        reason=body.text("reason", default=""),
        author=body.text("author"),
        **body.conditions(),
    )


async def _apply(engine: Engine, body: Body) -> int:
    text, source = body.text("text"), body.text("source", default="the body")
    try:
        # In a thread: that of a large fleet takes seconds, in which nothing would be detected.
        configuration = await asyncio.to_thread(parse, text, source=source)
    except ConfigurationError as err:
        raise TypeError(str(err)) from err
    return await engine.apply(configuration, author=body.text("author"), **body.conditions())


COMMANDS: Final[dict[str, Command]] = {
    "pause": _pause,
    "resume": _resume,
    "approve": _approve,
    "release": _release,
    "failover": _failover,
    "switchover": _switchover,
    "checkpoint": _checkpoint,
    "rollback": _rollback,
    "ack": _ack,
    "undo": _undo,
    "cancel": _cancel,  # what switchover has scheduled
    "reset": _reset,
    "drain": _drain,
    "exclude": _exclude,
    "add-master": _add_master,
    "remove-master": _remove_master,
    "strategy": _strategy,
    "maintenance": _maintenance,
    "apply": _apply,
    "purge": _purge,
    "rebuild": _rebuild,  # its seq is the position of the view
}
