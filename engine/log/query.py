"""Questions in SQL about a log, sealed or not, which change nothing.

They see one more table, the view `log`, in the order of the events:

    seq      INTEGER
    time     TEXT     ISO 8601, to the microsecond
    kind     TEXT     as in MasterFailed
    subject  TEXT
    cause    INTEGER  seq of the direct trigger; 0: it came from outside
    payload  TEXT     JSON, as `events --json` has it in `data`
    at_us    INTEGER  the time once more [us since the Unix epoch]

An event that an old release stored is shown as it is read: with kind and fields of today.

A sealed block becomes rows by `json_each` over a function of ours, so one block at a time is held,
and a payload is decoded only where it is asked for.
"""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from engine.core.errors import ConfigurationError, EngineError, LogCorrupted
from engine.core.events import READ_AS, Recorded, decode, jsonable
from engine.log.blocks import Block
from engine.log.connection import Connect, Connection, driver_connect
from engine.log.interrupting import interruptible
from engine.log.library import sound_library
from engine.log.opening import reader_mode
from engine.log.sqlite import SqliteLog

Answer = tuple[list[str], Iterator[Sequence[object]]]  # the names of the columns, and the rows

_HELD_BLOCKS: Final = 4  # those that payloads were last taken from
_FETCHED_ROWS: Final = 200

_TIME: Final = """strftime('%Y-%m-%dT%H:%M:%S', at_us / 1000000, 'unixepoch')
  || printf('.%06dZ', at_us % 1000000)"""
_HOT: Final = """
SELECT seq, at_us, tanist_kind(kind) AS kind, subject, cause, tanist_data(kind, payload) AS payload
FROM main.events
"""
_SEALED: Final = """
SELECT value ->> 0 AS seq, value ->> 1 AS at_us, value ->> 2 AS kind, value ->> 3 AS subject,
  value ->> 4 AS cause, tanist_sealed(first, key) AS payload
FROM (SELECT first FROM main.blocks ORDER BY first), json_each(tanist_block(first))
"""
_VIEW: Final = """
CREATE TEMP VIEW log AS
SELECT seq, {time} AS time, kind, subject, cause, payload, at_us FROM ({events})
"""

# What a question may do, by SQLite's authorizer codes; the rest would change something.
_READ, _SELECT, _FUNCTION, _RECURSIVE = 20, 21, 31, 33
_ALLOWED: Final = frozenset({_READ, _SELECT, _FUNCTION, _RECURSIVE})
_OK, _DENY = 0, 1
# Primary result codes that are about the question, not about the log; 0 comes from the driver.
_MISTAKES: Final = frozenset({0, 1, 8, 18, 20, 21, 23, 25})

_NAMES: Final = {code: kind.__name__ for code, kind in READ_AS.items()}


class Questions:
    """Answers questions about `log`, which stays open; close it to give its connection back."""

    def __init__(self, log: SqliteLog, *, connect: Connect = driver_connect) -> None:
        """Connect; raises LogError."""
        self._log: Final = log
        self._blocks: OrderedDict[int, tuple[Block, list[bytes]]] = OrderedDict()
        self._failure: EngineError | None = None
        self._is_denied = False
        self._driver: Final = sound_library().module
        mode = reader_mode(log.path)
        self._connection: Final = Connection(log.path, mode=mode, connect=connect)
        self._raw: Final[Any] = self._connection.raw
        try:
            self._prepare()
        except BaseException:
            self.close()
            raise

    def _prepare(self) -> None:
        with self._connection.translated():
            for name, count, function in (
                ("tanist_kind", 1, _name),
                ("tanist_data", 2, self._hot),
                ("tanist_block", 1, self._columns),
                ("tanist_sealed", 2, self._sealed),
            ):
                self._raw.create_function(name, count, function, deterministic=True)
            events = f"{_SEALED} UNION ALL {_HOT}" if self._log.format > 1 else _HOT
            self._connection.cursor.execute(_VIEW.format(time=_TIME, events=events))
            self._connection.cursor.execute("PRAGMA query_only = ON")
            self._raw.set_authorizer(self._authorize)

    def ask(self, question: str) -> Answer:
        """Return the names of the columns and the rows, which are read as they are taken.

        Raises:
            ConfigurationError: It is no question, or would change something.
            LogError: The log cannot be read.
        """
        self._is_denied = False
        rows = self._rows(question)
        first = next(rows)
        return [str(name) for name in first], rows

    def _rows(self, question: str) -> Iterator[Sequence[object]]:
        """Return the names of the columns, then the rows."""
        cursor = self._connection.cursor
        with self._connection.translated():
            try:
                with interruptible(self._raw, _nothing):
                    cursor.execute(question)
                if cursor.description is None:
                    raise ConfigurationError(["the query is empty: expected SELECT ..."])
                yield [column[0] for column in cursor.description]
                while True:
                    with interruptible(self._raw, _nothing):
                        rows = cursor.fetchmany(_FETCHED_ROWS)
                    if not rows:
                        return
                    yield from rows
            except (self._driver.Error, self._driver.Warning, ValueError) as err:
                self._explain(err)
                raise

    def _explain(self, err: Exception) -> None:
        """Raise what `err` comes from, if that is known better here."""
        if self._failure is not None:
            raise self._failure from err
        code = int(getattr(err, "sqlite_errorcode", None) or 0) & 0xFF
        if self._is_denied:
            raise ConfigurationError(
                ["the query would do more than read: a log is never changed in SQL"]
            ) from err
        if code in _MISTAKES:
            raise ConfigurationError([f"the query: {err}"]) from err

    def _authorize(self, action: int, *_: object) -> int:
        if action in _ALLOWED:
            return _OK
        self._is_denied = True
        return _DENY

    def _columns(self, first: int) -> str:
        """Return a block's events as JSON: seq, time, kind, subject and cause of each."""
        try:
            block, _ = self._held(first)
            codes = [_name(code) for code in block.codes]
            kinds = [codes[index] for index in block.kinds]
            columns = (block.seqs, block.times, kinds, block.subjects, block.causes)
            rows = list(zip(*columns, strict=True))
            return msgspec.json.encode(rows).decode()
        except EngineError as err:
            self._failure = err
            raise

    def _sealed(self, first: int, index: int) -> str:
        try:
            block, payloads = self._held(first)
            if not payloads:
                payloads += block.payloads()
            return _data(block.codes[block.kinds[index]], payloads[index], block.seqs[index])
        except EngineError as err:
            self._failure = err
            raise

    def _hot(self, kind: int, payload: bytes) -> str:
        try:
            return _data(kind, payload, 0)
        except EngineError as err:
            self._failure = err
            raise

    def _held(self, first: int) -> tuple[Block, list[bytes]]:
        if first in self._blocks:
            self._blocks.move_to_end(first)
            return self._blocks[first]
        block = next(self._log.blocks(first - 1, first), None)
        if block is None:
            raise LogCorrupted(first, "the block that begins there is missing")
        self._blocks[first] = block, []
        if len(self._blocks) > _HELD_BLOCKS:
            self._blocks.popitem(last=False)
        return self._blocks[first]

    def close(self) -> None:
        """Give the connection back; a second call does nothing."""
        self._connection.close()


def _name(code: int) -> str:
    return _NAMES.get(code, str(code))


def _data(kind: int, payload: bytes, seq: int) -> str:
    event = decode(kind, payload, seq=seq)
    recorded = Recorded(seq=seq, at_us=0, subject="", cause=0, event=event)
    return msgspec.json.encode(jsonable(recorded)["data"]).decode()


def _nothing() -> None:
    """Only let Ctrl-C be noticed."""
