"""Whom a connection under TLS is held to, as the probe of a group says."""

import functools
import os
import ssl
from pathlib import Path

from engine.core.errors import ConfigurationError
from engine.core.policy import Probe
from engine.runtime.connection import trusting


@functools.lru_cache(maxsize=64)
def _made(verify: bool, ca: str, changed_ns: int) -> ssl.SSLContext:
    """Return the same for all masters of a group; a file that was changed is read again."""
    return trusting(verify=verify, ca=ca)


def tls_of(probe: Probe, *, group: str, source: str) -> ssl.SSLContext | None:
    """Return what connections to the masters of `group` are held to; None: to this machine's trust.

    Args:
        probe: How they are looked at; who is told something is held to the same.
        group: Its name.
        source: The file of the configuration: relative files of it are beside that.

    Raises:
        ConfigurationError: The file of certificates is not there, or holds none.
    """
    if probe.verify and not probe.ca:
        return None
    ca = str(Path(source).parent / probe.ca) if probe.ca else ""
    try:
        changed_ns = os.stat(ca).st_mtime_ns if ca else 0
        return _made(probe.verify, ca, changed_ns)
    except OSError as err:
        said = (err.strerror or str(err)).lower()
        raise ConfigurationError(
            [
                f"{source}: groups.{group}.probe.ca: expected a file of certificates, found "
                f"{said}: {ca}"
            ]
        ) from err
