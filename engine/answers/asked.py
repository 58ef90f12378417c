"""Questions as they are asked: by a name and parameters that are texts, of a log.

The command line asks them of a log, the service of the log that it writes: the same question has
the same answer, a document of JSON, wherever it is asked.

Example:
    ask(log, "why-not", {"master": "cache-b", "at": "before-upgrade"})
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from engine.answers.alerting import history
from engine.answers.between import diff
from engine.answers.briefing import brief
from engine.answers.folds import state_at
from engine.answers.foresight import with_foresight
from engine.answers.inforce import in_force
from engine.answers.passing import why_not
from engine.answers.positions import bounds, resolve
from engine.answers.proposals import in_log, with_proposals
from engine.answers.sharing import messages, shares
from engine.answers.status import status
from engine.config.loading import parse
from engine.core.errors import ConfigurationError
from engine.core.state import State
from engine.log.protocol import Log

Document: TypeAlias = dict[str, Any]
Params: TypeAlias = Mapping[str, str]


def ask(log: Log, name: str, params: Params) -> Document:
    """Return the answer to the question `name`.

    Raises:
        ConfigurationError: A parameter names nothing that there is, or one is missing.
        LogError: The log cannot be read.
    """
    return QUESTIONS[name](log, params)


def _state(log: Log, position: str | None) -> State:
    """Return the state of a log at a position; None: its end."""
    return state_at(log, None if position is None else resolve(log, position))


def _needed(params: Params, name: str) -> str:
    if not params.get(name):
        raise ConfigurationError((f"{name}: expected a value, found none",))
    return params[name]


def _why_not(log: Log, params: Params) -> Document:
    master = _needed(params, "master")
    return why_not(log, _state(log, params.get("at")), master)


def _diff(log: Log, params: Params) -> Document:
    before = _state(log, _needed(params, "from"))
    return diff(log, before, _state(log, params.get("to")))


def _messages(log: Log, params: Params) -> Document:
    state = _state(log, params.get("at"))
    return messages(log, state, group=params.get("group"), key=params.get("key"))


def _weights(log: Log, params: Params) -> Document:
    return shares(_state(log, params.get("at")))


def _config(log: Log, params: Params) -> Document:
    """Return what is in force, beside the file whose `text` is given, if it is."""
    text = params.get("text")
    source = params.get("source", "the file")
    file = None if text is None else parse(text, source=source, masters_needed=False)
    return in_force(log, _state(log, params.get("at")), file)


def _brief(log: Log, params: Params) -> Document:
    return brief(log, _state(log, params.get("at")))


def _status(log: Log, params: Params) -> Document:
    state = _state(log, params.get("at"))
    return with_foresight(with_proposals(status(state), in_log(log)), state)


def _position(log: Log, params: Params) -> Document:
    """Return where a position is, for whoever goes through the events by their seq."""
    first, last = bounds(log, _needed(params, "at"))
    return {"first": first, "last": last}


def _alerts(log: Log, _: Params) -> Document:
    return {"alerts": list(history(log))}


QUESTIONS: Final[dict[str, Callable[[Log, Params], Document]]] = {
    "why-not": _why_not,
    "diff": _diff,
    "messages": _messages,
    "weights": _weights,
    "config": _config,
    "brief": _brief,
    "status": _status,
    "alerts": _alerts,
    "position": _position,
}
