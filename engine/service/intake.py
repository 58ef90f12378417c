"""What masters and other observers tell the engine over HTTP, each with a token.

- `POST /api/beat/MASTER`: a master that cannot be reached says how it is; the body is its health
  document, or nothing. The answer says what it may do: its role and epoch.
- `POST /api/load`: {"master", "load", "freshness"}, as in the health document.
- `POST /api/observations`: {"observer", "session", "hello", "observations"}, as runtime.hearing has
  them.
"""

from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from engine.core.errors import CommandRefused, LogError
from engine.embed import Engine
from engine.runtime.hearing import Batch

BEAT_BYTES_MAX: Final = 65_536
BATCH_BYTES_MAX: Final = 524_288

_Take: TypeAlias = Callable[[Request], Awaitable[Response]]

_BATCH: Final = msgspec.json.Decoder(Batch)


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """What a master says of its load."""

    master: str
    load: object = None
    freshness: object = None


_LOAD: Final = msgspec.json.Decoder(Load)


async def read(request: Request, most: int) -> bytes:
    """Return the body of a request.

    Raises:
        ValueError: It is longer than `most` bytes.
    """
    data = b""
    async for chunk in request.stream():
        data += chunk
        if len(data) > most:
            raise ValueError(f"expected at most {most} bytes")
    return data


class Intake:
    """The handlers of one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine: Final = engine

    def routes(self) -> list[Route]:
        """Return where they are found."""
        return [
            Route("/api/beat/{master}", self._beat, methods=["POST"]),
            Route("/api/load", self._load, methods=["POST"]),
            Route("/api/observations", self._observations, methods=["POST"]),
        ]

    async def _beat(self, request: Request) -> Response:
        return await self._answered(request, self._take_beat)

    async def _take_beat(self, request: Request) -> Response:
        name = request.path_params["master"]
        self._engine.hearing.beat(name, await read(request, BEAT_BYTES_MAX))
        durable = self._engine.state.cache.places.get(name)
        role = durable.master.role.value if durable else ""
        return JSONResponse({"role": role, "epoch": durable.master.epoch if durable else 0})

    async def _load(self, request: Request) -> Response:
        return await self._answered(request, self._take_load)

    async def _take_load(self, request: Request) -> Response:
        said = _LOAD.decode(await read(request, BEAT_BYTES_MAX))
        recorded = self._engine.hearing.report(
            said.master, load=said.load, freshness=said.freshness
        )
        return JSONResponse({"recorded": recorded})

    async def _observations(self, request: Request) -> Response:
        return await self._answered(request, self._take_observations)

    async def _take_observations(self, request: Request) -> Response:
        batch = _BATCH.decode(await read(request, BATCH_BYTES_MAX))
        told = await self._engine.hearing.observe(batch)
        return JSONResponse(msgspec.to_builtins(told))

    async def _answered(self, request: Request, take: _Take) -> Response:
        if self._engine.failure:
            return _error(503, self._engine.failure)
        try:
            return await take(request)
        except CommandRefused as err:
            return JSONResponse({"reasons": list(err.reasons)}, status_code=409)
        except (ValueError, RecursionError) as err:  # what is no such JSON is a ValueError too
            return _error(400, str(err))
        except LogError as err:
            return _error(503, str(err))


def _error(code: int, text: str) -> JSONResponse:
    return JSONResponse({"error": text}, status_code=code)
