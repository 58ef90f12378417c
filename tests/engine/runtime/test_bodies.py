import asyncio
import hashlib

from engine.core.owed import Deliver
from engine.log.memory import MemoryLog
from engine.runtime.bodies import Bodies

IN_LOG = b"in the log"


def message(key: str, body: bytes) -> Deliver:
    digest = hashlib.sha256(body).digest()
    return Deliver(group="g", master="a", epoch=1, seq=1, key=key, lane="l", digest=digest)


def log() -> MemoryLog:
    made = MemoryLog()
    made.append([], bodies={hashlib.sha256(IN_LOG).digest(): IN_LOG})
    return made


def test_a_body_at_hand_is_not_read_from_the_log() -> None:
    async def main() -> None:
        bodies = Bodies(MemoryLog())
        bodies.hold("g", "k", b"work")
        assert await bodies.of(message("k", b"work")) == b"work"
        assert await bodies.of(message("l", b"work")) is None  # another's, and the log has none

    asyncio.run(main())


def test_a_body_that_was_dropped_is_read_from_the_log() -> None:
    async def main() -> None:
        bodies = Bodies(log())
        bodies.hold("g", "k", IN_LOG)
        bodies.drop("g", "k")
        bodies.drop("g", "k")
        assert bodies.held_bytes == 0
        assert await bodies.of(message("k", IN_LOG)) == IN_LOG

    asyncio.run(main())


def test_no_more_is_held_than_there_is_room_for() -> None:
    bodies = Bodies(MemoryLog(), held_bytes_max=10)
    bodies.hold("g", "k", b"12345678")
    bodies.hold("g", "l", b"123")
    assert bodies.held_bytes == 8
    bodies.hold("g", "m", b"12")
    assert bodies.held_bytes == 10
    bodies.drop("g", "k")
    bodies.hold("g", "l", b"123")
    assert bodies.held_bytes == 5


def test_a_body_is_counted_once() -> None:
    bodies = Bodies(MemoryLog())
    for _ in range(3):
        bodies.hold("g", "k", b"12345678")
    assert bodies.held_bytes == 8
