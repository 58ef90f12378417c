"""The sink: where messages take effect, counted by somebody whom no fault strikes.

    python -m engine.samples.sink --port 7009 --file sink.db

It prints {"port": ...} as one line when it listens. It refuses an epoch older than the newest of
its scope (the group, unless the work names another one), and a key that was applied before. What it
applied is a table with a row for each time, so that "applied twice" is counted from what happened
and not from what should have.

    POST /apply {"group", "scope", "key", "lane", "epoch", "master", "body", "test"}
                           200 {"result": "applied" | "repeated" | "tested"}
                           409 {"result": "stale", "newest"}
    GET  /report[?keys=1]  the counts, and all keys that were applied, by group

Work marked as a test is checked for its epoch and not counted. It moves the scope's epoch too: from
the moment that a new master is verified, its predecessor has no effect any more.

Order: the number at the end of a key ("m-0007") is its place in the lane; a message applied after
one with a higher number is out of order. Keys without a number have no order.
"""

import argparse
import asyncio
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from engine.samples.master import Json, Reply, serve

_NUMBER: Final = re.compile(r"[0-9]{1,18}\Z")

_TABLES: Final = """
CREATE TABLE IF NOT EXISTS applications (
    n INTEGER PRIMARY KEY, grp TEXT, key TEXT, lane TEXT, number INTEGER, epoch INTEGER,
    master TEXT, body TEXT
) STRICT;
CREATE INDEX IF NOT EXISTS applications_key ON applications (grp, key);
CREATE TABLE IF NOT EXISTS scopes (scope TEXT PRIMARY KEY, epoch INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS refusals (
    n INTEGER PRIMARY KEY, result TEXT, grp TEXT, key TEXT, epoch INTEGER, master TEXT
) STRICT;
"""
_OUT_OF_ORDER: Final = """
SELECT count(*) FROM (
    SELECT number, max(number) OVER (
        PARTITION BY grp, lane ORDER BY n ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    ) AS top FROM applications WHERE number IS NOT NULL
) WHERE number < top
"""


class Sink:
    """Applies, refuses and counts; `file` is a SQLite database of its own."""

    def __init__(self, file: str) -> None:
        self._database = sqlite3.connect(file, isolation_level=None)
        self._database.execute("PRAGMA journal_mode = WAL")
        # No fault strikes the sink, and a transaction outlives a kill of the process all the same.
        self._database.execute("PRAGMA synchronous = OFF")
        self._database.executescript(_TABLES)

    async def answer(self, method: str, path: str, body: Json) -> Reply:
        """Return the reply to one request."""
        match method, path:
            case "GET", "/health":
                return 200, {"status": "ok"}
            case "POST", "/apply":
                return self.apply(body)
            case "GET", "/report":
                return 200, self.report()
            case "GET", "/report?keys=1":
                return 200, {**self.report(), "keys_by_group": self.keys()}
            case _:
                return 404, {"reason": f"no {method} {path} here"}

    def apply(self, work: Json) -> Reply:
        """Apply `work`, unless it is repeated, stale or a test; one transaction."""
        group, key, epoch = work.get("group"), work.get("key"), work.get("epoch")
        lane, master, body = work.get("lane", ""), work.get("master", ""), work.get("body", "")
        scope = work.get("scope", group)
        texts = (group, scope, key, lane, master, body)
        if type(epoch) is not int or not all(isinstance(text, str) for text in texts):
            return 400, {"reason": "expected group, scope, key, lane, epoch, master and body"}
        with self._transaction():
            newest = self._first("SELECT epoch FROM scopes WHERE scope = ?", scope)
            if newest is not None and epoch < newest:
                self._refuse("stale", work)
                return 409, {"result": "stale", "newest": newest}
            if epoch != newest:
                self._database.execute(
                    "INSERT OR REPLACE INTO scopes VALUES (?, ?)", (scope, epoch)
                )
            if work.get("test") is True:
                return 200, {"result": "tested"}
            known = "SELECT n FROM applications WHERE grp = ? AND key = ?"
            if self._first(known, group, key) is not None:
                self._refuse("repeated", work)
                return 200, {"result": "repeated"}
            number = _NUMBER.search(str(key))
            self._database.execute(
                "INSERT INTO applications VALUES (NULL, ?, ?, ?, ?, ?, ?, ?)",
                (group, key, lane, int(number[0]) if number else None, epoch, master, body),
            )
            return 200, {"result": "applied"}

    def report(self) -> Json:
        """Return the counts, each taken from the tables."""
        applied = self._count("SELECT count(*) FROM applications")
        keys = self._count("SELECT count(*) FROM (SELECT DISTINCT grp, key FROM applications)")
        refused = "SELECT count(*) FROM refusals WHERE result = ?"
        return {
            "applied": applied,
            "keys": keys,
            "applied_twice": applied - keys,
            "repeated": self._count(refused, "repeated"),
            "refused_stale": self._count(refused, "stale"),
            "out_of_order": self._count(_OUT_OF_ORDER),
        }

    def keys(self) -> dict[str, list[str]]:
        """Return the keys that were applied, by group, in the order of their application."""
        found: dict[str, list[str]] = {}
        for group, key in self._database.execute("SELECT grp, key FROM applications ORDER BY n"):
            found.setdefault(group, []).append(key)
        return found

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")

    def _refuse(self, result: str, work: Json) -> None:
        self._database.execute(
            "INSERT INTO refusals VALUES (NULL, ?, ?, ?, ?, ?)",
            (result, *(work.get(name, "") for name in ("group", "key", "epoch", "master"))),
        )

    def _first(self, query: str, *values: object) -> int | None:
        row = self._database.execute(query, values).fetchone()
        return None if row is None else int(row[0])

    def _count(self, query: str, *values: object) -> int:
        count = self._first(query, *values)
        assert count is not None
        return count


def main() -> None:
    """Run the sink until it is told to stop."""
    parser = argparse.ArgumentParser(description="A sink that counts what was applied.")
    parser.add_argument("--port", type=int, default=0, help="0: any that is free")
    parser.add_argument("--file", default="sink.db", help="its SQLite database")
    args = parser.parse_args()
    sink = Sink(args.file)
    try:
        asyncio.run(serve(args.port, sink.answer, hello={}))
    finally:
        sink.close()


if __name__ == "__main__":
    main()
