"""Steps over TLS: who cannot show who it is gets nothing."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from engine.core.errors import ConfigurationError
from engine.core.events import Result
from engine.core.fleet import Mode
from engine.core.policy import SECOND, GroupPolicy, preset
from engine.runtime.carriers.access import access_of
from engine.runtime.carriers.asked import Asked, Carried
from engine.runtime.carriers.http import HttpCarrier
from tests.engine.runtime.certificates import certificate, serving
from tests.engine.runtime.peers import answer, says, server


def policy(**probe: object) -> GroupPolicy:
    base = preset("lan", mode=Mode.ACTIVE_STANDBY)
    settings = msgspec.structs.replace(base.probe, kind="https", **probe)
    return msgspec.structs.replace(base, probe=settings)


async def carried(address: str, group: GroupPolicy, source: str) -> Carried:
    carrier = HttpCarrier(lambda name: access_of(group, group=name, source=source))
    asked = Asked(
        step="promote",
        group="g",
        mode="active-standby",
        master="a",
        address=address,
        failover=1,
        epoch=2,
        timeout_us=SECOND // 2,
    )
    try:
        return await carrier.carry(asked)
    finally:
        await carrier.close()


def test_a_step_goes_to_who_shows_a_certificate_that_is_trusted(tmp_path: Path) -> None:
    async def body() -> None:
        file = certificate(tmp_path)
        source = str(tmp_path / "tanist.toml")
        async with server(says(answer("{}")), scheme="https", tls=serving(file)) as address:
            trusted = await carried(address, policy(ca=file.name), source)
            assert trusted.result is Result.OK
            assert (await carried(address, policy(verify=False), source)).result is Result.OK
            stranger = await carried(address, policy(), source)
            assert stranger.result is Result.FAILED  # nothing was sent
            assert stranger.detail.startswith("tls: ")
            with pytest.raises(ConfigurationError, match=r"g\.probe\.ca: expected a file of cert"):
                await carried(address, policy(ca="none.pem"), source)

    asyncio.run(body())
