"""Uptime as the monitoring tool published it, read from the folders of real probe results.

A folder holds `observations.jsonl.gz` (t, target, status, rt_ms) and `oracle.jsonl.gz`: what the
tool itself published. Only rows marked strict are a truth: there its all-time figure and every day
of the last year agree with a second computation from the observations. A row marked cap100 has
forgotten its older incidents. The tool counts degraded as down, and a state holds until the next.
"""

import gzip
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

CHECKOUT: Final = Path(__file__).parents[2]
OWN: Final = CHECKOUT / "tests" / "data" / "uptime"  # a small one, always there
SHARED: Final = CHECKOUT.parent / "shared" / "data" / "uptime"  # all of them, where present
COLUMNS: Final = {"at": "t", "master": "target", "outcome": "status", "latency_ms": "rt_ms"}
TOLERANCE_POINTS: Final = 0.01  # the tool publishes two decimals


class Published(NamedTuple):
    """The all-time figure of one target."""

    target: str
    tracked_since_us: int
    asof_us: int
    published_pct: float


def folders() -> list[Path]:
    """Return every folder of uptime data there is; one that is in both places once."""
    found = {path.name: path for root in (SHARED, OWN) for path in sorted(root.glob("upptime-*"))}
    return sorted(found.values(), key=lambda path: path.name)


def observations(folder: Path) -> Path:
    return folder / "observations.jsonl.gz"


def strict_targets(folder: Path) -> list[Published]:
    """Return the final figure of every target that may be used as truth; none if none may."""
    with gzip.open(folder / "oracle.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return [
        Published(
            target=row["target"],
            tracked_since_us=microseconds(row["tracked_since"]),
            asof_us=microseconds(row["asof"]),
            published_pct=row["uptime_pct"]["all"],
        )
        for row in rows
        if row.get("final") and row["oracle_quality"] == "strict" and not row.get("cap100")
    ]


def microseconds(text: str) -> int:
    """Return an ISO 8601 time with zone as microseconds since 1970, exactly."""
    since = datetime.fromisoformat(text) - datetime(1970, 1, 1, tzinfo=UTC)
    return since // timedelta(microseconds=1)
