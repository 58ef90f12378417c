"""What can be asked of a running engine over HTTP about its log: the documents of the command line.

- `GET /api/NAME?…` for each of the questions (engine.answers.asked): why-not, diff, messages,
  weights, config, brief, alerts, position; their parameters are in the query. With a configuration
  in `text`, `config` is a POST of an object of the same texts.
- `GET /api/uptime`, `/api/incidents`, `/api/audit`: what the projections say (accounting.py).
- `GET /api/why` and `GET /api/why/WHAT`: the causal chain of an event, a failover, a subject.
- `/api/status?at=POSITION` is here too, and `?foresee=1`, what would happen if each master failed.

They are answered from the log, in a thread, one at a time: none of them may hold up a verdict.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from engine.answers.asked import QUESTIONS, Document
from engine.answers.folds import state_at
from engine.answers.foresight import with_foresight
from engine.config.loading import FILE_BYTES_MAX
from engine.core.errors import ConfigurationError, LogError
from engine.embed import Engine
from engine.log.protocol import Log
from engine.service.accounting import ACCOUNTS
from engine.service.intake import read
from engine.service.reasons import ask_why

_Question: TypeAlias = Callable[[Log, Mapping[str, str]], Document]


class Looking:
    """The handlers of one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine: Final = engine
        self._turns: Final = asyncio.Lock()

    def routes(self) -> list[Route]:
        """Return where they are found; the status has a handler of its own."""
        named = [
            Route(f"/api/{name}", self._handler(ask), methods=["GET"])
            for name, ask in {**QUESTIONS, **ACCOUNTS}.items()
            if name != "status"
        ]
        return [
            *named,
            Route("/api/config", self._config, methods=["POST"]),
            Route("/api/why", self._handler(ask_why)),
            Route("/api/why/{what}", self._handler(ask_why)),
        ]

    def _handler(self, ask: _Question) -> Callable[[Request], object]:
        async def answered(request: Request) -> Response:
            params = {**request.query_params, **request.path_params}
            return await self.answer(request, ask, params)

        return answered

    async def _config(self, request: Request) -> Response:
        try:
            body = json.loads(await read(request, FILE_BYTES_MAX))
            params = msgspec.convert(body, dict[str, str])
        except (ValueError, RecursionError) as err:  # what is no such object is a ValueError too
            return _error(400, str(err))
        return await self.answer(request, QUESTIONS["config"], params)

    async def status_at(self, request: Request, position: str) -> Response:
        """Answer with the status at a position."""
        return await self.answer(request, QUESTIONS["status"], {"at": position})

    async def foreseen(self, request: Request, found: Document) -> Document:
        """Return a status with what would happen if each master failed now."""
        return await self._look(request, lambda log: with_foresight(found, state_at(log)))

    async def answer(self, request: Request, ask: _Question, params: Mapping[str, str]) -> Response:
        """Answer a question, or say in one line why it has no answer."""
        try:
            found = await self._look(request, lambda log: ask(log, params))
        except ConfigurationError as err:
            return _error(400, str(err))
        except LogError as err:
            return _error(503, str(err))
        return Response(msgspec.json.encode(found), media_type="application/json")

    async def _look(self, request: Request, ask: Callable[[Log], Document]) -> Document:
        async with self._turns:
            # Whoever asks again and again without waiting must not keep up those who wait.
            if await request.is_disconnected():
                return {}
            return await self._engine.look(ask)


def _error(code: int, text: str) -> JSONResponse:
    return JSONResponse({"error": text}, status_code=code)
