"""The keys of sealed bodies, for commands that look at a log."""

from pathlib import Path
from typing import TYPE_CHECKING

from engine.cli import output, places
from engine.core.errors import ConfigurationError

if TYPE_CHECKING:
    from engine.log.keyring import Keyring


def keyring(target: str, config: Path | None) -> "Keyring | None":
    """Return the keys that a configuration names for the log at `target`; None if there are none.

    Args:
        target: The log.
        config: The configuration; None: that of this directory, if it is of this log.

    Raises:
        ConfigurationError: `config` cannot be read, or its keys cannot.
    """
    from engine.config import load
    from engine.config.secrets import keys
    from engine.log.keyring import Keyring
    from engine.log.place import log_path

    source = Path(places.CONFIGURATION) if config is None else config
    try:
        if config is None and not source.is_file():
            return None
        found = load(source, masters_needed=False)
        place = places.log_of(found.log, configuration=str(source))
        if not found.bodies_key or (config is None and log_path(place) != log_path(target)):
            return None
        return Keyring(keys(found.bodies_key, name="log.bodies_key", source=str(source)))
    except ConfigurationError as err:
        if config is not None:
            raise
        output.note(f"bodies are looked at without their key: {err.mistakes[0]}")
        return None
