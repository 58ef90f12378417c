"""An heir held against all who answer before it is promoted, as the carrier of Redis does it."""

from collections.abc import Callable, Mapping
from typing import Final, Protocol

from engine.core.fleet import Health
from engine.core.owed import Effect
from engine.core.standing import Heard, Lack, is_misled, lack
from engine.core.state import GroupState
from engine.simulation.masters import Answer, Status
from engine.simulation.outside import Outside

PARTS: Final = 3  # of the time of a step that others are waited for

# How it ended: what the heir lacks, and the answers of all that gave one.
Compared = Callable[[Lack | None, Mapping[str, Answer]], None]


class Comparer(Protocol):
    """The engine's process, as this meets it."""

    def guarded(self, action: Callable[[int], None]) -> Callable[[], None]:
        """Return what happens only in this life."""

    def part(self, group: str) -> GroupState:
        """Return the durable state of `group`."""

    def lack(
        self, heir: Answer, heard: list[Heard], *, silent: set[str], served: int
    ) -> Lack | None:
        """Return what an heir lacks that somebody has."""


def lack_of(heir: Answer, heard: list[Heard], *, silent: set[str], served: int) -> Lack | None:
    """Return what an heir lacks that somebody has, by the rule of the core."""
    assert heir.standing is not None
    return lack(heir.standing, heir.epoch, heard, silent=silent, served=served)


def compare(
    rim: Comparer, outside: Outside, effect: Effect, timeout_us: int, compared: Compared
) -> None:
    """Ask the heir and all others that have not failed how they stand, and compare them.

    Nothing comes of it if the heir itself does not answer in time.
    """
    part = rim.part(effect.group)
    others = [
        name
        for name, master in part.masters.items()
        if name != effect.master and master.health is not Health.FAILED
    ]
    answers: dict[str, Answer] = {}
    is_over = is_due = False

    def end(_: int) -> None:
        nonlocal is_over, is_due
        is_due = True
        if is_over or effect.master not in answers:
            return
        is_over = True
        heard = [
            Heard(
                name=name,
                place=f"{name}:1",
                role=part.masters[name].role,
                standing=answer.standing,
                is_fenced=answer.is_fenced,
                knows=answer.epoch,
            )
            for name, answer in answers.items()
            if name != effect.master and answer.standing is not None
            if name in part.masters  # who was removed meanwhile is nobody's rival
        ]
        answer, server = answers[effect.master], outside.servers[effect.master]
        if answer.standing is not None and is_misled(answer.standing, answer.epoch, heard):
            outside.send(effect.master, server.leave, _noted, _nothing)
        found = rim.lack(
            answer,
            heard,
            silent=part.masters.keys() - answers.keys(),
            served=part.switch_epoch,
        )
        if found is not None and found.source:
            source = found.source.partition(":")[0]
            outside.send(effect.master, lambda: server.rejoin(source), _noted, _nothing)
        compared(found, answers)

    def answered(name: str, answer: Answer) -> None:
        if answer.status is Status.OK and not is_over:
            answers[name] = answer
            if is_due or len(answers) == len(others) + 1:
                end(0)

    for name in (effect.master, *others):
        _ask(rim, outside, name, answered)
    outside.later(timeout_us // PARTS, rim.guarded(end))


def _ask(
    rim: Comparer, outside: Outside, name: str, answered: Callable[[str, Answer], None]
) -> None:
    """Ask a server how it stands."""
    server = outside.servers[name]

    def take() -> Answer | None:
        return None if server.is_gray else server.standing()

    outside.send(
        name,
        take,
        lambda answer: rim.guarded(lambda _: answered(name, answer))(),
        _nothing,
    )


def _noted(_: Answer) -> None:
    """Need no answer."""


def _nothing() -> None:
    """Do without it."""
