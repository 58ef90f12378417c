"""Replay: what would have been decided under another policy, or without something."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from engine.cli import output, places
from engine.cli.main import NO
from engine.cli.options import File, FilePlace, Json, duration_us


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
    false_within: Annotated[
        str,
        Parameter(help="Whoever answers again so soon after a verdict was left without need."),
    ] = "10s",
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

    target, _ = places.split((place,), log, most=0)
    file = None if policy is None else load(policy, masters_needed=False).policy
    within_us = duration_us(false_within, option="--false-within")
    with places.open_for_reading(target) as opened, output.progress("events") as report:
        asked = question(opened, sets=set_, policy=file, skipped=skip)
        part = stretch(opened)
        found = document(opened, asked, part, false_within_us=within_us, progress=report)
    if json:
        output.document(found)
    else:
        show_whatif(found)
    return NO if found["release_differs"] else 0
