"""A small log that has some of everything: blocks, rows, bodies, a snapshot and a stored view."""

import functools
import hashlib
import tempfile
from pathlib import Path
from typing import Final

from engine.core.events import MessageAccepted, Recorded
from engine.log import open_log
from engine.log.keyring import Keyring
from engine.log.states import keep, state_at
from tests.engine.answers.stories import GROUP, failed_over
from tests.engine.log.events import SeenFold

BODIES: Final = (b"a body", b"another body")
SNAPSHOT: Final = 1_500  # seq
KEY: Final = bytes(range(32))


def digest_of(body: bytes) -> bytes:
    return hashlib.sha256(body).digest()


@functools.cache
def events() -> list[Recorded]:
    """Return two blocks and a little more, with messages that are not done at the end."""
    story = failed_over()
    while len(list(story.log.read())) < 2_020:
        story.probe(20)
    for body in BODIES:
        digest = digest_of(body)
        told = MessageAccepted(key=body.decode(), lane=GROUP, size=len(body), digest=digest)
        story.see(told, GROUP)
    found = list(story.log.read())
    assert 2_020 < len(found) < 2_200
    return found


@functools.cache
def in_a_file(key: bytes = b"") -> bytes:
    """Return the file of that log, with the bodies sealed if there is a key."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "log.db"
        keys = Keyring((key,)) if key else None
        with open_log(path, mode="write", create=True, release="1", keys=keys) as log:
            log.append(events(), bodies={digest_of(body): body for body in BODIES})
            assert log.seal(blocks_max=9) == 2
            keep(log, state_at(log, SNAPSHOT))
            log.attach(SeenFold())
            log.catch_up("seen")
        return path.read_bytes()
