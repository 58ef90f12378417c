"""Puts recorded observations of others through what-if and tune: `fall` from 1 to 8.

    python scripts/tune_recorded.py DATA [OUT]

DATA has `uptime/*/observations.jsonl.gz` and `metrics/{nab,mscloud,microservice-faults}`. Each
group of observations is imported into a log of its own. Of metrics, a sample is a failed probe if
it is labelled so, or lies more than three deviations above the mean of its series. Under the
recorded policy every log has to come out as it is; a higher `fall` must never detect more, nor
sooner.

Prints a table for each sort of data, writes the curves as pictures into OUT (else a new directory),
and exits with 1 if one of these does not hold.
"""

import csv
import gzip
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from engine.answers.curves import svg
from engine.answers.hypotheses import Question, document, stretch
from engine.answers.tuning import Curve, asked_of, tune
from engine.cli.comparing import show_curve
from engine.log import open_log

ROOT = Path(__file__).resolve().parent.parent
FALL = "probe.fall=1..8"
DEVIATIONS = 3
FALSE_WITHIN_US = 600_000_000  # the probes of these files are minutes apart
COLUMNS = "at=t,master=target,outcome=status,latency_ms=rt_ms"


def main(data: Path, out: Path) -> int:
    """Return the exit code."""
    out.mkdir(parents=True, exist_ok=True)
    uptime = [
        imported(source, out / f"uptime-{number}.db", "--map", COLUMNS)
        for number, source in enumerate(sorted(data.glob("uptime/*/observations.jsonl.gz")), 1)
    ]
    metrics = [
        imported(source, out / f"{source.stem}.db") for source in sampled(data / "metrics", out)
    ]
    is_good = True
    for name, logs in (("uptime", uptime), ("metrics", metrics)):
        if not logs:
            print(f"{name}: there is none below {data}")
            continue
        is_good = same(name, logs) and is_good
        curve = tuned(logs)
        print(f"\n{name}")
        show_curve(curve)
        (out / f"{name}.svg").write_text(svg(curve), encoding="utf-8")
        print(
            f"a higher fall detects more: {'no' if curve.never_more else 'YES'}; "
            f"sooner: {'no' if curve.never_earlier else 'YES'}; {out / f'{name}.svg'}"
        )
        is_good = is_good and curve.never_more and curve.never_earlier
    return 0 if is_good else 1


def imported(source: Path, log: Path, *words: str) -> Path:
    """Return the log that `source` was imported into."""
    for left in log.parent.glob(f"{log.name}*"):
        left.unlink()
    command = [sys.executable, "-m", "engine.cli.main", "import", str(source), "--into", str(log)]
    settings = ["--group", "g", "--set", "probe.fall=1", "--set", "probe.rise=1"]
    subprocess.run([*command, *settings, *words], check=True, cwd=ROOT, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)  # fmt: skip
    return log


def sampled(metrics: Path, out: Path) -> list[Path]:
    """Return files of observations, one for each collection of metrics."""
    found = []
    for name, series in (
        ("nab", values(metrics / "nab", "value")),
        ("mscloud", labelled(metrics / "mscloud")),
        ("pods", pods(metrics / "microservice-faults")),
    ):
        rows = sorted(
            (at, master, "failed" if is_bad else "ok")
            for master, samples in series
            for at, is_bad in samples
        )
        if rows:
            path = out / f"{name}.jsonl"
            lines = (json.dumps({"at": a, "master": m, "outcome": o}) for a, m, o in rows)
            path.write_text("\n".join(lines) + "\n")
            found.append(path)
    return found


Series = Iterator[tuple[str, list[tuple[str, bool]]]]


def read(path: Path) -> list[dict[str, str]]:
    """Return the rows of a packed file."""
    with gzip.open(path, "rt", newline="") as file:
        return list(csv.DictReader(file))


def high(samples: list[tuple[str, float]]) -> list[tuple[str, bool]]:
    """Return for each sample whether it lies far above the others."""
    numbers = [value for _, value in samples]
    limit = statistics.fmean(numbers) + DEVIATIONS * statistics.pstdev(numbers)
    return [(at, value > limit) for at, value in samples]


def values(directory: Path, column: str) -> Series:
    """Return each file as a series."""
    for path in sorted(directory.glob("*.csv.gz")):
        rows = read(path)
        if len({row["t"] for row in rows}) == len(rows):
            name = path.name.partition(".")[0]
            yield name, high([(row["t"], float(row[column])) for row in rows])


def labelled(directory: Path) -> Series:
    """Return each file as a series, as it is labelled."""
    for path in sorted(directory.glob("*.csv.gz")):
        yield path.name.partition(".")[0], [(row["t"], row["label"] == "1") for row in read(path)]


def pods(directory: Path) -> Series:
    """Return the slowest answers of each pod as a series."""
    for path in sorted(directory.glob("*/pod_metrics.csv.gz")):
        found: dict[str, list[tuple[str, float]]] = {}
        for row in read(path):
            if row["srv_p99_s"]:
                found.setdefault(row["pod"], []).append((row["t"], float(row["srv_p99_s"])))
        for pod, samples in found.items():
            if len(samples) > 1:
                yield pod, high(samples)


def same(name: str, logs: list[Path]) -> bool:
    """Return whether each log comes out as it is under its own policy."""
    parted = []
    for path in logs:
        with open_log(path) as log:
            found = document(log, Question(label=""), stretch(log))
        if found["diverged_at"] is not None or found["recorded"] != found["whatif"]:
            parted.append(path.name)
    print(f"{name}: {len(logs) - len(parted)} of {len(logs)} logs come out as they are")
    return not parted


def tuned(paths: list[Path]) -> Curve:
    """Return the curve over all logs together."""
    logs = [open_log(path) for path in paths]
    try:
        return tune(logs, asked_of([FALL]), false_within_us=FALSE_WITHIN_US)
    finally:
        for log in logs:
            log.close()


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2] if sys.argv[2:] else tempfile.mkdtemp())))
