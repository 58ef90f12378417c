"""Replay: what would have been decided under another policy, or without something."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

from cyclopts import Parameter

from engine.cli import output, places
from engine.cli.main import NO
from engine.cli.options import File, FilePlace, Json, duration_us
from engine.core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.answers.hypotheses import Stretch
    from engine.log.sqlite import SqliteLog
    from engine.whatif.again import WhatIf

FalseWithin: TypeAlias = Annotated[
    str, Parameter(help="Whoever answers again so soon after a verdict was left without need.")
]


def whatif(
    place: FilePlace = None,
    /,
    *,
    policy: Annotated[
        Path | None,
        Parameter(help="A configuration whose groups give the policy; masters are not needed."),
    ] = None,
    set_: Annotated[
        tuple[str, ...],
        Parameter(
            name="--set",
            negative="",
            show_default=False,
            help="One setting for every group, as in probe.fall=5; repeatable.",
        ),
    ] = (),
    skip: Annotated[
        tuple[int, ...],
        Parameter(
            negative="",
            show_default=False,
            help="The seq of an observation that is left out; repeatable.",
        ),
    ] = (),
    incident: Annotated[
        int | None,
        Parameter(help="Only this incident, as `tanist incidents` numbers it, up to its end."),
    ] = None,
    bisect: Annotated[
        str | None,
        Parameter(
            help="A setting with a range, as in probe.fall=1..20: the smallest change of it that "
            "would have avoided the failover, or caused one."
        ),
    ] = None,
    false_within: FalseWithin = "10s",
    log: File = None,
    json: Json = False,
) -> int:
    """Decide again on what was observed, beside what happened.

    What came from outside is taken as it was recorded; decisions and deadlines are derived again.
    Up to the first difference recorded outcomes are used, from there on a model answers: a step is
    done after the median that was recorded, if its master answered probes then. What rests on it is
    marked. Settings that change what is observed (probe.interval) are refused, time-outs may only
    become smaller. With nothing changed the log must come out as it is; if another release decided
    it otherwise, the differences are listed and the exit code is 1.

    Example: tanist whatif tanist.db --set probe.fall=5
    """
    from engine.answers.hypotheses import document, question, stretch
    from engine.cli.comparing import show_whatif
    from engine.config import load
    from engine.service.accounting import spending_in

    target, _ = places.split((place,), log, most=0)
    if bisect is not None:
        if policy is not None or set_ or skip:
            raise ConfigurationError(["--bisect changes one setting: leave out what else changes"])
        return _bisected(target, bisect, incident, json=json)
    file = None if policy is None else load(policy, masters_needed=False).policy
    within_us = duration_us(false_within, option="--false-within")
    with places.open_for_reading(target) as opened, output.progress("events") as report:
        asked = question(opened, sets=set_, policy=file, skipped=skip)
        part, stop = (stretch(opened), None) if incident is None else _around(opened, incident)
        found = document(
            opened,
            asked,
            part,
            false_within_us=within_us,
            stop=stop,
            progress=report,
            budgets=spending_in(opened),
        )
    if json:
        output.document(found)
    else:
        show_whatif(found)
    return NO if found["release_differs"] else 0


def _bisected(target: str, asked: str, incident: int | None, *, json: bool) -> int:
    """Print the smallest change of a setting that turns the outcome; exit 1 if there is none."""
    from engine.answers.bisecting import bisect
    from engine.answers.hypotheses import stretch
    from engine.cli.comparing import show_turn

    with places.open_for_reading(target) as opened:

        def part() -> "tuple[Stretch, Callable[[WhatIf], bool] | None]":
            return (stretch(opened), None) if incident is None else _around(opened, incident)

        found = bisect(opened, asked, part)
    if json:
        output.document(found)
    else:
        show_turn(found)
    return NO if found.value is None else 0


def _around(log: "SqliteLog", incident: int) -> "tuple[Stretch, Callable[[WhatIf], bool]]":
    """Return the part of the log that begins with an incident, and what says where it may end.

    It ends when, some time after what was recorded of it, both runs are served and at rest.

    Raises:
        ConfigurationError: There is no such incident.
    """
    from engine.answers.hypotheses import stretch
    from engine.service.accounting import incident_at

    row = incident_at(log, incident)
    last = next(iter(log.read(row.events[-1] - 1, row.events[-1])), None)
    ends_us = row.detected_us if last is None else last.at_us
    part = stretch(log, after=row.events[0] - 1)
    return part, lambda run: run.is_settled(ends_us)


def tune(
    *logs: Annotated[str, Parameter(name="LOG", help="Logs: files or sqlite:/// URLs.")],
    set_: Annotated[
        tuple[str, ...],
        Parameter(
            name="--set",
            negative="",
            show_default=False,
            help="One setting with its values, as in probe.fall=1..8 or "
            "failover.delay.staleness=0s,3s; others are fixed.",
        ),
    ] = (),
    svg: Annotated[Path | None, Parameter(help="Where to write the curve as a picture.")] = None,
    false_within: FalseWithin = "10s",
    json: Json = False,
) -> None:
    """Detection time against false verdicts, for each value of a setting.

    Every value is tried on what was observed, as `whatif` does, over all the logs together. A
    verdict is false if its master answered again soon after. The mean is that of the outages that
    every value detects, so that it can be compared; a mark stands where no other value is better in
    both respects.

    Example: tanist tune tanist.db --set probe.fall=1..8 --svg curve.svg
    """
    import contextlib

    from engine.answers.tuning import asked_of
    from engine.answers.tuning import tune as tuned

    asked = asked_of(set_)
    within_us = duration_us(false_within, option="--false-within")
    with contextlib.ExitStack() as stack:
        targets = logs or (places.resolve(None),)
        opened = [stack.enter_context(places.open_for_reading(target)) for target in targets]
        report = stack.enter_context(output.progress("events"))
        curve = tuned(opened, asked, false_within_us=within_us, progress=report)
    if svg is not None:
        from engine.answers.curves import svg as drawn

        svg.write_text(drawn(curve), encoding="utf-8")
    if json:
        output.document(curve)
        return
    from engine.cli.comparing import show_curve

    show_curve(curve)
    if svg is not None:
        output.note(f"the curve is in {svg}")


def trial(
    place: FilePlace = None,
    /,
    *,
    false_within: FalseWithin = "10s",
    log: File = None,
    json: Json = False,
) -> None:
    """What an engine that only observed would have done.

    Every failover that it proposed, with the heir, and what it would have saved or cost: from when
    the heir would have served until somebody did. False are those whose master answered again soon.

    Example: tanist trial tanist.db --false-within 5s
    """
    from engine.answers.trials import trial as tried
    from engine.cli.comparing import show_trial

    target, _ = places.split((place,), log, most=0)
    within_us = duration_us(false_within, option="--false-within")
    with places.open_for_reading(target) as opened:
        found = tried(opened, false_within_us=within_us)
    if json:
        output.document(found)
    else:
        show_trial(found)
