"""Replay: what may happen, on the code that is shipped and in virtual time."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from engine.cli import output
from engine.cli.main import NO
from engine.cli.options import Json
from engine.core.errors import ConfigurationError

if TYPE_CHECKING:
    from engine.core.policy import GroupPolicy
    from engine.simulation import Bundle, History, Order, Schedule, Tally

RUNS = 100
PROCESSES_MAX = 8
SHOWN = 20  # violations that are told of one by one


def simulate(
    *,
    seed: Annotated[int, Parameter(help="The first seed; each run has the next one.")] = 0,
    runs: Annotated[
        int | None,
        Parameter(help=f"How many. Left out: {RUNS}, or 1 with --hours, --into or --bundle."),
    ] = None,
    hours: Annotated[
        float | None,
        Parameter(
            help="Let masters fail and be repaired for so many hours of virtual time, instead of "
            "mixing faults of all kinds."
        ),
    ] = None,
    masters: Annotated[
        int | None, Parameter(help="How many in each group. Left out: drawn, or as the file says.")
    ] = None,
    policy: Annotated[
        Path | None, Parameter(help="A tanist.toml whose groups and policies are simulated.")
    ] = None,
    failures: Annotated[
        str | None,
        Parameter(
            help="A log or a file of observations: times to failure and to repair are drawn from "
            "it. Needs --hours."
        ),
    ] = None,
    into: Annotated[
        str | None, Parameter(help="A new log that gets the events of the one run.")
    ] = None,
    bundle: Annotated[
        Path | None, Parameter(help="A bundle to run again, exactly as it was.")
    ] = None,
    keep: Annotated[
        Path, Parameter(help="The directory for bundles of what broke a law.")
    ] = Path(),
    json: Json = False,
) -> int:
    """Run the shipped code in virtual time, among faults; name every law that broke.

    Each seed draws a fleet, its policy, its time-outs and which faults there are: crashes, hangs,
    partitions, clocks, a log that fails, operators at the wrong moment. The same seed gives the
    same run, to the byte. A run that breaks a law is shrunk and kept as a bundle; exit 1.

    Example: tanist simulate --seed 1 --runs 1000
    """
    from engine.simulation import bundles

    _check(runs=runs, hours=hours, masters=masters, failures=failures, keep=keep)
    if bundle is not None:
        return _again(bundle, into, json=json)
    count = runs if runs is not None else 1 if hours is not None or into is not None else RUNS
    if into is not None and count != 1:
        raise ConfigurationError([f"--into takes the log of one run, and --runs is {count}"])
    order = _order(hours, masters, policy, failures)
    if into is not None:
        _write(into, order.schedule(seed))
    tally = _ran(order, range(seed, seed + count))
    kept = [
        (found, keep / f"tanist-simulated-{found.seed}.json")
        for found in sorted(tally.found, key=lambda found: found.seed)[:SHOWN]
    ]
    rows: list[dict[str, Any]] = []
    for found, path in kept:
        made = bundles.made(found.schedule, seed=found.seed, laws=_laws())
        bundles.write(made, path)
        shrunk = made.shrunk or made.schedule
        rows += [
            {
                "invariant": one.law,
                "seed": found.seed,
                "found": one.found,
                "bundle": str(path),
                "shrunk_steps": len(shrunk.turns),
            }
            for one in found.violations
        ]
    _say(tally, rows, json=json)
    return NO if tally.found else 0


def _laws() -> Any:
    from engine.cli.projected import PROJECTED
    from engine.simulation import LAWS

    return (*LAWS, *PROJECTED)


def _check(
    *, runs: int | None, hours: float | None, masters: int | None, failures: str | None, keep: Path
) -> None:
    mistakes = [
        f"{name}: expected more than 0, found {value}"
        for name, value in (("--runs", runs), ("--hours", hours), ("--masters", masters))
        if value is not None and not value > 0
    ]
    if failures is not None and hours is None:
        mistakes.append("--failures: say with --hours how long they go on")
    if not keep.is_dir():
        mistakes.append(f"--keep: there is no directory {str(keep)!r}")
    if mistakes:
        raise ConfigurationError(mistakes)


def _order(
    hours: float | None, masters: int | None, policy: Path | None, failures: str | None
) -> "Order":
    from engine.core.policy import HOUR
    from engine.simulation import Order

    policies: dict[str, GroupPolicy] | None = None
    sizes: dict[str, int] = {}
    if policy is not None:
        policies, sizes = _policies(policy)
    return Order(
        for_us=0 if hours is None else max(1, int(hours * HOUR)),
        masters=masters,
        policies=policies,
        sizes=sizes,
        history=None if failures is None else _history(failures),
    )


def _policies(path: Path) -> tuple[dict[str, "GroupPolicy"], dict[str, int]]:
    """Return the policies of a file as they are simulated, and how many masters each group has."""
    from msgspec.structs import replace

    from engine.config import load
    from engine.core.policy import Automation

    found = load(path, masters_needed=False)
    policies = {}
    for name, group in found.policy.groups.items():
        acts = group
        if group.automation is Automation.OBSERVE:
            output.note(f'{name} observes; it is simulated as if automation = "auto"')
            acts = replace(group, automation=Automation.AUTO)
        # The masters of the world speak the control protocol, or follow one another.
        effects = acts.effects if acts.effects in ("command", "redis") else "http"
        acts = replace(acts, effects=effects, reach=None)
        policies[name] = acts
    sizes: dict[str, int] = {}
    for master in found.masters:
        sizes[master.group] = sizes.get(master.group, 0) + 1
    return policies, sizes


def _history(source: str) -> "History":
    from engine.cli import places
    from engine.core.errors import LogError
    from engine.observations import read
    from engine.simulation import histories

    if Path(source).suffix in (".jsonl", ".csv", ".gz") or source == "-":
        return histories.of_observations(read(source).records, source=source)
    try:
        with places.open_for_reading(source) as opened:
            return histories.of_log(opened.read(), source=source)
    except LogError as err:
        raise ConfigurationError(
            [f"--failures: expected a log, or observations as .jsonl, .csv or .gz: {err}"]
        ) from err


def _ran(order: "Order", seeds: range) -> "Tally":
    from engine.cli.projected import PROJECTED
    from engine.simulation import Tally, in_order

    tally = Tally()
    processes = min(_cores(), PROCESSES_MAX)
    with output.progress("runs") as report:
        for part in in_order(order, seeds, processes=processes, more=PROJECTED):
            tally.add(part)
            report(tally.runs, len(seeds))
    return tally


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _write(into: str, schedule: "Schedule") -> None:
    from engine.log import open_log
    from engine.simulation import run

    made = run(schedule)
    with open_log(into, mode="write", create=True) as log:
        if log.head.seq:
            raise ConfigurationError([f"--into: {into} has {log.head.seq} events; name a new log"])
        log.append(made.log, bodies=made.bodies)
    output.note(f"{into} has the {len(made.log)} events")


def _again(path: Path, into: str | None, *, json: bool) -> int:
    """Run a bundle again, and say whether it came out as it did."""
    from engine.simulation import bundles

    before = bundles.read(path)
    if into is not None:
        _write(into, before.schedule)
    now = bundles.made(before.schedule, seed=before.seed, laws=_laws(), shrinks=False)
    is_same = (now.digest, now.log) == (before.digest, before.log)
    if json:
        output.document(
            {
                "bundle": str(path),
                "seed": before.seed,
                "verdict": now.verdict,
                "was": before.verdict,
                "same": is_same,
                "digest": now.digest,
                "error": now.error,
                "violations": now.violations,
            }
        )
    else:
        _tell(path, before, now, is_same=is_same)
    return NO if now.verdict != "true" else 0


def _tell(path: Path, before: "Bundle", now: "Bundle", *, is_same: bool) -> None:
    same = "the log is the same, to the byte" if is_same else "the log is another one"
    output.text(f"{path}: verdict {now.verdict}, it was {before.verdict}; {same}")
    if now.error:
        output.text(f"  {now.error}")
    for one in now.violations:
        output.text(f"  {one.law}: {one.found} (event {one.seq})")
    for turn in (before.shrunk or before.schedule).turns if now.verdict != "true" else ():
        about = " ".join(str(part) for part in (turn.subject, turn.count or "") if part)
        output.text(f"  after {turn.gap_us} us: {turn.kind} {about}".rstrip())


def _say(tally: "Tally", rows: list[dict[str, Any]], *, json: bool) -> None:
    exercised = {
        "turns": dict(sorted(tally.turns.items())),
        "rows": dict(sorted(tally.rows.items())),
        "events": dict(sorted(tally.kinds.items())),
        "runs_with": dict(sorted(tally.runs_with.items())),
        "never": tally.never(),
    }
    if json:
        output.document(
            {
                "runs": tally.runs,
                "steps": tally.steps,
                "virtual_s": tally.virtual_us / 1_000_000,
                "failovers": tally.failovers,
                "violations": rows,
                "exercised": exercised,
                "crashes": tally.crashes,
                "struck": tally.struck,
                "applied": tally.applied,
            }
        )
        return
    from engine.answers.words import counted

    output.text(
        f"{counted(tally.runs, 'run')}, {counted(tally.steps, 'observation')} in "
        f"{tally.virtual_us / 1e6:,.0f} s of virtual time: {counted(tally.failovers, 'failover')}, "
        f"{counted(tally.crashes, 'crash of the engine')}, {counted(tally.struck, 'append')} "
        f"struck, {counted(tally.applied, 'message')} done"
    )
    console = output.console()
    for title, counts in tally.exercised().items():
        happened = [row for row in counts if row[1]]
        if happened:
            console.print(output.table((title, "times.", "in runs."), happened))
    for what, names in tally.never().items():
        if names:
            output.text(f"never: {what}: {', '.join(names)}")
    for row in rows:
        output.text(
            f'seed {row["seed"]} broke "{row["invariant"]}": {row["found"]}; '
            f"{row['shrunk_steps']} steps suffice: {row['bundle']}"
        )
    if not tally.found:
        output.text("every law held")


def scenarios(
    name: Annotated[str | None, Parameter(help="Only this one; left out: all.")] = None,
    /,
    *,
    json: Json = False,
) -> int:
    """Run the incidents that are shipped as files, and hold each against its oracle.

    Each is run twice: by the shipped rules under the policy of its file, which has to meet the
    oracle, and by a naive controller (the first failure acts, no fence, no brake), which has to
    fail it. Exit 1 if one is not so.

    Example: tanist scenarios github-2018-10-21
    """
    from engine.simulation import scenarios as shipped

    chosen = [shipped.load(one) for one in (shipped.names() if name is None else (name,))]
    found = []
    with output.progress("scenarios") as report:
        for number, scenario in enumerate(chosen, start=1):
            found.append((scenario, shipped.judge(scenario)))
            report(number, len(chosen))
    rows = [
        {
            "name": scenario.name,
            "title": scenario.incident.title,
            "when": scenario.incident.when or None,
            "source": scenario.incident.source or None,
            "shape": scenario.incident.shape,
            "lesson": scenario.incident.lesson,
            "met": not judged.shipped,
            "wrong": judged.shipped,
            "naive_fails": bool(judged.naive),
            "naive_wrong": judged.naive,
            "failovers": judged.failovers,
            "virtual_s": judged.virtual_us / 1_000_000,
        }
        for scenario, judged in found
    ]
    if json:
        output.document({"rows": rows})
    else:
        _show(rows, is_one=name is not None)
    return 0 if all(row["met"] and row["naive_fails"] for row in rows) else NO


def _show(rows: list[dict[str, Any]], *, is_one: bool) -> None:
    if is_one:
        for row in rows:
            output.text(f"{row['title']}: {row['shape']}\n{row['lesson']}")
    columns = ("scenario", "oracle", "failovers.", "what goes wrong without the brakes")
    table = [
        (
            row["name"],
            "met" if row["met"] else "; ".join(row["wrong"]),
            row["failovers"],
            "; ".join(row["naive_wrong"]) or "nothing: it proves nothing",
        )
        for row in rows
    ]
    output.console().print(output.table(columns, table))
