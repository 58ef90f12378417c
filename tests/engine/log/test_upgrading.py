"""An old log is read, written, rehearsed and upgraded; its head and its state stay the same."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.core import events as ev
from engine.core import state as st
from engine.core.errors import LogError, LogLocked
from engine.core.events import FLEET, Recorded
from engine.core.replay import decide_again, replay
from engine.core.state import FOLD_VERSION
from engine.log import open_log
from engine.log.connection import driver_connect
from engine.log.header import FORMAT
from engine.log.snapshots import pack
from engine.log.states import keep
from engine.log.upgrading import backup_path, differences, rehearse, upgrade
from engine.log.verify import verify
from tests.engine.answers.stories import failed_over
from tests.engine.log.events import at, probes

LOGS = Path(__file__).parents[2] / "data" / "logs"
SAID: dict[str, Any] = json.loads((LOGS / "format-1.json").read_text())

PAUSED = ev.Paused(until_us=0, reason="r", author="me")


def quiet(_done: int, _total: int) -> None:
    pass


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "old.db"
    path.write_bytes(gzip.decompress((LOGS / "format-1.db.gz").read_bytes()))
    return path


def identity(path: Path) -> tuple[int, int, str]:
    with open_log(path) as log:
        return log.format, log.head.seq, log.chain_head().hex()


def version(path: Path) -> int:
    return int.from_bytes(path.read_bytes()[60:64], "big")


def test_a_log_of_format_1_is_what_it_was(old: Path) -> None:
    before = old.read_bytes()
    assert identity(old) == (1, SAID["events"], SAID["head"])
    with open_log(old) as log:
        assert verify(log).ok
        assert SAID["fold_version"] <= FOLD_VERSION
        if SAID["fold_version"] == FOLD_VERSION:
            assert st.digest(replay(log.read())) == SAID["digest"]
    assert old.read_bytes() == before


def test_a_log_of_format_1_is_written_in_format_1(old: Path) -> None:
    with open_log(old, mode="write") as log:
        last = log.head
        log.append([at(last.seq + 1, PAUSED, subject=FLEET, at_us=last.at_us)])
        keep(log, replay(log.read(until=last.seq)))
        assert log.snapshots.seqs() == []
        with pytest.raises(LogError, match="has format 1"):
            log.seal()
    assert version(old) == 1
    assert identity(old)[:2] == (1, SAID["events"] + 1)
    with open_log(old) as log:
        assert verify(log).ok


def test_an_upgraded_log_has_the_same_head_and_state_and_a_way_back(old: Path) -> None:
    before = old.read_bytes()
    found = upgrade(old, progress=quiet)
    assert found is not None
    assert (found.before, found.after, found.backup) == (1, FORMAT, backup_path(old, 1))
    assert (found.digests.seq, found.digests.head) == (SAID["events"], SAID["head"])
    assert identity(old) == (FORMAT, SAID["events"], SAID["head"])
    assert identity(found.backup) == (1, SAID["events"], SAID["head"])
    assert (version(old), version(found.backup)) == (FORMAT, 1)
    with open_log(old, mode="write") as log:
        assert verify(log).ok
        assert log.seal(blocks_max=9) == 1
        state = replay(log.read())
        assert st.digest(state) == found.digests.digest
        keep(log, state)
        assert log.snapshots.seqs() == [SAID["events"]]
        assert verify(log).ok
    with open_log(found.backup, mode="write") as log:
        assert log.format == 1
        assert verify(log).ok
        last = log.head
        log.append([at(last.seq + 1, PAUSED, subject=FLEET, at_us=last.at_us)])
    assert before != old.read_bytes()


def test_a_log_of_the_newest_format_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    with open_log(path, mode="write", create=True) as log:
        log.append(list(failed_over().log.read()))
    before = path.read_bytes()
    assert upgrade(path, progress=quiet) is None
    assert path.read_bytes() == before
    assert {entry.name for entry in tmp_path.iterdir()} == {"log.db", "log.db.lock"}


def test_a_log_that_somebody_writes_is_not_upgraded(old: Path) -> None:
    with open_log(old, mode="write") as log:
        with pytest.raises(LogLocked):
            upgrade(old, progress=quiet)
        assert log.format == 1
    assert not backup_path(old, 1).exists()


def test_an_upgrade_goes_on_with_the_backup_of_one_that_was_cut_short(old: Path) -> None:
    backup = backup_path(old, 1)
    backup.write_bytes(old.read_bytes())
    assert upgrade(old, progress=quiet) is not None
    assert identity(old)[0] == FORMAT


def test_the_backup_of_another_log_is_not_taken_for_a_way_back(old: Path) -> None:
    backup = backup_path(old, 1)
    backup.write_bytes(old.read_bytes())
    with open_log(old, mode="write") as log:
        last = log.head
        log.append([at(last.seq + 1, PAUSED, subject=FLEET, at_us=last.at_us)])
    kept = backup.read_bytes()
    with pytest.raises(LogError, match=r"old\.db\.format-1 is there, and is no copy"):
        upgrade(old, progress=quiet)
    assert version(old) == 1
    assert backup.read_bytes() == kept


def test_a_damaged_log_is_not_upgraded(old: Path) -> None:
    connection = driver_connect(old.as_uri())
    connection.execute("UPDATE events SET crc = crc + 1 WHERE seq = 9")
    connection.commit()
    connection.close()
    with pytest.raises(LogError, match="event 9"):
        upgrade(old, progress=quiet)
    assert version(old) == 1
    assert not backup_path(old, 1).exists()


def test_a_rehearsal_changes_nothing_and_finds_nothing_in_a_sound_log(old: Path) -> None:
    before = old.read_bytes()
    with open_log(old) as log:
        found = rehearse(log, progress=quiet)
    assert found.ok
    assert (found.format, found.differences, found.first, found.snapshots) == (1, 0, (), ())
    assert (found.digests.seq, found.digests.head) == (SAID["events"], SAID["head"])
    assert old.read_bytes() == before
    assert {entry.name for entry in old.parent.iterdir()} == {"old.db"}


def test_a_rehearsal_names_a_snapshot_that_is_not_the_fold(tmp_path: Path) -> None:
    story = failed_over()
    with open_log(tmp_path / "log.db", mode="write", create=True) as log:
        log.append(list(story.log.read()))
        state = replay(log.read(until=9))
        digest = state.fleet.policy_digest
        log.snapshots.store(
            pack(8, st.dump(state), fold_version=FOLD_VERSION, policy_digest=digest)
        )
        log.snapshots.store(
            pack(9, st.dump(state), fold_version=FOLD_VERSION, policy_digest=digest)
        )
        log.snapshots.store(pack(10, b"of another", fold_version=0, policy_digest=""))
        found = rehearse(log, progress=quiet)
    assert not found.ok
    assert len(found.snapshots) == 1
    assert "the snapshot at 8 is not what" in found.snapshots[0]


def test_each_decision_that_would_differ_is_listed_once() -> None:
    """Take a verdict out of a log: the one is missing, and what is only renumbered is the same."""
    story = failed_over()
    story.see(ev.Paused(until_us=0, reason="r", author="me"), FLEET)
    recorded = list(story.log.read())
    assert list(differences(recorded, decide_again(recorded))) == []
    verdict = next(seen for seen in recorded if isinstance(seen.event, ev.MasterFailed))
    again = [
        msgspec.structs.replace(seen, seq=seen.seq - (seen.seq > verdict.seq))
        for seen in recorded
        if seen is not verdict
    ]
    (found,) = differences(recorded, again)
    assert (found.seq, found.recorded, found.again) == (verdict.cause, (_named(verdict),), ())
    (turned,) = differences(again, recorded)
    assert (turned.recorded, turned.again) == ((), (_named(verdict),))


def test_a_difference_is_known_before_the_rest_is_decided_again() -> None:
    recorded = list(failed_over().log.read())
    verdict = next(seen for seen in recorded if isinstance(seen.event, ev.MasterFailed))

    def again() -> Iterator[Recorded]:
        for seen in recorded:
            assert seen.seq <= verdict.seq + 20
            if seen is not verdict:
                yield seen

    assert recorded[-1].seq > verdict.seq + 20
    found = next(differences(recorded, again()))
    assert found.recorded == (_named(verdict),)


def test_a_decision_with_other_figures_differs() -> None:
    recorded = list(failed_over().log.read())
    verdict = next(seen for seen in recorded if isinstance(seen.event, ev.MasterFailed))
    event = msgspec.structs.replace(verdict.event, rule="another")
    other = msgspec.structs.replace(verdict, event=event)
    again = [other if seen is verdict else seen for seen in recorded]
    (found,) = differences(recorded, again)
    assert found.recorded == found.again == (_named(verdict),)


def test_a_rehearsal_names_what_no_release_would_have_decided(tmp_path: Path) -> None:
    story = failed_over()
    head = story.log.head
    with open_log(tmp_path / "log.db", mode="write", create=True) as log:
        log.append(list(story.log.read()))
        seen = at(head.seq + 1, probes(1, 1)[0].event, subject="a", at_us=head.at_us)
        claimed = ev.MasterUnknown(rule="made up")
        log.append([seen, at(head.seq + 2, claimed, subject="c", cause=seen.seq, at_us=head.at_us)])
        found = rehearse(log, progress=quiet)
    assert not found.ok
    assert found.differences == 1
    assert found.first[0].seq == seen.seq
    assert found.first[0].recorded == ("MasterUnknown c",)


def _named(recorded: Recorded) -> str:
    return f"{type(recorded.event).__name__} {recorded.subject}"
