"""Where a log may lie: a file of this machine."""

import os
from pathlib import Path
from typing import Final

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from engine.core.errors import LogError

# Their locks or their shared memory do not hold between machines, so two writers would meet.
NETWORK_TYPES: Final = frozenset(
    {
        "9p",
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "fuse.ceph",
        "fuse.glusterfs",
        "fuse.rclone",
        "fuse.s3fs",
        "fuse.sshfs",
        "gpfs",
        "lustre",
        "ncpfs",
        "nfs",
        "nfs4",
        "smb",
        "smb3",
        "smbfs",
    }
)
_MOUNTS: Final = Path("/proc/mounts")  # Linux only; elsewhere nothing is known of mounts
_ESCAPES: Final = {"\\040": " ", "\\011": "\t", "\\012": "\n", "\\134": "\\"}


def log_path(target: str | Path) -> Path:
    """Return the real, absolute path of the log that `target` (a path or sqlite:/// URL) names.

    Links are followed, so that one log has one name, one lock and one write-ahead log.

    Raises:
        LogError: It names something else.
    """
    text = os.fspath(target)
    if "://" in text:
        try:
            url = make_url(text)
            backend, database = url.get_backend_name(), url.database
        except (ArgumentError, ValueError):
            backend, database = "", None
        if backend != "sqlite" or database in {None, "", ":memory:"} or url.query:
            raise LogError(f"expected a path or a sqlite:///PATH URL, found {text}")
        text = str(database)
    if not text or "\0" in text:
        raise LogError(f"expected a path, found {text!r}")
    path = Path(os.path.realpath(text))
    if not path.name:
        raise LogError(f"{path} is not a file")
    return path


def network_type(path: Path, mounts: str) -> str | None:
    """Return the type of the network file system that `path` lies on; None if it is a local one.

    `mounts` is the text of /proc/mounts; of two mounts on one place the later one counts.
    """
    best, found, text = -1, "", f"{path}/"
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        place = fields[1]
        for escape, character in _ESCAPES.items():
            place = place.replace(escape, character)
        if text.startswith(f"{place.rstrip('/')}/") and len(place) >= best:
            best, found = len(place), fields[2]
    return found if found in NETWORK_TYPES else None


def check_place(path: Path, mounts: Path = _MOUNTS) -> None:
    """Return if a log may lie at `path`.

    Raises:
        LogError: It is on a network file system, or its directory is missing.
    """
    if not path.parent.is_dir():
        raise LogError(f"{path}: there is no directory {path.parent}")
    try:
        text = mounts.read_text(errors="replace")
    except OSError:
        return
    network = network_type(path, text)
    if network is not None:
        raise LogError(
            f"{path} lies on a network file system ({network}), where locks do not hold: "
            "keep the log on a local disk"
        )
