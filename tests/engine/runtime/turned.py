"""What the tests of the turning share."""

import hashlib

from engine.core import events as ev
from engine.core.policy import SECOND
from tests.engine.real import (
    GROUP,
    At,
    configuration,
)

DECLARED = configuration({"a": "http://127.0.0.1:1", "b": "http://127.0.0.1:2"})


def message(key: str) -> tuple[ev.MessageAccepted, dict[bytes, bytes]]:
    body = key.encode()
    digest = hashlib.sha256(body).digest()
    accepted = ev.MessageAccepted(key=key, lane=GROUP, size=len(body), digest=digest)
    return accepted, {digest: body}


async def accept(at: At, key: str) -> int:
    event, bodies = message(key)
    return (await at.turning.ask(event, subject=GROUP, bodies=bodies)).seq


def failing(at: At) -> str:
    return str(at.turning.failure or "")


def marked(name: str) -> ev.CheckpointMarked:
    return ev.CheckpointMarked(name=name, author="ann")


class NoHands:
    """Carries nothing out: what is owed stays owed."""

    def start(self, effect: object) -> None:
        pass

    def deliver(self, deliver: object) -> None:
        pass


class Jumping:
    """Clocks that a test moves on."""

    def __init__(self) -> None:
        self.us = 1_000 * SECOND

    def __call__(self) -> int:
        return self.us
