"""The keys of appends in a file: what has no place for them, and what they cost to drop."""

from pathlib import Path

import pytest

from engine.core.errors import LogError
from engine.core.events import FLEET, Paused, Recorded
from engine.core.terms import Keyed
from engine.log import append_keys, open_log
from engine.log.copying import back_up, copy
from engine.log.sqlite import SqliteLog
from engine.log.upgrading import upgrade
from tests.engine.log.events import START_US, at, probe, probes


def pause(seq: int) -> Recorded:
    return at(seq, Paused(until_us=0, reason="r", author="me"), subject=FLEET)


def quiet(_done: int, _total: int) -> None:
    pass


def test_a_log_of_format_1_refuses_a_key_in_one_line_until_it_is_upgraded(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    refusal = r"old\.db has format 1: upgrade it to append under keys"
    with SqliteLog(path, mode="write", create=True, version=1) as log:
        log.append([pause(1)])
        with pytest.raises(LogError, match=refusal):
            log.append([pause(2)], key="k")
        with pytest.raises(LogError, match=refusal):
            log.append([pause(2)], keyed=[Keyed(key="k", content=b"", first=2, last=2)])
        with pytest.raises(LogError, match=refusal):
            log.append_keys.find("k")
        assert not log.append_keys.drop(before_us=1 << 62, keep_max=0)
        assert log.head.seq == 1
    assert upgrade(path, progress=quiet) is not None
    with open_log(path, mode="write") as log:
        assert log.append([pause(2)], key="k").is_new
        assert not log.append([pause(2)], key="k").is_new


def test_keys_go_in_portions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(append_keys, "DROPPED_MAX", 4)
    with open_log(tmp_path / "x.db", mode="write", create=True) as log:
        keyed = [Keyed(key=f"k{seq}", content=b"", first=seq, last=seq) for seq in range(1, 11)]
        log.append(probes(1, 10), keyed=keyed)
        assert [log.append_keys.drop(before_us=0, keep_max=3) for _ in range(3)] == [
            True,
            False,
            False,
        ]
        left = [each.key for each in keyed if log.append_keys.find(each.key) is not None]
        assert left == ["k8", "k9", "k10"]
        before_us = START_US + 100
        assert not log.append_keys.drop(before_us=before_us, keep_max=3)
        assert log.append_keys.find("k10") is not None


@pytest.mark.parametrize("is_whole", [True, False], ids=["backup", "copy"])
def test_a_copy_knows_the_keys_of_its_log(tmp_path: Path, is_whole: bool) -> None:
    path = tmp_path / "copy.db"
    with open_log(tmp_path / "x.db", mode="write", create=True) as log:
        log.append(probes(1, 2_500), key="bulk")
        log.append([probe(2_501)], key="k")
        if is_whole:
            back_up(log, path, progress=quiet)
        else:
            copy(log, path, release="test", progress=quiet)
    with open_log(path, mode="write") as log:
        assert not log.append(probes(1, 2_500), key="bulk").is_new
        assert not log.append([probe(2_501)], key="k").is_new
        assert log.head.seq == 2_501
