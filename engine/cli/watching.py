"""A status that is drawn again and again, until somebody has seen enough."""

import contextlib
import select
import sys
import time
from collections.abc import Callable, Iterator
from typing import Final

from engine.cli import output
from engine.core.errors import LogError

EVERY_S: Final = 1.0
ENTER: Final = "\x1b[?1049h\x1b[?25l"  # another screen, no cursor
LEAVE: Final = "\x1b[?25h\x1b[?1049l"
HOME: Final = "\x1b[H\x1b[2J"


def watched(target: str, *, brief: bool, seconds: float | None) -> None:
    """Draw the status of `target` each second; q, Ctrl-C or the end of `seconds` ends it.

    On a terminal it has a screen of its own; anywhere else one drawing follows another.
    """
    is_screen = sys.stdout.isatty()
    ends_s = None if seconds is None else time.monotonic() + seconds  # noqa: TID251 - a terminal's
    draw = _brief if brief else _full
    with _screen(is_screen), _keys() as pressed, contextlib.suppress(KeyboardInterrupt):
        while True:
            _draw(draw, target, is_screen=is_screen)
            left_s = EVERY_S
            if ends_s is not None:
                left_s = min(left_s, ends_s - time.monotonic())  # noqa: TID251
            if left_s <= 0 or pressed(left_s) == "q":
                return


def _draw(draw: Callable[[str], None], target: str, *, is_screen: bool) -> None:
    if is_screen:
        sys.stdout.write(HOME)
    try:
        draw(target)
    except LogError as err:  # it may be back in a second
        output.text(f"{target}: {err}")
    if is_screen:
        output.text("q ends this")
    output.flush()


def _full(target: str) -> None:
    from engine.cli.showing import show_status
    from engine.cli.statuses import status_now

    show_status(status_now(target))


def _brief(target: str) -> None:
    from engine.answers.briefing import lines
    from engine.cli.statuses import brief_at

    output.text("\n".join(lines(brief_at(target, None))))


@contextlib.contextmanager
def _screen(is_screen: bool) -> Iterator[None]:
    if not is_screen:
        yield
        return
    sys.stdout.write(ENTER)
    try:
        yield
    finally:
        sys.stdout.write(LEAVE)
        sys.stdout.flush()


@contextlib.contextmanager
def _keys() -> Iterator[Callable[[float], str]]:
    """Give a function that waits so long for a key [s] and returns it; "": none was pressed."""
    if not sys.stdin.isatty():
        yield _no_key
        return
    import termios
    import tty

    file = sys.stdin.fileno()
    before = termios.tcgetattr(file)
    tty.setcbreak(file)

    def pressed(wait_s: float) -> str:
        ready, _, _ = select.select([file], [], [], wait_s)
        return sys.stdin.read(1) if ready else ""

    try:
        yield pressed
    finally:
        termios.tcsetattr(file, termios.TCSADRAIN, before)


def _no_key(wait_s: float) -> str:
    time.sleep(wait_s)
    return ""
