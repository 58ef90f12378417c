"""Folding a log into a view: sealed blocks by their columns where the projection can, else events.

A fold stops at the first event that cannot be applied, whether the projection raises or the event
cannot be read. The view is of no use then: it may be half-way through that event.
"""

import itertools
from collections.abc import Iterator
from typing import Any, Protocol

from engine.core.errors import LogCorrupted
from engine.core.events import Recorded
from engine.log.blocks import Block
from engine.log.chain import BLOCK_EVENTS
from engine.log.protocol import BlockProjection, Head, Projection, Row, Seal, V


class Source(Protocol):
    """Where the events come from: what a log gives to its views."""

    @property
    def head(self) -> Head:
        """Return where the log ends."""

    def read(self, after: int = 0, until: int | None = None) -> Iterator[Recorded]:
        """Return the events of that range."""

    def rows(self, after: int = 0, until: int | None = None, *, chunk: int = ...) -> Iterator[Row]:
        """Return the same events as they are stored, so many at a time."""

    def seals(self) -> list[Seal]:
        """Return where the sealed blocks end, in order."""

    def blocks(self, after: int = 0, until: int | None = None) -> Iterator[Block]:
        """Return the sealed blocks that hold events of that range, in order."""


class Stuck(Exception):
    """The fold cannot go on; nobody outside the log sees this.

    `seq` is that of the event, or of the first one of its block.
    """

    def __init__(self, seq: int, error: Exception) -> None:
        super().__init__(seq, error)
        self.seq = seq
        self.error = error


def fold_on(
    source: Source,
    projection: Projection[V],
    view: V,
    position: int,
    *,
    until: int,
    limit_events: int,
    by_block: bool,
) -> tuple[int, int]:
    """Return the position that `view` was folded on to, and how many events that took.

    Args:
        source: Where the events come from.
        projection: How they are folded.
        view: A fold of the events up to `position`.
        position: The seq of its last event.
        until: The seq of the last event to apply.
        limit_events: How many to apply at most [count].
        by_block: Whether the projection is offered whole blocks; if it is not, a failure names
            the very event.

    Raises:
        Stuck: An event cannot be applied; the view is of no use any more.
        LogError: The log cannot be read.
    """
    applied = 0
    if by_block and isinstance(projection, BlockProjection):
        for block in _blocks(source, position, until):
            if position + 1 < block.first:  # the base of a log that goes on from one
                count, position = _one_by_one(
                    source, projection, view, position, block.first - 1, limit_events - applied
                )
                applied += count
            if limit_events - applied < BLOCK_EVENTS or block.last > until:
                break
            if position < block.first and _takes(projection, view, block):
                count, position = BLOCK_EVENTS, block.last
            else:
                count, position = _one_by_one(
                    source, projection, view, position, block.last, BLOCK_EVENTS
                )
            applied += count
    count, position = _one_by_one(source, projection, view, position, until, limit_events - applied)
    return position, applied + count


def _blocks(source: Source, position: int, until: int) -> Iterator[Block]:
    try:
        yield from source.blocks(position, until)
    except LogCorrupted as err:
        raise _unread(err, position) from err


def _takes(projection: BlockProjection[Any], view: object, block: Block) -> bool:
    try:
        return projection.project_block(view, block)
    except Exception as err:
        raise Stuck(block.first, err) from err


def _one_by_one(
    source: Source, projection: Projection[V], view: V, position: int, until: int, limit: int
) -> tuple[int, int]:
    """Return how many events were applied, and the position."""
    project, applied, begun = projection.project, 0, position
    # Never asked for more than there is: what lies behind `until` may be damaged.
    limit = max(0, min(limit, until - position))
    try:
        for recorded in itertools.islice(source.read(position, until), limit):
            begun = recorded.seq
            project(view, recorded)
            applied, position = applied + 1, begun
    except Exception as err:
        if begun != position:  # the projection raised it, not the log
            raise Stuck(begun, err) from err
        if isinstance(err, LogCorrupted):
            raise _unread(err, position) from err
        raise
    return applied, position


def _unread(err: LogCorrupted, position: int) -> Exception:
    """Return that the event cannot be read, or `err` if that is about the whole file."""
    return Stuck(max(err.seq, position + 1), err) if err.seq else err
