"""What becomes of a log: the steady state by hand, how long a disk lasts, what people read."""

import random
from pathlib import Path

import msgspec
import pytest

from engine.config import Configuration, describe, parse
from engine.config.growing import SEALED_BYTES, Growth, growth, growth_said
from engine.core import events as ev
from engine.log import open_log
from tests.engine.cli.shell import answer, tanist
from tests.engine.config.test_describing import MASTERS
from tests.engine.log.events import START_US, at

TEXT = f'[groups.cache]\nmode = "active-standby"\n{MASTERS}'
GB = 10**9
PROBES = 2 * 86_400  # two masters, each second
SEALED = PROBES * SEALED_BYTES


def configured(keeping: str = "") -> Configuration:
    return parse(f"[log]\n{keeping}\n{TEXT}", source="t.toml")


def grown(keeping: str = "", *, size: int = 0, free: int = 100 * GB) -> Growth:
    found = configured(keeping)
    return growth(found, describe(found.policy, found.masters), size=size, free=free)


def test_a_good_probe_takes_no_more_than_that_once_it_is_sealed(tmp_path: Path) -> None:
    rng = random.Random(1)
    probes = [
        at(
            seq,
            ev.ProbeOk(
                n=seq // 10,
                latency_us=int(rng.lognormvariate(6.2, 0.25)),
                boot=f"{seq % 10:02d}a7c9e1",
                epoch=3,
                role="standby",
            ),
            subject=f"m{seq % 10}",
            at_us=START_US + seq * 2_000 + rng.randrange(600),
        )
        for seq in range(1, 5_002)
    ]
    with open_log(tmp_path / "x.db", mode="write", create=True) as log:
        log.append(probes)
        assert log.seal(blocks_max=9) == 5
        (taken,) = log._fetch("SELECT sum(length(columns) + length(payloads)) FROM blocks", ())
    assert SEALED_BYTES / 2 < taken[0] / 5_000 <= SEALED_BYTES


def test_in_the_steady_state_the_newest_is_hot_and_the_oldest_goes() -> None:
    found = grown('seal_after = "1h"\nkeep_observations = "10d"\nmax_size = "0"')
    assert found["sealed_bytes_a_day"] == SEALED
    assert found["bytes_at_most"] == found["hot_bytes_a_day"] // 24 + 10 * SEALED
    assert found["days_until_full"] is None


def test_what_is_larger_than_it_may_be_stays_within_that() -> None:
    found = grown('keep_observations = "3650d"\nmax_size = "64MiB"')
    assert found["bytes_at_most"] == 64 << 20
    assert grown('keep_observations = "never"\nmax_size = "64MiB"')["bytes_at_most"] == 64 << 20
    assert grown('keep_observations = "never"\nmax_size = "0"')["bytes_at_most"] is None


@pytest.mark.parametrize(
    ("keeping", "size", "free_days", "days"),
    [
        ('keep_observations = "10d"\nmax_size = "0"', 0, 20, None),
        ('keep_observations = "10d"\nmax_size = "0"', 0, 5, 5),
        ('keep_observations = "10d"\nmax_size = "0"', 6 * SEALED, 5, None),
        ('keep_observations = "never"\nmax_size = "0"', 0, 20, 20),
        ('keep_observations = "never"\nmax_size = "0"', 0, 0, 0),
    ],
)
def test_a_disk_lasts_until_the_steady_state_or_as_many_days(
    keeping: str, size: int, free_days: int, days: int | None
) -> None:
    found = grown(f'seal_after = "0s"\n{keeping}', size=size, free=free_days * SEALED)
    assert found["days_until_full"] == days


def test_what_is_hot_needs_its_room_first() -> None:
    keeping = 'seal_after = "1d"\nkeep_observations = "never"\nmax_size = "0"'
    hot = grown(keeping)["hot_bytes_a_day"]
    assert hot > SEALED
    assert grown(keeping, free=hot + 3 * SEALED)["days_until_full"] == 3
    assert grown(keeping, size=hot, free=3 * SEALED)["days_until_full"] == 3
    assert grown(keeping, free=hot - 1)["days_until_full"] == 0


def test_without_masters_no_disk_is_ever_full() -> None:
    found = configured('keep_observations = "never"\nmax_size = "0"')
    alone = msgspec.structs.replace(found, masters=())
    described = describe(alone.policy, ())
    assert growth(alone, described, size=0, free=0)["days_until_full"] is None


def test_people_read_it_in_one_line_and_how_it_is_counted_in_another() -> None:
    keeping = 'keep_observations = "35d"\nmax_size = "10GiB"'
    line, how = growth_said(grown(keeping)).splitlines()
    assert how.startswith("while hot: one row for each good probe in a quiet fleet")
    assert line == (
        "log: 11.2 MB a day while hot, 1.7 MB a day sealed; at most 60.6 MB (35d kept, 10GiB); "
        "the disk has 100.0 GB free: enough"
    )
    assert "free: full in 8 days\n" in growth_said(grown(keeping, free=9 * SEALED))
    bare = 'seal_after = "0s"\nkeep_observations = "never"\nmax_size = "0"'
    assert "; it grows without end; the disk" in growth_said(grown(bare))
    assert "full in 1 day\n" in growth_said(grown(bare, free=SEALED))
    assert "full in less than a day\n" in growth_said(grown(bare, free=SEALED - 1))


def test_check_looks_where_the_log_lies_or_would_lie(tmp_path: Path) -> None:
    (tmp_path / "t.toml").write_text(f'[engine]\nlog = "deep/er/x.db"\n{TEXT}')
    found = answer("check", "t.toml", cwd=tmp_path)["log"]
    assert found["size"] == 0
    assert found["free"] > 0
    (tmp_path / "t.toml").write_text(f'[engine]\nlog = "x.db"\n{TEXT}')
    with open_log(tmp_path / "x.db", mode="write", create=True):
        found = answer("check", "t.toml", cwd=tmp_path)["log"]
    assert found["size"] >= (tmp_path / "x.db").stat().st_size > 0
    assert found["bytes_at_most"] == grown()["bytes_at_most"]
    lines = tanist("check", "t.toml", cwd=tmp_path).stdout.splitlines()
    (said,) = (line for line in lines if " a day" in line)
    assert said.startswith("log: 11.2 MB a day while hot, ")
