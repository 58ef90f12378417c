"""A sample master that writes down each step that it carries out, to be counted afterwards.

    python -m tests.faults.telling --record FILE, and what engine.samples.master takes

One line of JSON for each step that took effect. A file outlives a kill, and a step that is answered
from memory, because it was done before, is not carried out and leaves no line.
"""

import argparse
import asyncio
import json
import os
import secrets
from typing import Final

from engine.samples.master import Json, Master, Peer, Reply, serve


class Telling(Master):
    """A sample master with a witness."""

    def __init__(self, *, record: str, name: str, group: str, sink: Peer) -> None:
        boot = secrets.token_hex(8)
        super().__init__(name=name, group=group, boot=boot, role="standby", sink=sink)
        self._file: Final = os.open(record, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    async def _carry_out(self, step: str, epoch: int, body: Json) -> Reply:
        reply = await super()._carry_out(step, epoch, body)
        if reply[0] == 200:
            line = {
                "master": self.name,
                "boot": self.boot,
                "failover": body.get("failover"),
                "step": step,
                "epoch": epoch,
            }
            os.write(self._file, json.dumps(line).encode() + b"\n")
        return reply


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--record", required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--sink", required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--group", required=True)
    args = parser.parse_args()
    master = Telling(record=args.record, name=args.name, group=args.group, sink=Peer(args.sink))
    asyncio.run(serve(args.port, master.answer, hello={"boot": master.boot}))


if __name__ == "__main__":
    main()
