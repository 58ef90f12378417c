"""Whom a connection under TLS is held to, as the probe of a group says."""

import ssl
from pathlib import Path

from engine.core.errors import ConfigurationError
from engine.core.policy import Probe
from engine.runtime.connection import trusting


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
        return trusting(verify=probe.verify, ca=ca)
    except OSError as err:
        said = (err.strerror or str(err)).lower()
        raise ConfigurationError(
            [
                f"{source}: groups.{group}.probe.ca: expected a file of certificates, found "
                f"{said}: {ca}"
            ]
        ) from err
