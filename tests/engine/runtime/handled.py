"""A turning with hands, and masters that answer as a test says."""

import asyncio
import base64
import contextlib
import hashlib
import json
from collections.abc import AsyncIterator, Callable

import msgspec

from engine.core import events as ev
from engine.core.events import Recorded
from engine.core.fleet import Mode
from engine.core.policy import SECOND
from engine.log.memory import MemoryLog
from engine.runtime.failpoints import nothing
from engine.runtime.hands import EffectHands
from engine.runtime.loop import Turning
from engine.samples.master import state_digest
from tests.engine.real import (
    GROUP,
    At,
    configuration,
    policy_of,
    turning_on,
)
from tests.engine.runtime.peers import Handler, answer, request

HANG_US = 3_600 * SECOND  # longer than any test

Said = list[tuple[str, dict[str, object]]]


@contextlib.asynccontextmanager
async def hands_on(
    log: MemoryLog,
    addresses: dict[str, str],
    mode: Mode = Mode.ACTIVE_ACTIVE,
    *,
    deliver_timeout_us: int = HANG_US,
) -> AsyncIterator[tuple[At, EffectHands]]:
    """Turn with hands; active-active by default: whoever answers is given messages."""
    policy = policy_of(mode)
    messages = msgspec.structs.replace(policy.messages, deliver_timeout_us=deliver_timeout_us)
    policy = msgspec.structs.replace(policy, messages=messages)
    declared = configuration(addresses, policy=policy)
    async with turning_on(log, declared) as at:
        hands = EffectHands(at.turning, failpoint=nothing, on_switch=lambda: None)
        at.turning.start(hands)
        try:
            yield at, hands
        finally:
            await hands.close()


def done(key: str) -> Callable[[Recorded], bool]:
    return lambda recorded: recorded.event == ev.MessageDone(key=key)


async def accept(at: At, key: str, *, body: bytes = b"work") -> None:
    await take(at.turning, key, body=body)


async def take(turning: Turning, key: str, *, body: bytes = b"work") -> None:
    """Have a message in the log, whether or not anything would be delivered in its group."""
    digest = hashlib.sha256(body).digest()
    accepted = ev.MessageAccepted(key=key, lane=key, size=len(body), digest=digest)
    await turning.ask(accepted, subject=GROUP, bodies={digest: body})


def master(said: Said, reply: Callable[[str, dict[str, object], int], bytes]) -> Handler:
    """Serve requests, keep them in `said`, and answer the n-th (from 1) as `reply` says."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            line, body = await request(reader)
            path = line.split()[1]
            said.append((path, body))
            writer.write(reply(path, body, len(said)))

    return handler


def obliging(path: str, body: dict[str, object], _: int) -> bytes:
    """Answer as a master that does whatever it is told."""
    if path == "/control/transfer":
        state = body["state"]
        assert isinstance(state, dict)
        blobs = {key: base64.b64decode(text) for key, text in state.items()}
        return answer(json.dumps({"digest": state_digest(blobs)}))
    return answer()


def by_path(said: Said) -> list[str]:
    return [path for path, _ in said]
