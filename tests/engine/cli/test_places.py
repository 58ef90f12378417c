import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine.cli import places
from engine.core.errors import ConfigurationError
from engine.log.lock import WriterLock

GROUP = (
    '[groups.g]\nmode = "active-active"\n[[groups.g.masters]]\nid = "a"\naddress = "http://h:1"\n'
)


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("TANIST_LOG", "TANIST_URL", "TANIST_TOKEN"):
        monkeypatch.delenv(name, raising=False)


def test_the_log_is_looked_for_in_this_order(monkeypatch: pytest.MonkeyPatch) -> None:
    assert places.resolve(None) == "tanist.db"
    Path("tanist.toml").write_text(f'[engine]\nlog = "other.db"\n{GROUP}')
    assert Path(places.resolve(None)) == Path("other.db")
    monkeypatch.setenv("TANIST_URL", "http://127.0.0.1:1")
    assert places.resolve(None) == "http://127.0.0.1:1"
    monkeypatch.setenv("TANIST_LOG", "named.db")
    assert places.resolve(None) == "named.db"
    assert places.resolve("given.db") == "given.db"


def test_a_configuration_stands_for_its_log_which_lies_beside_it() -> None:
    Path("etc").mkdir()
    Path("etc/my.toml").write_text(f'[engine]\nlog = "my.db"\n{GROUP}')
    assert Path(places.resolve("etc/my.toml")) == Path("etc/my.db")
    Path("etc/my.toml").write_text(f'[engine]\nlog = "sqlite:////var/my.db"\n{GROUP}')
    assert places.resolve("etc/my.toml") == "sqlite:////var/my.db"
    assert places.log_of("/var/my.db", configuration="etc/my.toml") == "/var/my.db"


def test_a_lone_word_is_the_log_if_there_is_such_a_file() -> None:
    Path("a.db").touch()
    Path("web").mkdir()
    assert places.split(("a.db", None), None, most=1) == ("a.db", [])
    assert places.split(("web", None), None, most=1) == ("tanist.db", ["web"])
    assert places.split(("http://h:1", None), None, most=1) == ("http://h:1", [])
    assert places.split(("a.db", None), "b.db", most=1) == ("b.db", ["a.db"])


def test_of_two_words_the_first_is_the_log() -> None:
    assert places.split(("gone.db", "web"), None, most=1) == ("gone.db", ["web"])
    assert places.split(("gone.db",), None, most=0) == ("gone.db", [])
    with pytest.raises(ConfigurationError, match="found 2"):
        places.split(("one", "two"), "a.db", most=1)


def beside(pid: int) -> None:
    Path("a.db.engine.json").write_text(json.dumps({"url": "http://127.0.0.1:9", "pid": pid}))


def test_a_running_engine_is_found_beside_its_log() -> None:
    beside(os.getpid())
    found = places.running("a.db")
    assert found is not None
    assert found.url == "http://127.0.0.1:9"
    assert places.running(f"sqlite:///{Path('a.db').absolute()}") == found


def test_what_an_engine_left_that_is_gone_does_not_count() -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    beside(ended.pid)
    assert places.running("a.db") is None
    beside(0)
    assert places.running("a.db") is None
    Path("a.db.engine.json").write_text("{")
    assert places.running("a.db") is None
    assert places.running("b.db") is None


def test_an_engine_whose_number_somebody_else_has_by_now_does_not_count() -> None:
    beside(os.getpid())
    lock = WriterLock(Path("a.db"))
    found = places.running("a.db")
    assert found is not None
    lock.release()
    assert places.running("a.db") is None
    WriterLock(Path("a.db")).release()  # a look takes it from nobody


def test_an_address_is_its_own_engine() -> None:
    found = places.running("http://127.0.0.1:9/")
    assert found is not None
    assert found.url == "http://127.0.0.1:9"


def test_the_token_lies_beside_the_log_or_in_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Path("logs").mkdir()
    assert places.token("logs/a.db") == ""
    Path("logs/tanist.token").write_text("secret\n")
    assert places.token("logs/a.db") == "secret"
    monkeypatch.setenv("TANIST_TOKEN", "other")
    assert places.token("logs/a.db") == "other"
    assert places.token("http://127.0.0.1:9") == "other"


def test_a_question_to_the_log_itself_is_not_for_an_engine() -> None:
    with pytest.raises(ConfigurationError, match="name its log with --log"):
        places.open_for_reading("http://127.0.0.1:9")


@pytest.mark.parametrize("said", ["sec\nret", "sec ret", "sec\r\nX: y", "geheimnißvoll", "\x7f"])
def test_a_token_that_no_request_can_carry_is_named_and_not_shown(
    said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TANIST_TOKEN", said)
    with pytest.raises(ConfigurationError) as caught:
        places.token("a.db")
    assert str(caught.value).startswith("TANIST_TOKEN: expected printable ASCII")
    assert said not in str(caught.value)
    monkeypatch.delenv("TANIST_TOKEN")
    Path(places.TOKEN).write_text(said)
    assert places.token("a.db") == ""


def test_what_ends_the_line_of_a_token_is_no_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TANIST_TOKEN", " secret\r\n")
    assert places.token("a.db") == "secret"


@pytest.mark.parametrize(
    "address",
    [
        "http://",
        "http://[::1",
        "http://h:99999",
        "http://h:0",
        "http://h:port",
        "http://h ere:1",
        "http://é.example:1",
        "http://me:hunter2@h:1",
        "https://h:1?token=hunter2",
        "http://h:1/#hunter2",
    ],
)
def test_an_address_that_nobody_can_be_asked_at_is_named_and_not_shown(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigurationError, match=r"expected the address of an engine") as caught:
        places.resolve(address)
    assert "hunter2" not in str(caught.value)
    monkeypatch.setenv("TANIST_URL", address)
    with pytest.raises(ConfigurationError):
        places.resolve(None)


@pytest.mark.parametrize("address", ["http://h:1", "https://h", "http://[::1]:1/", "http://h:1/at"])
def test_an_address_is_taken_as_it_is(address: str) -> None:
    assert places.resolve(address) == address
