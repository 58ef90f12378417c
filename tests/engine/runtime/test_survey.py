"""A first look at masters: real servers on loopback, and the preset that follows."""

import asyncio
import contextlib

import pytest

from engine.core.policy import preset
from engine.runtime.survey import Seen, fitting_preset, survey

ANSWER = b'HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\n{"role":"active"}'


def test_answers_roles_and_refusals_are_told_apart() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(ANSWER)
        writer.close()

    async def look() -> tuple[list[Seen], list[int]]:
        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        spent: list[int] = []
        try:
            seen = await survey(
                (f"http://127.0.0.1:{port}", "http://127.0.0.1:1"),
                preset("zone").probe,
                length_us=50_000,
                progress=spent.append,
            )
        finally:
            server.close()
            await server.wait_closed()
        return seen, spent

    (answering, refusing), spent = asyncio.run(look())
    assert answering.answered >= 1
    assert (answering.failed, answering.role) == (0, "active")
    assert refusing.answered == 0
    assert refusing.last_failure.startswith("refused")
    assert spent[-1] == 50_000


@pytest.mark.parametrize(
    ("slowest_us", "fitting"),
    [(0, "zone"), (300, "lan"), (25_000, "lan"), (25_001, "zone"), (125_000, "zone"),
     (125_001, "region"), (900_000, "region")],
)  # fmt: skip
def test_the_preset_is_the_fastest_with_a_margin(slowest_us: int, fitting: str) -> None:
    seen = Seen(
        address="http://127.0.0.1:1", answered=1, failed=0, median_us=slowest_us,
        slowest_us=slowest_us, role="", last_failure="",
    )  # fmt: skip
    assert fitting_preset([seen]) == fitting
