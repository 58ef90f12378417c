"""Where a log may lie."""

from pathlib import Path

import pytest

from engine.core.errors import LogError
from engine.log.place import check_place, log_path, network_type

MOUNTS = """\
/dev/sda1 / ext4 rw 0 0
server:/export /mnt/net nfs4 rw 0 0
/dev/sdb1 /mnt/net/local xfs rw 0 0
me@host:/ /home/me/remote fuse.sshfs rw 0 0
//host/share /mnt/with\\040space cifs rw 0 0
/dev/sdc1 /mnt/twice nfs rw 0 0
/dev/sdc1 /mnt/twice ext4 rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/var/lib/log.db", None),
        ("/mnt/net/log.db", "nfs4"),
        ("/mnt/network/log.db", None),
        ("/mnt/net/local/log.db", None),
        ("/home/me/remote/a/log.db", "fuse.sshfs"),
        ("/mnt/with space/log.db", "cifs"),
        ("/mnt/twice/log.db", None),
    ],
)
def test_the_nearest_mount_says_what_a_place_is(path: str, found: str | None) -> None:
    assert network_type(Path(path), MOUNTS) == found


def test_a_network_file_system_is_refused_by_name(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/sda1 / ext4 rw 0 0\nserver:/export {tmp_path} nfs rw 0 0\n")
    with pytest.raises(LogError, match=r"log.db lies on a network file system \(nfs\)"):
        check_place(tmp_path / "log.db", mounts)


def test_where_nothing_is_known_of_mounts_any_directory_will_do(tmp_path: Path) -> None:
    check_place(tmp_path / "log.db", tmp_path / "no-such-file")
    with pytest.raises(LogError, match="there is no directory"):
        check_place(tmp_path / "no" / "log.db", tmp_path / "no-such-file")


def test_a_path_and_its_urls_are_one_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    real = Path.cwd() / "a b?.db"
    (Path.cwd() / "link.db").symlink_to(real)
    for target in ("a b?.db", real, "link.db", "x/../a b?.db"):
        assert log_path(target) == real
    real = Path.cwd() / "ha.db"
    for url in ("sqlite:///ha.db", f"sqlite:///{real}", "sqlite+pysqlite:///ha.db"):
        assert log_path(url) == real


@pytest.mark.parametrize(
    "target",
    [
        "postgresql://host/db",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///ha.db?mode=ro",
        "nonsense://[",
        "://",
        "",
        "a\0b",
    ],
)
def test_what_is_no_place_for_a_log_is_refused(target: str) -> None:
    with pytest.raises(LogError, match="expected a path"):
        log_path(target)
