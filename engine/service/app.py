"""The HTTP interface of a running engine: status, events, routes, commands.

Looking is free where the engine listens on loopback, and needs a token elsewhere, or where names
have tokens (access.py); every command needs one. Requests with a foreign Host or Origin are
refused, so that a page in a browser cannot give commands.

A command may carry an `Idempotency-Key`: sent again under it, it is answered as before and not done
again, by whatever process has the log then (engine.runtime.commands). A key that came with another
command is answered with 422. What was not recorded (a body that is not understood, a group that is
not there) is looked at anew; so is `rebuild`, which records nothing.

A command may say what it expects to find: `expected_head`, a seq, and `expected_versions`, an
object of versions by group, and "fleet" for what concerns all groups, as /api/status has them in
`version` and `fleet_version`. They are fields of the body and not an `If-Match`, whose list asks
for any of its tags, where all of these have to hold. If something else is found the answer is 409
with its `reasons`, as for every command that is refused, and nothing is recorded.
"""

import asyncio
import contextlib
import functools
import json
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from engine.answers.status import status
from engine.answers.times import iso
from engine.answers.views import worth_a_word
from engine.config.loading import FILE_BYTES_MAX
from engine.core.errors import CommandRefused, KeyReused, LogError
from engine.core.events import Recorded, jsonable
from engine.core.terms import KEY_CHARACTERS_MAX
from engine.embed import Engine
from engine.log.protocol import Log
from engine.service.access import Access, Caller, Role, path_of
from engine.service.commanding import COMMANDS, Body, changes_policy
from engine.service.guard import Guard
from engine.service.intake import Intake, read
from engine.service.looking import Looking
from engine.service.pacing import Paced
from engine.service.viewing import Kept, Viewing

BODY_BYTES_MAX: Final = 64 * 1024  # of a command [bytes]
EVENTS_MAX: Final = 1_000  # in one answer [count]
TOGETHER: Final = 16  # of a stream, that are written at once; more are in a thread [count]
PACE_S: Final = 0.05  # between two times that a stream sends something [s]
STREAMS_MAX: Final = 100  # at once; each is work at every event [count]
SEQ_DIGITS_MAX: Final = 18  # more than any log will hold


def _error(code: int, text: str) -> JSONResponse:
    return JSONResponse({"error": text}, status_code=code)


class _Stream(StreamingResponse):
    """What a server sends by itself; it says when that is over, however it ends."""

    def __init__(self, content: AsyncIterator[bytes], *, over: Callable[[], None]) -> None:
        super().__init__(content, media_type="text/event-stream")
        self._over: Final = over

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._over()


class _Api:
    """The handlers of one engine."""

    def __init__(self, engine: Engine, access: Access) -> None:
        self.engine: Final = engine
        self._access: Final = access
        self._status: Final = Paced(lambda: status(engine.state))
        self._viewing: Final = Viewing(self._kept)
        self.looking: Final = Looking(engine)
        self._pages: Final = asyncio.Lock()  # one is made at a time
        self._streams = 0  # that are open [count]

    async def _kept(self) -> Kept:
        return Kept(projections=await self.engine.views(), log=await self.engine.room())

    async def _body(self, request: Request, key: str = "", *, most: int = BODY_BYTES_MAX) -> Body:
        data = await read(request, most)
        try:
            caller: Caller | None = request.state.caller
            author = "" if caller is None else caller.name
            return Body(json.loads(data or b"{}"), key, author=author)
        except RecursionError as err:
            raise TypeError("expected a JSON object, found one nested too deeply") from err
        except ValueError as err:
            raise TypeError(f"expected a JSON object, found other bytes ({err})") from err

    async def status(self, request: Request) -> Response:
        position = request.query_params.get("at")
        if position is not None:
            return await self.looking.status_at(request, position)
        # Why nothing is decided just now is no part of the state, and never a moment old.
        kept = await self._viewing.get()
        found = {**self._status.get(), "failure": self.engine.failure or None}
        found["disk_full"] = self.engine.disk_full or None
        found["paused_by_file"] = self.engine.paused_by_file  # also if it could not be recorded
        found = {**found, "projections": kept.projections, "log": kept.log}
        if request.query_params.get("foresee") == "1":
            with contextlib.suppress(LogError):  # that is said in its `failure`
                found = await self.looking.foreseen(request, found)
        return JSONResponse(found)

    async def events(self, request: Request) -> Response:
        follow = request.query_params.get("follow") == "1"
        given = request.headers.get("last-event-id") or request.query_params.get("after", "0")
        if not (given.isascii() and given.isdigit() and len(given) <= SEQ_DIGITS_MAX):
            return _error(400, f"after: expected a seq, found {given!r}")
        after = int(given)
        if follow and self._streams >= STREAMS_MAX:
            return _error(503, f"{STREAMS_MAX} clients follow already: end one of them")
        if follow:
            self._streams += 1  # at once: others may ask before the first event is sent
            return _Stream(self._stream(after), over=self._stream_over)
        until = min(self.engine.state.seq, after + EVENTS_MAX)
        try:
            page = await self._page(lambda log: _listed(log.read(after=after, until=until)))
        except LogError as err:
            return _error(503, str(err))
        return Response(page, media_type="application/json")

    async def _page(self, make: Callable[[Log], bytes]) -> bytes:
        """Return what `make` says of the log: in a thread, for a thousand events are work."""
        async with self._pages:
            return await self.engine.look(make)

    async def _stream(self, after: int) -> AsyncIterator[bytes]:
        """Yield the events after a seq, as many together as there are.

        Many at a time are written in a thread, and however many come, there is a pause after each
        time: in a large fleet the work of a few who follow would else hold up every verdict.
        """
        following = self.engine.follow_together(after, held_max=EVENTS_MAX)
        try:
            async for events in following:
                if len(events) <= TOGETHER:
                    yield _sent(events)
                else:
                    yield await self._page(functools.partial(_sent_of, events))
                await asyncio.sleep(PACE_S)
        finally:
            await following.aclose()

    def _stream_over(self) -> None:
        self._streams -= 1

    async def route(self, request: Request) -> Response:
        group = request.path_params["group"]
        try:
            route = self.engine.pick(group)
        except CommandRefused as err:
            return _error(404, str(err))
        if route is None:
            return _error(503, f"nobody of {group} serves")
        answer = {"master": route.master, "address": route.address, "epoch": route.epoch}
        return JSONResponse(answer)

    async def command(self, request: Request) -> Response:
        name = request.path_params["name"]
        command = COMMANDS.get(name)
        if command is None:
            return _error(404, f"expected one of {', '.join(COMMANDS)}, found {name!r}")
        key = request.headers.get("idempotency-key")
        if key is not None and not 0 < len(key) <= KEY_CHARACTERS_MAX:
            return _error(400, f"Idempotency-Key: expected 1 to {KEY_CHARACTERS_MAX} characters")
        try:
            most = FILE_BYTES_MAX if name == "apply" else BODY_BYTES_MAX
            body = await self._body(request, key or "", most=most)
            if changes_policy(name, body):
                what = f"{name} with the policy of then"
                refused = self._access.refused(request.state.caller, Role.ADMIN, what)
                if refused is not None:
                    return _error(*refused)
            return JSONResponse({"seq": await command(self.engine, body)})
        except KeyReused as err:
            return _error(422, str(err))
        except CommandRefused as err:
            return JSONResponse({"reasons": list(err.reasons)}, status_code=409)
        except (TypeError, ValueError) as err:
            return _error(400, str(err))
        except LogError as err:
            return _error(503, str(err))

    async def acks(self, request: Request) -> Response:
        try:
            body = await self._body(request)
            counted = await self.engine.acknowledge(
                body.text("master"), key=body.text("key"), epoch=body.count("epoch")
            )
        except CommandRefused as err:
            return _error(404, str(err))
        except (TypeError, ValueError) as err:
            return _error(400, str(err))
        except LogError as err:
            return _error(503, str(err))
        if counted:
            return JSONResponse({})
        return _error(409, "the message is not assigned to this master under this epoch")

    async def alive(self, _: Request) -> Response:
        return JSONResponse({"alive": True})

    async def ready(self, _: Request) -> Response:
        failure = self.engine.failure
        if failure:
            return _error(503, failure)
        # A view is a cache, and no engine is less ready for one that stands still.
        views = worth_a_word((await self._viewing.get()).projections or ())
        full = {"disk_full": self.engine.disk_full} if self.engine.disk_full else {}
        return JSONResponse({"ready": True, **full, **({"projections": views} if views else {})})


async def _not_served(request: Request, err: Exception) -> Response:
    """Answer what no path or no method is for as everything else: in JSON, with what there is."""
    assert isinstance(err, HTTPException)
    allowed = ", ".join(sorted((err.headers or {}).get("Allow", "").split(", ")))
    path = path_of(request)
    if err.status_code == 405:
        text = f"{path}: expected {allowed}, found {request.method}"
    else:
        text = f"there is no {path} here; the README lists what there is"
    answer = _error(err.status_code, text)
    answer.headers.update(err.headers or {})
    return answer


def _row(recorded: Recorded) -> dict[str, object]:
    return {**jsonable(recorded), "at": iso(recorded.at_us)}


def _listed(events: Iterable[Recorded]) -> bytes:
    # Row by row: while one is written nobody else in the process has a turn.
    rows = (_row(recorded) for recorded in events)
    said = (json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in rows)
    return f"[{','.join(said)}]".encode()


def _sent(events: Iterable[Recorded]) -> bytes:
    """Return events as a server sends them by itself."""
    rows = ((recorded.seq, json.dumps(_row(recorded))) for recorded in events)
    return "".join(f"id: {seq}\ndata: {row}\n\n" for seq, row in rows).encode()


def _sent_of(events: Iterable[Recorded], _: Log) -> bytes:
    return _sent(events)


def application(engine: Engine, *, access: Access, host: str) -> Starlette:
    """Return the HTTP interface of `engine`, which listens on `host`."""
    api = _Api(engine, access)
    return Starlette(
        routes=[
            Route("/api/status", api.status),
            Route("/api/events", api.events),
            Route("/api/route/{group}", api.route),
            Route("/api/commands/{name}", api.command, methods=["POST"]),
            Route("/api/acks", api.acks, methods=["POST"]),
            *api.looking.routes(),
            *Intake(engine).routes(),
            Route("/livez", api.alive),
            Route("/readyz", api.ready),
        ],
        middleware=[Middleware(Guard, host=host, access=access)],
        exception_handlers={HTTPException: _not_served},
    )
