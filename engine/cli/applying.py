"""A configuration that is offered to a running engine, or to a log at rest."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.answers.folds import state_at
from engine.answers.hypotheses import rehearsed
from engine.answers.inforce import drift
from engine.answers.spelling import written
from engine.cli import output, places, resting, sending, tending
from engine.cli.acting import Command
from engine.cli.comparing import show_whatif
from engine.cli.explaining import SIDES
from engine.config import Configuration
from engine.config.loading import parse
from engine.core.errors import CommandRefused, ConfigurationError
from engine.service.accounting import spending_in


def apply(target: str, file: Path, *, dry_run: bool, json: bool) -> None:
    """List what changes, key by key; then adopt it, or only say what would come of it.

    Raises:
        ConfigurationError: The file has mistakes, or cannot be read.
        CommandRefused: It is refused as a whole, with every reason.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as err:
        raise ConfigurationError([f"{file}: {err}"]) from err
    configuration = parse(text, source=str(file))
    command = tending.apply(configuration, text)
    if places.is_address(target):
        if dry_run:
            raise ConfigurationError(["--dry-run reads the log itself: name it with --log"])
        sending.give(target, command, json=json)
        return
    changed = _changes(target, configuration)
    if dry_run:
        _rehearse(target, configuration, command, changed, json=json)
        return
    if not json:
        _list(changed)
    sending.give(target, command, json=json, more={"changes": changed})


def _changes(target: str, configuration: Configuration) -> list[dict[str, Any]]:
    """Return what is other than in force; masters that a command added stay, and are no change."""
    with places.open_for_reading(target) as log:
        state = state_at(log)
    added = {name for name, place in state.cache.places.items() if place.master.by_command}
    return [
        one
        for one in drift(state, configuration)
        if not (one["key"] == "master" and one["subject"] in added)
    ]


def _list(changed: list[dict[str, Any]]) -> None:
    if not changed:
        output.text("nothing changes")
        return
    rows = [
        (one["subject"], one["key"], *(written(one["path"], one[side]) for side in SIDES))
        for one in changed
    ]
    output.console().print(output.table(("subject", "key", "in force", "then"), rows))


def _rehearse(
    target: str,
    configuration: Configuration,
    command: Command,
    changed: list[dict[str, Any]],
    *,
    json: bool,
) -> None:
    reasons = resting.refusal_of(target, command)
    found: dict[str, Any] = {"dry_run": True, "changes": changed, "reasons": list(reasons)}
    day: Mapping[str, Any] = {}
    if not reasons:
        with (
            places.open_for_reading(target) as log,
            output.progress("deciding the last day again") as report,
        ):
            budgets = spending_in(log)
            day = rehearsed(log, configuration.policy, progress=report, budgets=budgets)
        found["last_day"] = day
    if json:
        output.document(found)
    else:
        _list(changed)
        if day:
            show_whatif(day)
    if reasons:
        raise CommandRefused(reasons)
