"""What a failover changed, for whoever wants it undone: who was left, and who took over."""

import msgspec

from engine.answers.search import Finder
from engine.core import events as ev
from engine.core.errors import CommandRefused
from engine.log.protocol import Log


class Left(msgspec.Struct, frozen=True, kw_only=True):
    """One failover that was completed."""

    failover: int
    group: str
    source: str  # "": nobody was active before
    heir: str


def left_by(log: Log, failover: int) -> Left:
    """Return what the failover of this id changed; 0: the last one that was completed.

    Raises:
        CommandRefused: There is no such failover, or it was not completed.
    """
    finder = Finder(log)
    if not failover:
        for ended in finder.before(finder.head + 1, (ev.FailoverEnded,)):
            assert isinstance(ended.event, ev.FailoverEnded)
            if ended.event.result == "completed":
                failover = ended.event.id
                break
        else:
            raise CommandRefused(["no failover was completed yet"])
    started = finder.at(failover) if failover <= finder.head else None
    if started is None or not isinstance(started.event, ev.FailoverStarted):
        raise CommandRefused([f"event {failover} begins no failover"])
    heir = ""
    kinds = (ev.AttemptStarted, ev.FailoverEnded)
    for recorded in finder.after(failover, kinds, started.subject):
        if isinstance(recorded.event, ev.AttemptStarted):
            heir = recorded.event.heir
        elif isinstance(recorded.event, ev.FailoverEnded):
            if recorded.event.result != "completed":
                raise CommandRefused([f"failover {failover} is {recorded.event.result}"])
            return Left(
                failover=failover,
                group=started.subject,
                source=started.event.source,
                heir=heir,
            )
    raise CommandRefused([f"failover {failover} is open"])
