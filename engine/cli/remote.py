"""A running engine, asked over HTTP with nothing but the standard library."""

import socket
import urllib.error
import urllib.request
from collections.abc import Mapping
from http.client import HTTPException
from typing import Any, Final, cast
from urllib.parse import urlencode, urlsplit

import msgspec

from engine.core.errors import CommandRefused, ConfigurationError, LogError

ANSWER_S: Final = 30.0  # for an answer
WAIT_S: Final = 600.0  # for the end of a failover that is waited for

Document = dict[str, Any]


def status(url: str, *, token: str, limit_s: float = ANSWER_S, foresee: bool = False) -> Document:
    """Return the status of the engine at `url`, which may take `limit_s` to answer [s].

    Looking needs the token where the engine listens beyond loopback. With `foresee` it says what
    would happen if each master failed now.
    """
    query = "?foresee=1" if foresee else ""
    return cast("Document", _ask(_look(f"{url}/api/status{query}", token), limit_s=limit_s))


def ask(url: str, name: str, params: Mapping[str, str], *, token: str) -> Document:
    """Return what the engine at `url` answers to a question (engine.answers.asked).

    Raises:
        ConfigurationError: It has no answer, and says why.
        LogError: It does not answer, or cannot read its log.
    """
    if "text" in params:  # a file is no part of an address
        request = _look(f"{url}/api/{name}", token)
        request.data = msgspec.json.encode(params)
    else:
        request = _look(f"{url}/api/{name}?{urlencode(params)}", token)
    return cast("Document", _ask(request))


def events(url: str, *, token: str, after: int) -> list[Document]:
    """Return the next events of the engine at `url`; none if it has none after that seq."""
    return cast("list[Document]", _ask(_look(f"{url}/api/events?after={after}", token)))


def _look(url: str, token: str) -> urllib.request.Request:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return urllib.request.Request(url, headers=headers)  # noqa: S310 - as below


def command(url: str, name: str, body: Document, *, token: str, wait: bool = False) -> Document:
    """Give a command to the engine at `url`, and return its answer, which carries the seq.

    Raises:
        CommandRefused: The engine refused it, with every reason.
        ConfigurationError: The engine did not understand it, or does not know the token.
        LogError: The engine does not answer, or cannot write its log.
    """
    request = urllib.request.Request(  # noqa: S310 - the caller has checked the scheme
        f"{url}/api/commands/{name}",
        data=msgspec.json.encode(body),
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        method="POST",
    )
    return cast("Document", _ask(request, limit_s=WAIT_S if wait else ANSWER_S))


def _ask(request: urllib.request.Request, *, limit_s: float = ANSWER_S) -> object:
    url = _base(request.full_url)
    # A proxy of the environment has no business between two processes of one operator.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=limit_s) as answer:
            said = answer.read()
    except urllib.error.HTTPError as err:
        raise _refused(url, err) from err
    except (OSError, HTTPException) as err:
        reason = getattr(err, "reason", err)
        said_why = _why_silent(reason if isinstance(reason, Exception) else err, limit_s)
        raise LogError(f"the engine at {url} does not answer: {said_why}") from err
    try:
        return msgspec.json.decode(said)
    except (msgspec.DecodeError, UnicodeDecodeError) as err:
        raise LogError(f"what answers at {url} is no engine of Tanist") from err


def _base(url: str) -> str:
    """Return the address of the engine that `url` belongs to.

    Raises:
        ConfigurationError: It is none.
    """
    base = url.partition("/api/")[0]
    try:
        parts = urlsplit(base)
        is_one = bool(parts.hostname) and parts.port != 0  # which refuses what is no port
    except ValueError:
        is_one = False
    if not is_one:
        raise ConfigurationError([f"expected http://HOST:PORT, found {base!r}"])
    return base


def _why_silent(err: Exception, limit_s: float) -> str:
    """Return why there was no answer, and what would help."""
    match err:
        case ConnectionRefusedError():
            return (
                "connection refused, so no tanist run listens there; a log is asked by the name "
                "of its file, whether an engine runs or not"
            )
        case TimeoutError():
            return f"nothing came within {limit_s:g} s"
        case socket.gaierror():
            return "its host is not known"
        case HTTPException():
            return "what listens there speaks no HTTP"
        case OSError() if err.strerror:
            return err.strerror.lower()
    return str(err)


def _refused(url: str, err: urllib.error.HTTPError) -> Exception:
    """Return what an answer that says no means."""
    try:
        said = msgspec.json.decode(err.read())
    except (OSError, HTTPException, msgspec.DecodeError, UnicodeDecodeError):
        said = None
    fields = said if isinstance(said, dict) else {}
    if err.code == 409 and fields.get("reasons"):
        return CommandRefused([str(reason) for reason in fields["reasons"]])
    text = f"the engine at {url} says {err.code}: {fields.get('error') or err.reason}"
    if err.code == 401:
        text += " (in $TANIST_TOKEN)"
    return LogError(text) if err.code >= 500 else ConfigurationError([text])
