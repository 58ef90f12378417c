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


def digest_of(blob: bytes) -> bytes:
    return hashlib.sha256(blob).digest()


def test_kept_state_is_at_hand_from_the_acknowledgement_it_came_with() -> None:
    async def main() -> None:
        bodies = Bodies(MemoryLog())
        bodies.keep("g", "k", digest_of(b"old"), b"old")
        bodies.keep("g", "k", digest_of(b"new"), b"new")
        assert await bodies.kept("g", {"k": digest_of(b"new")}) == {"k": b"new"}
        # What is at hand is another one than the log says is kept, another group's, or none.
        assert await bodies.kept("g", {"k": digest_of(b"old")}) == {"k": None}
        assert await bodies.kept("h", {"k": digest_of(b"new")}) == {"k": None}
        bodies.keep("g", "k", digest_of(b""), None)
        assert await bodies.kept("g", {"k": digest_of(b"new")}) == {"k": None}

    asyncio.run(main())


def test_kept_state_that_is_not_at_hand_is_read_from_the_log() -> None:
    async def main() -> None:
        bodies = Bodies(log(), kept_bytes_max=8)
        bodies.keep("g", "small", digest_of(b"12345678"), b"12345678")
        bodies.keep("g", "large", digest_of(IN_LOG), IN_LOG)
        wanted = {"small": digest_of(b"12345678"), "large": digest_of(IN_LOG)}
        assert await bodies.kept("g", wanted) == {"small": b"12345678", "large": IN_LOG}
        bodies.keep("g", "small", digest_of(b"1"), b"1")
        bodies.keep("g", "other", digest_of(b"1234567"), b"1234567")  # its room is there again
        wanted = {"small": digest_of(b"1"), "other": digest_of(b"1234567")}
        assert await bodies.kept("g", wanted) == {"small": b"1", "other": b"1234567"}

    asyncio.run(main())
