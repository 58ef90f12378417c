"""The process that is killed while it creates a log, with pages of it in the file already.

Arguments: the log, and "first" if its first page shall be one of them.
"""

import os
import signal
import sys
from pathlib import Path

from engine.log import open_log
from engine.log.connection import Connection, driver_connect
from engine.log.schema import create_schema


def first_page(whole: str) -> bytes:
    """Return the first page of a new log, as it is before the write-ahead log is switched on."""
    open_log(whole, mode="write", create=True).close()
    page = bytearray(Path(whole).read_bytes()[:4096])
    page[18] = page[19] = 1
    return bytes(page)


def main() -> None:
    connection = Connection(Path(sys.argv[1]), mode="rwc", connect=driver_connect)
    connection.cursor.execute("PRAGMA cache_size = 1")
    core = connection.core
    with connection.transaction():
        create_schema(core, release="1")
        connection.cursor.execute("CREATE TABLE filling (x)")
        for _ in range(50):
            connection.cursor.execute("INSERT INTO filling VALUES (zeroblob(3000))")
        if "first" in sys.argv:
            # What a kill between two pages of the commit leaves: the header, still to be undone.
            with open(sys.argv[1], "r+b", buffering=0) as file:
                file.write(first_page(f"{sys.argv[1]}.whole"))
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
