"""Where a status comes from: the engine that runs the log, or the fold of the log."""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from engine.cli import output, places, remote
from engine.core.errors import ConfigurationError, LogError

if TYPE_CHECKING:
    from engine.log.protocol import Log

ANSWER_S: Final = 5.0  # what an engine may take to answer; then the log itself is read [s]

Document = dict[str, Any]


def status_now(target: str) -> Document:
    """Return the newest status, with the `engine` that runs the log; null: none does.

    `failure` is why that engine cannot write its log just now, as it says; null if it can, or if
    it was not heard. `disk_full` says likewise how much is left of what it keeps for a full disk.
    `projections` says how far the stored views are, `log` how large the log is and for how many
    days there is room; null: not known just now.

    Raises:
        LogError: The log cannot be used; or `target` is an engine, and it does not answer.
    """
    engine = places.running(target)
    if engine is None:
        at_rest = {"paused_by_file": _file_beside(target), "failure": None, "disk_full": None}
        return {**_of_log(target), **at_rest, "engine": None}
    try:
        found = _heard(target, engine.url)
    except (LogError, ConfigurationError) as err:
        if places.is_address(target):
            raise
        output.note(f"process {engine.pid} has this log: {err}")
        found = {**_of_log(target), "paused_by_file": _file_beside(target)}
    not_heard = {"failure": None, "disk_full": None}
    return {**not_heard, **found, "engine": {"url": engine.url, "pid": engine.pid or None}}


def _file_beside(target: str) -> str | None:
    """Return what the file says that pauses whatever engine runs the log; None: there is none."""
    from engine.runtime.pausing import PauseFile

    return PauseFile.beside(target).look()


def _of_log(target: str) -> Document:
    """Return the status at the end of a log, how far its stored views are, how large it is.

    A part of a log has no views that anybody would fold on: no engine writes it.
    """
    from engine.answers.asked import ask
    from engine.answers.room import room
    from engine.answers.views import lags
    from engine.log.excerpt import excerpt_of
    from projections.kept import KEPT

    with places.open_for_reading(target) as opened:
        for projection in KEPT:
            opened.attach(projection)
        return {
            **ask(opened, "status", {}),
            "projections": lags(opened) if excerpt_of(opened) is None else [],
            "log": room(opened, opened.path, grows=False),
        }


def status_at(target: str, position: str) -> Document:
    """Return the status at a position of a log, or of that of a running engine."""
    return asked(target, "status", at=position)


def brief_at(target: str, position: str | None) -> Document:
    """Return the status in brief, at a position or now."""
    return asked(target, "brief", at=position)


def asked(target: str, name: str, **params: str | None) -> Document:
    """Return the answer to a question, of a log or of a running engine.

    Args:
        target: The log, or the address of an engine.
        name: Which question: of engine.answers.asked or engine.service.accounting.
        params: Its parameters; None: it is not there.

    Raises:
        ConfigurationError: A parameter names nothing that there is.
        LogError: The log cannot be used, or the engine does not answer.
    """
    given = {key: value for key, value in params.items() if value is not None}
    if places.is_address(target):
        return remote.ask(target.rstrip("/"), name, given, token=places.token(target))
    with places.open_for_reading(target) as opened:
        return _question(name)(opened, given)


def _question(name: str) -> "Callable[[Log, Mapping[str, str]], Document]":
    from engine.answers.asked import QUESTIONS

    if name in QUESTIONS:
        return QUESTIONS[name]
    from engine.service.accounting import ACCOUNTS  # the projections, which take time to load

    return ACCOUNTS[name]


def _heard(target: str, url: str) -> Document:
    """Return what an engine says, with what would happen if each master failed.

    That is read from its log where there is one at hand, which costs the engine nothing.
    """
    from engine.answers.folds import state_at
    from engine.answers.foresight import with_foresight

    token, is_far = places.token(target), places.is_address(target)
    found = _said(url, token, foresee=is_far)
    if is_far:
        return found
    try:
        with places.open_for_reading(target) as opened:
            return with_foresight(found, state_at(opened))
    except LogError as err:
        output.note(f"what would happen cannot be told: {err}")
        return found


def _said(url: str, token: str, *, foresee: bool) -> Document:
    from engine.answers.proposals import with_proposals

    def read(_group: str, seq: int) -> Iterable[Document]:
        return remote.events(
            url, token=token, after=seq - 1
        )  # one page: it is soon after what it rests on

    found = remote.status(url, token=token, limit_s=ANSWER_S, foresee=foresee)
    return with_proposals(found, read)
