"""One long statement of the database, which Ctrl-C ends and which says how far it is."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, Final

from engine.log.library import sound_library

STEPS: Final = 200_000  # of SQLite's machine between two looks; some milliseconds
_INTERRUPT: Final = 9  # primary result code of SQLite


@contextlib.contextmanager
def interruptible(raw: Any, look: Callable[[], None]) -> Iterator[None]:
    """Call `look` now and then while a statement runs on `raw`, a connection of the driver.

    Raises:
        KeyboardInterrupt: It came while the statement ran, which was undone.
    """

    def tick() -> int:
        look()
        return 0

    # What is raised in there, the driver makes an end of the statement, and nothing more.
    raw.set_progress_handler(tick, STEPS)
    try:
        yield
    except sound_library().module.Error as err:
        if int(getattr(err, "sqlite_errorcode", None) or 0) & 0xFF == _INTERRUPT:
            raise KeyboardInterrupt from err
        raise
    finally:
        raw.set_progress_handler(None, 0)
