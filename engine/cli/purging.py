"""Keep: what a message carried, removed for good."""

from typing import Annotated

from cyclopts import Parameter

from engine.cli.acting import Command
from engine.cli.options import Json, LogOption, Word
from engine.core.errors import ConfigurationError
from engine.core.events import Observation


def purge(
    place: Word = None,
    /,
    *,
    key: Annotated[str, Parameter(help="The key of the message, or of the state.")],
    group: Annotated[
        str | None, Parameter(help="Whose it is; needed if several know the key.")
    ] = None,
    reason: Annotated[str, Parameter(help="Why, for whoever misses it.")] = "",
    log: LogOption = None,
    json: Json = False,
) -> None:
    """Remove the body of a message that is done, or of state that was replaced.

    The bytes are overwritten in the file, and the event says who asked for it and why; what the
    message was, its key, size and digest, stays in the log. Refused while the body is needed: of a
    message that is not done, of state that a failover would hand on. Copies of the log keep theirs.

    Example: tanist purge --key order-4711 --reason "asked to forget"
    """
    from engine.cli import places, sending

    target, _ = places.split((place,), log, most=0)
    sending.give(target, _command(target, key, group=group or "", reason=reason), json=json)


def _command(target: str, key: str, *, group: str, reason: str) -> Command:
    """Return the command to remove what `key` names."""
    if not key:
        raise ConfigurationError(["--key: expected the key of a message or of state, found none"])

    def event(_group: str, who: str, _at_us: int) -> Observation:
        from engine.cli import places
        from engine.log.purging import find, removal
        from engine.log.states import state_at

        with places.open_for_reading(target) as log:
            return removal(
                state_at(log),
                find(log, key, group=group),
                key,
                group=group,
                why=reason,
                author=who,
                at_rest=True,
            )

    body: dict[str, object] = {"key": key, "group": group, "reason": reason}
    return Command(name="purge", group=None, needs_group=False, body=body, event=event)
