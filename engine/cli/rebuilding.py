"""Keep: the stored views, folded anew.

Views are written by the process that writes the log: where an engine runs, it does the work and is
only asked for it; a log at rest is opened for writing here.
"""

import threading
from collections.abc import Iterator
from typing import Annotated, Any, Final

import msgspec
from cyclopts import Parameter

from engine.cli import output, places, remote
from engine.cli.options import Json, LogOption
from engine.core.errors import CommandRefused, ConfigurationError, LogError, LogLocked

NO = 1
LOOK_S: Final = 0.5  # between two questions how far the engine has come


class Rebuilt(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one view."""

    name: str
    position: int | None  # [seq]; null: it was not done
    says: str  # why not


def rebuild(
    *words: Annotated[
        str,
        Parameter(
            name="VIEW",
            help="Which ones: audit, uptime, weights; none named: all. The first word may be the "
            "log.",
        ),
    ],
    retry: Annotated[
        bool,
        Parameter(
            negative="",
            show_default=False,
            help="Only fold on, beginning with the event that a view is parked before.",
        ),
    ] = False,
    log: LogOption = None,
    json: Json = False,
) -> int:
    """Fold the stored views anew, or try a parked one again.

    A view is what questions begin with: a cache, kept beside the log. It is folded from the first
    event on, beside the one that is there, and takes its place at the end. What was interrupted is
    gone on with. A running engine does it itself, and goes on deciding meanwhile. Exit 1 if a view
    cannot be folded to the end.

    Example: tanist rebuild uptime --log tanist.db
    """
    from projections.kept import KEPT

    known = [projection.name for projection in KEPT]
    target, names = places.split(words, log, most=len(known))
    for name in names:
        if name not in known:
            raise ConfigurationError([f"expected a view ({', '.join(known)}), found {name!r}"])
    wanted = [name for name in known if name in names or not names]
    engine = places.running(target)
    if engine is None:
        found = list(_at_rest(target, wanted, retry=retry))
    else:
        token = places.token(target)
        found = [_by_engine(engine.url, token, name, retry=retry) for name in wanted]
    is_done = all(view.position is not None for view in found)
    if json:
        output.document(
            {"ok": is_done, "engine": None if engine is None else engine.url, "views": found}
        )
    else:
        for view in found:
            output.text(_said(view, retry=retry))
    return 0 if is_done else NO


def _said(view: Rebuilt, *, retry: bool) -> str:
    if view.position is None:
        return f"{view.name}: {view.says}"
    return f"{view.name}: folded {'on' if retry else 'anew'}, up to event {view.position:,}"


def _at_rest(target: str, names: list[str], *, retry: bool) -> Iterator[Rebuilt]:
    from engine.log import open_log
    from engine.log.protocol import ViewParked
    from engine.log.views import CATCH_UP_EVENTS
    from projections.kept import KEPT

    try:
        opened = open_log(target, mode="write")
    except LogLocked as err:
        said = "which keeps its views: stop it, or call Engine.rebuild in it"
        raise CommandRefused([f"{err}, {said}"]) from err
    with opened:
        for projection in KEPT:
            opened.attach(projection)
        for projection in KEPT:
            name = projection.name
            if name not in names:
                continue
            try:
                with output.progress(name) as report:
                    if not retry:
                        position = opened.rebuild(projection, report)
                    else:
                        opened.retry(name)
                        while opened.catch_up(name) == CATCH_UP_EVENTS:
                            pass
                        position = opened.head.seq
            except ViewParked as err:
                yield Rebuilt(name=name, position=None, says=str(err))
            else:
                yield Rebuilt(name=name, position=position, says="")


def _by_engine(url: str, token: str, name: str, *, retry: bool) -> Rebuilt:
    """Ask the engine for it, and show meanwhile how far it has come."""
    done: list[dict[str, Any]] = []
    failed: list[Exception] = []

    def ask() -> None:
        body = {"view": name, "retry": retry}
        try:
            done.append(remote.command(url, "rebuild", body, token=token, wait=True))
        except Exception as err:  # whoever waits for this thread raises it
            failed.append(err)

    asking = threading.Thread(target=ask, name="rebuild", daemon=True)
    asking.start()
    with output.progress(name) as report:
        while asking.is_alive():
            asking.join(LOOK_S)
            if asking.is_alive():
                _look(url, token, name, report)
    if not failed:
        return Rebuilt(name=name, position=done[0]["seq"], says="")
    if isinstance(failed[0], CommandRefused):
        return Rebuilt(name=name, position=None, says=str(failed[0]))
    raise failed[0]


def _look(url: str, token: str, name: str, report: output.Report) -> None:
    try:
        found = remote.status(url, token=token)
    except LogError:
        return  # the answer that is waited for says what is wrong
    for view in found.get("projections") or ():
        if view["name"] == name:
            report(view["rebuild_position"] or view["position"], found["seq"])
