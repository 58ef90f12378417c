"""The HTTP interface of an engine that runs in the test itself."""

import contextlib
import json
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import aiohttp

from engine.embed import Engine
from engine.service.access import Caller
from engine.service.running import served


class Api:
    """A running engine, asked over HTTP."""

    def __init__(self, engine: Engine, url: str, token: str, http: aiohttp.ClientSession) -> None:
        self.engine = engine
        self.url = url
        self.token = token
        self.http = http

    async def get(self, path: str, **headers: str) -> tuple[int, object]:
        """Return the status and the JSON document; without a token unless `headers` has one."""
        async with self.http.get(f"{self.url}{path}", headers=headers) as answer:
            return answer.status, await answer.json()

    async def post(
        self, path: str, body: object, raw: bytes | None = None, /, **headers: str
    ) -> tuple[int, object]:
        """Return the status and the JSON document; with the token unless `headers` has another."""
        data = json.dumps(body).encode() if raw is None else raw
        whole = {"Authorization": f"Bearer {self.token}", **headers}
        async with self.http.post(f"{self.url}{path}", data=data, headers=whole) as answer:
            return answer.status, await answer.json()


@contextlib.asynccontextmanager
async def api_on(
    engine: Engine, directory: Path, *, named: Iterable[Caller] = ()
) -> AsyncIterator[Api]:
    """Serve `engine`, whose log is in `directory`, to those who have tokens of their own, too."""
    async with served(engine, directory / "t.db", "127.0.0.1:0", named=named) as url:
        token = (directory / "tanist.token").read_text().strip()
        async with aiohttp.ClientSession() as http:
            yield Api(engine, url, token, http)
