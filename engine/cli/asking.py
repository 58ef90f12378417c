"""Look: why a master was not chosen, what changed, where messages are, shares, what is in force."""

from pathlib import Path
from typing import Annotated, TypeAlias

from cyclopts import Parameter

from engine.cli import output, places
from engine.cli.options import Json, LogOption, Place, Word
from engine.core.errors import ConfigurationError

At: TypeAlias = Annotated[
    str | None,
    Parameter(help="A position: a seq, a time with its zone or the name of a checkpoint."),
]


def why_not(
    first: Word = None,
    second: Annotated[str | None, Parameter(name="MASTER", help="The master.")] = None,
    /,
    *,
    at: At = None,
    log: LogOption = None,
    json: Json = False,
) -> None:
    """Why a master was not chosen, or would not be chosen now.

    Every rule that it fails, with the figures; if it fails none, its rank, who is ahead of it, and
    by which key. And what the table of the last choice of its group said of it, as it was decided.

    Example: tanist why-not cache-b --at 2026-01-31T12:00:00Z
    """
    from engine.cli.explaining import show_why_not
    from engine.cli.statuses import asked

    target, words = places.split((first, second), log, most=1)
    if not words:
        raise ConfigurationError(["expected a master, as in: tanist why-not cache-b"])
    found = asked(target, "why-not", master=words[0], at=at)
    if json:
        output.document(found)
    else:
        show_why_not(found)


def diff(
    first: Word = None,
    second: Annotated[str | None, Parameter(name="A", help="A position.")] = None,
    third: Annotated[str | None, Parameter(name="B", help="A later one; left out: now.")] = None,
    /,
    *,
    log: LogOption = None,
    json: Json = False,
) -> None:
    """What is different between two positions.

    Policy, strategy, roles, health, epochs, weights, queues and marks, before and after, and how
    many decisions of each kind were made between them. A position is a seq, a time with its zone or
    a checkpoint; the second one left out, the end of the log.

    Example: tanist diff before-upgrade 2026-01-31T12:00:00Z
    """
    from engine.cli.explaining import show_diff
    from engine.cli.statuses import asked

    target, words = places.split((first, second, third), log, most=2)
    if not words:
        raise ConfigurationError(["expected a position or two, as in: tanist diff 120 240"])
    later = {"to": words[1]} if words[1:] else {}
    found = asked(target, "diff", **{"from": words[0], **later})
    if json:
        output.document(found)
    else:
        show_diff(found)


def messages(
    place: Place = None,
    /,
    *,
    group: Annotated[str | None, Parameter(help="Only those of this group.")] = None,
    key: Annotated[str | None, Parameter(help="Only the message of this key.")] = None,
    at: At = None,
    log: LogOption = None,
    json: Json = False,
) -> None:
    """Where each message is.

    In the queue, assigned to a master, or under way to it (the oldest of its lane), with its place
    in its lane and its age. What is done is counted, and named with --key as long as it is
    remembered.

    Example: tanist messages tanist.db --group bots
    """
    from engine.cli.explaining import show_messages
    from engine.cli.statuses import asked

    target, _ = places.split((place,), log, most=0)
    found = asked(target, "messages", group=group, key=key, at=at)
    if json:
        output.document(found)
    else:
        show_messages(found)


def weights(
    place: Place = None, /, *, at: At = None, log: LogOption = None, json: Json = False
) -> None:
    """Who gets which share of the work, with the arithmetic.

    The base weight, the weight in force and the share of each master by the strategy in force, and
    why some get nothing.

    Example: tanist weights tanist.db
    """
    from engine.cli.explaining import show_shares
    from engine.cli.statuses import asked

    target, _ = places.split((place,), log, most=0)
    found = asked(target, "weights", at=at)
    if json:
        output.document(found)
    else:
        show_shares(found)


def config(
    place: Place = None,
    /,
    *,
    file: Annotated[
        Path | None,
        Parameter(help="The file to compare with; left out: ./tanist.toml, if it is there."),
    ] = None,
    at: At = None,
    log: LogOption = None,
    json: Json = False,
) -> None:
    """What is in force, where it came from, and what the file says otherwise.

    Every setting of each group: from its preset, from the file that was adopted, or from a command
    since. A running engine adopts a changed file at its next start, or with `apply`.

    Example: tanist config tanist.db --file tanist.toml
    """
    from engine.cli.explaining import show_config
    from engine.cli.statuses import asked
    from engine.config import load

    target, _ = places.split((place,), log, most=0)
    beside = Path(places.CONFIGURATION)
    path = file or (beside if beside.is_file() else None)
    given: dict[str, str] = {}
    if path is not None:
        load(path, masters_needed=False)  # what is wrong with it is said here
        given = {"text": path.read_text(encoding="utf-8-sig"), "source": str(path)}
    found = asked(target, "config", at=at, **given)
    if json:
        output.document(found)
    else:
        show_config(found)
