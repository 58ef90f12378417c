"""What would have been decided: a question put to a log, and its answer as a document.

Which settings can be asked about is in engine.whatif.keys; how it is decided again in
engine.whatif.again. Where observations were dropped, the answer begins after them, and says so.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

import msgspec

from engine.answers.folds import Progress
from engine.answers.positions import last_until
from engine.answers.search import Finder, decoded, events_of
from engine.answers.spelling import written
from engine.answers.telling import sentence
from engine.answers.times import iso
from engine.answers.words import lasting
from engine.config import override
from engine.core import events as ev
from engine.core import lulls
from engine.core import state as st
from engine.core.errors import ConfigurationError
from engine.core.events import Recorded, codes_of
from engine.core.policy import DAY, GroupPolicy, Policy, sums
from engine.core.state import State
from engine.log.protocol import Log
from engine.log.states import state_at
from engine.log.thinning import dropped_in, last_dropped
from engine.whatif.again import Result, WhatIf, unchanged
from engine.whatif.given import Change, is_input
from engine.whatif.keys import Changed, Sort, answerable, changes
from engine.whatif.minutes import Budgets
from engine.whatif.model import Times, learned
from engine.whatif.spans import Item
from engine.whatif.sweep import sweep
from engine.whatif.tally import FALSE_WITHIN_US, Sums

SHOWN_MAX: Final = 200  # differences in a document


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of a log, checked against the policy that it ends with."""

    label: str  # what is asked, in short
    change: Change = unchanged
    narrows: bool = False
    skipped: tuple[int, ...] = ()
    kept: tuple[str, ...] = ()  # settings that are left as they were recorded
    policy: Policy = Policy(groups={})  # that the log ends with

    @property
    def is_asked(self) -> bool:
        """Return whether anything shall be other than it was."""
        return self.change is not unchanged or bool(self.skipped)


class Stretch(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a log: what came before it, and where it begins and ends [seq]."""

    base: State | None
    after: int
    until: int


def question(
    log: Log,
    *,
    sets: Sequence[str] = (),
    policy: Policy | None = None,
    skipped: Sequence[int] = (),
) -> Question:
    """Return the question of the command line, checked.

    Args:
        log: It ends with the policy that settings are checked against.
        sets: Settings, as in "probe.fall=5".
        policy: That of a file; its groups take the place of those of the same name, or of all if it
            has but one.
        skipped: Seqs of observations that are left out.

    Raises:
        ConfigurationError: A setting changes what is observed, or there is no such thing.
    """
    before = _policy_of(log)
    mistakes: list[str] = []
    kept: dict[str, None] = {}
    after = before
    if policy is not None:
        after = _replaced(before, policy)
        mistakes += [one.refusal(written) for one in changes(before, after) if not _may(one)]
    for assignment in sets:
        own = override(after, assignment)
        key = assignment.partition("=")[0].strip()
        for one in changes(after, own):
            if one.is_answerable:
                continue
            if one.key == key or one.key.startswith(f"{key}."):
                mistakes.append(one.refusal(written))
            else:
                kept[one.key] = None  # a default that would have followed
        after = own
    for seq in skipped:
        mistakes += _unskippable(log, seq)
    if mistakes:
        raise ConfigurationError(list(dict.fromkeys(mistakes)))
    label = ", ".join(
        [
            *(assignment.replace(" ", "") for assignment in sets),
            *(["the policy of the file"] if policy is not None else []),
            *(f"without event {seq}" for seq in skipped),
        ]
    )
    if not sets and policy is None:
        return Question(label=label, skipped=tuple(skipped), policy=before)

    def change(recorded: Policy) -> Policy:
        found = recorded if policy is None else _replaced(recorded, policy)
        for assignment in sets:
            found = override(found, assignment)
        return _answerable(recorded, found)

    narrows = any(one.sort is Sort.NARROWING for one in changes(before, change(before)))
    return Question(
        label=label,
        change=change,
        narrows=narrows,
        skipped=tuple(skipped),
        kept=tuple(kept),
        policy=before,
    )


def rehearsal(log: Log, policy: Policy, *, label: str = "the new policy") -> Question:
    """Return the question what another policy would have decided, as far as the log can tell.

    What the log cannot answer is left as it was recorded, and named in `kept`.
    """
    before = _policy_of(log)
    kept = [one.key for one in changes(before, policy) if not one.is_answerable]

    def change(recorded: Policy) -> Policy:
        return _answerable(recorded, _replaced(recorded, policy))

    narrows = any(one.sort is Sort.NARROWING for one in changes(before, change(before)))
    return Question(
        label=label, change=change, narrows=narrows, kept=tuple(dict.fromkeys(kept)), policy=before
    )


def rehearsed(
    log: Log,
    policy: Policy,
    *,
    window_us: int = DAY,
    progress: Progress | None = None,
    budgets: Budgets | None = None,
) -> dict[str, object]:
    """Return what `policy` would have decided otherwise over the end of a log.

    Args:
        log: Its observations are decided upon again.
        policy: The one that shall be in force.
        window_us: How much of the end of the log [us].
        progress: Told how far it is.
        budgets: See `ask`.
    """
    begin_us = log.head.at_us - window_us
    part = stretch(log, after=last_until(log, begin_us))
    return document(log, rehearsal(log, policy), part, progress=progress, budgets=budgets)


def _policy_of(log: Log) -> Policy:
    """Return the policy that a log ends with."""
    found = next(Finder(log).before(log.head.seq + 1, (ev.PolicyAdopted,)), None)
    if found is not None and isinstance(found.event, ev.PolicyAdopted):
        return found.event.policy
    return state_at(log).fleet.policy  # a log that begins with a state need not have adopted any


def _may(changed: Changed) -> bool:
    """Return whether a file may differ: an import carries nothing out, whatever a file says."""
    return changed.is_answerable or (changed.path == "effects" and changed.before == "none")


def _replaced(recorded: Policy, policy: Policy) -> Policy:
    """Return the recorded policy with the groups that a file speaks of."""
    only = next(iter(policy.groups.values())) if len(policy.groups) == 1 else None
    groups = {
        name: policy.groups.get(name) or only or group for name, group in recorded.groups.items()
    }
    fleet = {name: getattr(policy, name) for name in policy.__struct_fields__ if name != "groups"}
    return msgspec.structs.replace(recorded, groups=groups, **fleet)


def _answerable(recorded: Policy, asked: Policy) -> Policy:
    groups = {
        name: answerable(group, asked.groups[name], name) for name, group in recorded.groups.items()
    }
    return msgspec.structs.replace(asked, groups=groups)


def _unskippable(log: Log, seq: int) -> Iterator[str]:
    found = Finder(log).at(seq)
    if found is None:
        yield f"no event {seq} in the log: it ends at {log.head.seq}"
    elif not is_input(found):
        kind = type(found.event).__name__
        yield f"event {seq} ({kind}) is derived again: name an observation to leave out"


def stretch(log: Log, *, after: int = 0, until: int | None = None) -> Stretch:
    """Return the part of a log after the seq `after`, or after what was dropped of it."""
    dropped = last_dropped(log)
    first = max(after, 0 if dropped is None else dropped_in(dropped).until)
    end = log.head.seq if until is None else until
    return Stretch(base=state_at(log, first) if first else None, after=first, until=end)


def ask(
    log: Log,
    asked: Question,
    part: Stretch,
    *,
    false_within_us: int = FALSE_WITHIN_US,
    stop: Callable[[WhatIf], bool] | None = None,
    progress: Progress | None = None,
    beside: State | None = None,
    budgets: Budgets | None = None,
) -> Result:
    """Return what comes of a part of a log; its base is used up.

    Without `stop`, what was recorded is folded into `beside`. With `budgets`, those of this run are
    accounted for from where it parts from the recorded one.
    """
    run = WhatIf(
        change=asked.change,
        base=part.base,
        skipped=asked.skipped,
        times=lambda: times_of(log),
        narrows=asked.narrows,
        false_within_us=false_within_us,
        budgets=budgets,
    )
    if stop is not None:
        return run.run(log.read(part.after, part.until), stop=stop)
    stretches = log.stretches(part.after, part.until)
    told = stretches if progress is None else _told(stretches, part, progress)
    return sweep(run, told, beside=beside)


def times_of(log: Log) -> Times:
    """Return how long recorded steps took."""
    groups = {
        recorded.subject: recorded.event.master.group
        for recorded in events_of(log, (ev.MasterAdded,))
        if isinstance(recorded.event, ev.MasterAdded)
    }
    return learned(_outcomes(log), groups)


def _outcomes(log: Log) -> Iterator[Recorded]:
    """Return the recorded outcomes; blocks without any are passed over by their kinds."""
    codes = codes_of((ev.Outcome,))
    sealed = log.sealed_until(log.head.at_us)
    for block in log.blocks(until=sealed, having=codes):
        wanted = [code in codes for code in block.codes]
        places = [place for place, kind in enumerate(block.kinds) if wanted[kind]]
        yield from (block.event(place) for place in places)
    for row in log.rows(sealed):
        if row[2] in codes:
            yield decoded(row)


def _told(
    stretches: Iterable[lulls.Stretch], part: Stretch, progress: Progress
) -> Iterator[lulls.Stretch]:
    for stretch in stretches:
        yield stretch
        progress(stretch.seqs[-1] - part.after, part.until - part.after)


def document(
    log: Log,
    asked: Question,
    part: Stretch,
    *,
    false_within_us: int = FALSE_WITHIN_US,
    stop: Callable[[WhatIf], bool] | None = None,
    progress: Progress | None = None,
    budgets: Budgets | None = None,
) -> dict[str, object]:
    """Return what `whatif --json` prints: both sides, where they part, how, and a sentence.

    Where nothing was asked to be other than it was and it is all the same, `release_differs` is
    true: another release than this one has decided the log, and otherwise.
    """
    began_us = 0 if part.base is None else part.base.at_us
    beside = State() if part.base is None else st.copy(part.base)
    seen: list[int] = [part.until]

    def ends(run: WhatIf) -> bool:
        if stop is None or not stop(run):
            return False
        seen[0] = run.last_seq
        return True

    found = ask(
        log,
        asked,
        part,
        false_within_us=false_within_us,
        stop=None if stop is None else ends,
        progress=progress,
        beside=beside,
        budgets=budgets,
    )
    recorded = beside if stop is None else state_at(log, seen[0])
    began_us = began_us or next((row[1] for row in log.rows(part.after, chunk=1)), 0)
    return {
        "asked": asked.label,
        "from": iso(began_us),
        "to": iso(recorded.at_us),
        "events": seen[0] - part.after,
        "recorded": _side(found.recorded, st.digest(recorded)),
        "whatif": _side(found.whatif, st.digest(found.state)),
        "diverged_at": found.diverged_at,
        "release_differs": found.diverged_at is not None and not asked.is_asked,
        "differences": [
            {
                "at": iso(one.at_us),
                "recorded": [_said(item) for item in one.recorded],
                "whatif": [_said(item) for item in one.whatif],
            }
            for one in found.differences[:SHOWN_MAX]
        ],
        "differences_count": found.count,
        "shifted": found.shifted,
        "assumed": found.assumed,
        "left_out": found.left_out,
        "model_us": found.model_us,
        "kept": list(asked.kept),
        "says": says(asked, found, recorded.fleet.policy),
    }


def _side(side: Sums, digest: str) -> dict[str, object]:
    return {**msgspec.structs.asdict(side), "digest": digest}


def _said(item: Item) -> dict[str, object]:
    recorded = item.recorded
    said: dict[str, object] = {
        "seq": recorded.seq,
        "at": iso(recorded.at_us),
        "kind": type(recorded.event).__name__,
        "subject": recorded.subject,
        "says": sentence(recorded) or f"{type(recorded.event).__name__} {recorded.subject}",
    }
    return {**said, "assumed": True} if item.is_assumed else said


def says(asked: Question, found: Result, policy: Policy) -> str:
    """Return the answer in one sentence."""
    if not asked.is_asked:
        if found.diverged_at is None:
            return "under the recorded policy this release decides the same"
        return f"this release decides otherwise from event {found.diverged_at} on"
    before, after = found.recorded, found.whatif
    parts = [_failovers(before, after)]
    parts += [
        f"{group} down {lasting(after.down_us.get(group, 0))} instead of {lasting(down_us)}"
        for group, down_us in before.down_us.items()
        if after.down_us.get(group, 0) != down_us
    ]
    if asked.change is not unchanged:
        parts += _promises(policy, asked.change(policy))
    if found.diverged_at is None:
        parts = ["nothing would have been decided otherwise", *parts[1:]]
    return f"{asked.label}: {'; '.join(parts)}"


def _failovers(before: Sums, after: Sums) -> str:
    if after.failovers == before.failovers:
        if after.detections != before.detections:
            return f"{_count(after.detections, 'detection')} instead of {before.detections}"
        return f"{_count(after.failovers, 'failover')}, as recorded"
    if not after.failovers:
        return "no failover"
    return f"{_count(after.failovers, 'failover')} instead of {before.failovers}"


def _count(number: int, what: str) -> str:
    return f"{number or 'no'} {what}{'' if number == 1 else 's'}"


def _promises(before: Policy, after: Policy) -> list[str]:
    """Return the worst detection of groups that have another, and whether they keep their word."""
    by_group = {
        name: said
        for name, group in before.groups.items()
        if (said := _promise(group, after.groups[name]))
    }
    if len(set(by_group.values())) > 1:
        return [f"{name}: {said}" for name, said in by_group.items()]
    return list(dict.fromkeys(by_group.values()))


def _promise(before: GroupPolicy, after: GroupPolicy) -> str:
    was, now = sums(before), sums(after)
    if (was.detect_us, was.slack_us) == (now.detect_us, now.slack_us):
        return ""
    needed_us = now.detect_us + now.slack_us
    said = f"detection {lasting(now.detect_us)}"
    if needed_us > after.detect_within_us:
        return f"{said}, breaks detect_within {lasting(after.detect_within_us)}"
    return said
