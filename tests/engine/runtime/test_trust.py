"""What connections under TLS are held to: read once for all masters, and again when it changes."""

import os
import ssl
from pathlib import Path

import msgspec
import pytest

from engine.core.errors import ConfigurationError
from engine.core.policy import Probe, preset
from engine.runtime.connection import Place
from engine.runtime.trust import tls_of
from tests.engine.runtime.certificates import certificate


def probe(**settings: object) -> Probe:
    return msgspec.structs.replace(preset("lan").probe, kind="https", **settings)


def trust(source: Path, **settings: object) -> ssl.SSLContext | None:
    return tls_of(probe(**settings), group="g", source=str(source))


def test_all_masters_share_what_this_machine_trusts() -> None:
    one, other = Place("https://a:1"), Place("rediss://b:1")
    assert one.tls is other.tls is not None
    assert one.tls.verify_mode is ssl.CERT_REQUIRED
    assert one.tls.check_hostname
    assert Place("http://a:1").tls is None


def test_a_file_is_read_once_and_again_when_it_was_changed(tmp_path: Path) -> None:
    file = certificate(tmp_path)
    source = tmp_path / "tanist.toml"
    first = trust(source, ca=file.name)
    assert first is trust(source, ca=file.name) is not None
    os.utime(file, ns=(1, 1))
    assert trust(source, ca=file.name) is not first
    file.write_text("no certificate")
    with pytest.raises(ConfigurationError, match=r"groups\.g\.probe\.ca: expected a file of cert"):
        trust(source, ca=file.name)
    file.unlink()
    with pytest.raises(ConfigurationError, match="no such file"):
        trust(source, ca=file.name)


def test_who_is_not_verified_is_believed(tmp_path: Path) -> None:
    context = trust(tmp_path / "t.toml", verify=False)
    assert context is not None
    assert context.verify_mode is ssl.CERT_NONE
    assert not context.check_hostname
    assert trust(tmp_path / "t.toml") is None  # this machine's
