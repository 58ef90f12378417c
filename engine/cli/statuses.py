"""Where a status comes from: the engine that runs the log, or the fold of the log."""

from collections.abc import Iterable
from typing import Any, Final

from engine.cli import output, places, remote
from engine.core.errors import ConfigurationError, LogError

ANSWER_S: Final = 5.0  # what an engine may take to answer; then the log itself is read [s]

Document = dict[str, Any]


def status_now(target: str) -> Document:
    """Return the newest status, with the `engine` that runs the log; null: none does.

    `failure` is why that engine cannot write its log just now, as it says; null if it can, or if
    it was not heard.

    Raises:
        LogError: The log cannot be used; or `target` is an engine, and it does not answer.
    """
    engine = places.running(target)
    if engine is None:
        return {**status_at(target), "failure": None, "engine": None}
    try:
        found = _asked(engine.url, places.token(target))
    except (LogError, ConfigurationError) as err:
        if places.is_address(target):
            raise
        output.note(f"process {engine.pid} has this log, and does not answer: {err}")
        found = status_at(target)
    return {"failure": None, **found, "engine": {"url": engine.url, "pid": engine.pid or None}}


def status_at(target: str, position: str | None = None) -> Document:
    """Return the status of a log at a position; None: at its end."""
    from engine.answers.folds import state_at
    from engine.answers.positions import resolve
    from engine.answers.proposals import in_log, with_proposals
    from engine.answers.status import status

    with places.open_for_reading(target) as opened:
        seq = None if position is None else resolve(opened, position)
        return with_proposals(status(state_at(opened, seq)), in_log(opened))


def _asked(url: str, token: str) -> Document:
    from engine.answers.proposals import with_proposals

    def read(_group: str, seq: int) -> Iterable[Document]:
        return remote.events(
            url, token=token, after=seq - 1
        )  # one page: it is soon after what it rests on

    return with_proposals(remote.status(url, token=token, limit_s=ANSWER_S), read)
