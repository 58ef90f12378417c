"""A link to a master, asked and closed: what the tests of probing share."""

import contextlib
from collections.abc import AsyncIterator

from engine.core.events import Evidence
from engine.runtime.connection import Place
from engine.runtime.dialects import Http
from engine.runtime.http1 import Response
from engine.runtime.probing import HeldLink
from engine.runtime.seen import Answer, Failure, Link, OnClosed, Probed
from tests.engine.runtime.peers import LONG_US, Ends

HEALTH = '{"status":"ok","boot":"b1","epoch":5,"role":"active","load":{"active":1}}'


def http_link(
    address: str, on_closed: OnClosed, *, path: str = "/health", hold_open: bool = True
) -> HeldLink[Response]:
    place = Place(address)
    return HeldLink(place, Http(path, host=place.host), on_closed, hold_open=hold_open)


@contextlib.asynccontextmanager
async def link_to(
    address: str, *, hold_open: bool = True
) -> AsyncIterator[tuple[HeldLink[Response], Ends]]:
    ends = Ends()
    link = http_link(address, ends, hold_open=hold_open)
    try:
        yield link, ends
    finally:
        await link.close()


async def ask(link: Link, *, fresh: bool = False, timeout_us: int = LONG_US) -> Probed:
    return await link.probe(fresh=fresh, timeout_us=timeout_us)


def evidence_of(probed: Probed) -> Evidence:
    assert isinstance(probed, Failure), probed
    return probed.evidence


async def boot_of(link: Link, *, fresh: bool = False) -> str:
    probed = await ask(link, fresh=fresh)
    assert isinstance(probed, Answer), probed
    return probed.boot
