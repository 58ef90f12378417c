"""A sample master: the whole protocol of a master in one file that needs nothing but Python.

    python -m engine.samples.master --port 7001 --sink http://127.0.0.1:7009

It prints {"port": ..., "boot": ...} as one line when it listens. What it does with a message is to
apply it at a sink, if it has one; what it holds are sessions, a counter of messages for each lane.
Copy it and put your own work into `_work`.

    GET  /health                        200 what it is and how it is
    POST /control/fence|promote|demote|transfer|verify
                                        200 done · 202 under way · 409 stale epoch · 423 {"reason"}
    POST /messages                      200 done, {"state"} to be kept · 409 stale · 503 not now

Rules:
- The epoch never goes back; what comes with an older one is refused (409), whoever sends it.
- A fence is also the end of every promotion up to its epoch: one that arrives late is refused.
- A step is known by (failover, step, epoch). Only what was done is remembered and not done again.
- A preflight is a verify that looks and changes nothing; it has no epoch of its own to compare.
- State comes as a whole or not at all.
- Whom the sink refuses stops, and reports the newest epoch that the sink knows.
"""

import argparse
import asyncio
import base64
import contextlib
import hashlib
import json
import secrets
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeAlias
from urllib.parse import urlsplit

HEAD_BYTES_MAX: Final = 16_384
BODY_BYTES_MAX: Final = 67_108_864  # the state of a group comes in one body
BACKLOG: Final = 512  # connections that wait while this process stands still
SINK_S: Final = 5.0  # the sink is given this long [s]
REMEMBERED_MAX: Final = 1_000  # steps that were done [count]
STEPS: Final = ("fence", "promote", "demote", "transfer", "verify")

Json: TypeAlias = dict[str, object]
Reply: TypeAlias = tuple[int, Json]  # the status and the body
Answer: TypeAlias = Callable[[str, str, Json], Awaitable[Reply]]  # of method, path and body


def state_digest(blobs: Mapping[str, bytes]) -> str:
    """Return the digest that sender and receiver of a transfer compare, in hex.

    SHA-256 over the keys in order: u32 length (little-endian), key in UTF-8, SHA-256 of the blob.

    Example:
        >>> state_digest({})[:16]
        'e3b0c44298fc1c14'
    """
    total = hashlib.sha256()
    for key in sorted(blobs):
        name = key.encode()
        total.update(len(name).to_bytes(4, "little") + name + hashlib.sha256(blobs[key]).digest())
    return total.hexdigest()


class Session:
    """What a master knows of a lane: how many messages were done, and the last of them.

    The last key makes the count exact: a message that comes again was counted already.
    """

    def __init__(self, count: int = 0, last: str = "") -> None:
        self.count = count
        self.last = last

    def add(self, key: str) -> None:
        """Count the message `key` unless it is the last one, come again."""
        if key != self.last:
            self.count, self.last = self.count + 1, key

    def blob(self) -> bytes:
        """Return the session as it is kept: the count, a space, the last key."""
        return f"{self.count} {self.last}".encode()

    @classmethod
    def read(cls, blob: bytes) -> "Session":
        """Return the session that `blob` holds; ValueError if it is none."""
        count, _, last = blob.decode().partition(" ")
        return cls(int(count), last)


class Master:
    """One instance that serves: what it is, and its answer to every request."""

    def __init__(self, *, name: str, group: str, boot: str, role: str, sink: "Peer | None") -> None:
        self.name: Final = name
        self.group: Final = group
        self.boot: Final = boot
        self.role = role  # standby, active or fenced
        self.epoch = 0
        self.fenced_at = 0  # the epoch of the newest fence; no activation has that one
        self.sessions: dict[str, Session] = {}  # by lane
        # Where all masters serve at once, each has epochs of its own at the sink.
        self._scope = group
        self._sink = sink
        self._done: dict[tuple[object, str, int], Json] = {}
        self._under_way: set[tuple[object, str, int]] = set()
        self._in_hand = 0  # messages

    async def answer(self, method: str, path: str, body: Json) -> Reply:
        """Return the reply to one request."""
        match method, path.strip("/").split("/"):
            case "GET", ["health"]:
                return 200, self._health()
            case "POST", ["messages"]:
                return await self._message(body)
            case "POST", ["control", step] if step in STEPS:
                return await self._step(step, body)
            case _:
                return 404, {"reason": f"no {method} {path} here"}

    def _health(self) -> Json:
        return {
            "status": "ok",
            "boot": self.boot,
            "epoch": self.epoch,
            "role": self.role,
            "load": {"active": self._in_hand, "queued": 0, "cpu": None, "memory": None},
            # Of two that could take over, the one that has seen more messages is fresher.
            "freshness": sum(session.count for session in self.sessions.values()),
        }

    async def _message(self, body: Json) -> Reply:
        epoch, texts = body.get("epoch"), [body.get(name, "") for name in ("key", "lane", "body")]
        if type(epoch) is not int or not all(isinstance(text, str) for text in texts):
            return 400, {"reason": "a message has epoch, key, lane and body"}
        key, lane, content = map(str, texts)
        if self.role != "active" or epoch < self.epoch:
            return 409, {"reason": f"{self.role} under epoch {self.epoch}"}
        self.epoch = epoch  # who assigns messages knows best which activation this is
        self._in_hand += 1
        try:
            status, said = await self._work(epoch, key, lane=lane, body=content)
        finally:
            self._in_hand -= 1
        if status != 200:
            return status, said
        session = self.sessions.setdefault(lane, Session())
        session.add(key)
        kept = base64.b64encode(session.blob()).decode()
        return 200, {"state": {f"sessions/{lane}": kept}}

    async def _work(
        self, epoch: int, key: str, *, lane: str = "", body: str = "", test: bool = False
    ) -> Reply:
        """Do the work of one message: 200 done (or done before), 409 stale, 503 not now."""
        if self._sink is None:
            return 200, {}
        work = {
            "group": self.group, "scope": self._scope, "epoch": epoch,
            "key": key, "lane": lane, "body": body,
        }  # fmt: skip
        try:
            reply = await self._sink.ask(
                "POST", "/apply", {**work, "master": self.name, "test": test}
            )
        except OSError as err:
            return 503, {"reason": f"the sink does not answer: {err}"}
        if reply[0] == 409:
            self._be_outdated(epoch, reply[1].get("newest"))
        return reply if reply[0] in (200, 409) else (503, {"reason": f"the sink says {reply[0]}"})

    def _be_outdated(self, epoch: int, newest: object) -> None:
        """Stop: there was a newer activation, of which only the sink could say so.

        Its epoch is reported from here on, so that the engine draws one above it. Else a sink that
        has seen more than a log that was put back would refuse whatever comes, for ever.
        """
        if isinstance(newest, int) and newest > self.epoch:
            self.epoch, self.role = newest, "fenced"
        elif epoch == self.epoch:
            self.role = "fenced"

    async def _step(self, name: str, body: Json) -> Reply:
        step, epoch = body.get("step", name), body.get("epoch")
        if (name, step) == ("verify", "preflight"):
            return await self._preflight()
        if type(epoch) is not int or step != name:
            return 400, {"reason": "a step has failover, step and epoch"}
        key = (body.get("failover"), name, epoch)
        if epoch < self.epoch:
            return 409, {"reason": f"epoch {self.epoch} is known", "epoch": self.epoch}
        if key in self._done:
            return 200, self._done[key]
        if key in self._under_way:
            return 202, {}
        self._under_way.add(key)
        try:
            status, said = await self._carry_out(name, epoch, body)
        finally:
            self._under_way.discard(key)
        if status == 200:
            self._done[key] = said
            if len(self._done) > REMEMBERED_MAX:
                del self._done[next(iter(self._done))]
        return status, said

    async def _carry_out(self, step: str, epoch: int, body: Json) -> Reply:
        match step:
            case "fence":
                self.epoch, self.role, self.fenced_at = epoch, "fenced", epoch
            case "demote":
                self.epoch, self.role = epoch, "standby"
            case "promote":
                if epoch == self.fenced_at:
                    return 409, {"reason": f"fenced under epoch {epoch}", "epoch": epoch}
                is_shared = body.get("mode") == "active-active"
                self._scope = f"{self.group}/{self.name}" if is_shared else self.group
                self.epoch, self.role = epoch, "active"
            case "transfer":
                return self._transfer(epoch, body)
            case _:
                return await self._verify(epoch, body)
        return 200, {"epoch": self.epoch, "role": self.role}

    def _transfer(self, epoch: int, body: Json) -> Reply:
        if self.role == "active":
            return 423, {"reason": f"active under epoch {self.epoch}, with state of its own"}
        state = body.get("state")
        if not isinstance(state, dict):
            return 400, {"reason": "a transfer has state and digest"}
        try:
            blobs = {key: base64.b64decode(text, validate=True) for key, text in state.items()}
            sessions = {
                key.removeprefix("sessions/"): Session.read(blob)
                for key, blob in blobs.items()
                if key.startswith("sessions/")
            }
        except (ValueError, TypeError) as err:
            return 423, {"reason": f"state that cannot be read: {err}"}
        digest = state_digest(blobs)
        if digest != body.get("digest"):
            return 423, {"reason": "the digest is that of other state", "digest": digest}
        self.epoch, self.sessions = epoch, sessions
        return 200, {"digest": digest, "epoch": epoch}

    async def _verify(self, epoch: int, body: Json) -> Reply:
        if self.role != "active" or epoch != self.epoch:
            return 423, {"reason": f"{self.role} under epoch {self.epoch}"}
        key = f"verify/{body.get('failover')}/{epoch}"
        status, said = await self._work(epoch, key, test=True)
        if status != 200:
            return 423, {"reason": said.get("reason", "the sink refuses this epoch")}
        return 200, {"epoch": epoch}

    async def _preflight(self) -> Reply:
        if self._sink is not None:
            try:
                status, _ = await self._sink.ask("GET", "/health", {})
            except OSError as err:
                return 423, {"reason": f"the sink does not answer: {err}"}
            if status != 200:
                return 423, {"reason": f"the sink says {status}"}
        return 200, {"epoch": self.epoch, "role": self.role}


class Peer:
    """Asks another server over connections that are kept open."""

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        self._host, self._port = parts.hostname or "", parts.port or 80
        self._free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def ask(self, method: str, path: str, body: Json) -> Reply:
        """Return the reply; OSError if there is none within SINK_S."""
        writer = None
        try:
            async with asyncio.timeout(SINK_S):
                if self._free:
                    reader, writer = self._free.pop()
                else:
                    reader, writer = await asyncio.open_connection(self._host, self._port)
                data = json.dumps(body).encode()
                head = (
                    f"{method} {path} HTTP/1.1\r\nHost: sink\r\nContent-Length: {len(data)}\r\n\r\n"
                )
                writer.write(head.encode() + data)
                first, said = await _read(reader)
        except (EOFError, ValueError, asyncio.LimitOverrunError) as err:
            raise ConnectionError(repr(err)) from err
        else:
            self._free.append((reader, writer))
            writer = None
            return int(first[1]), said
        finally:
            if writer is not None:
                writer.close()

    async def close(self) -> None:
        """Close the connections that nobody uses."""
        while self._free:
            _, writer = self._free.pop()
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


async def _read(reader: asyncio.StreamReader) -> tuple[list[str], Json]:
    """Return the words of the first line and the JSON object of the body, {} if it is empty."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.rstrip().split("\r\n")
    length = 0
    for line in lines:
        name, _, value = line.partition(":")
        if name.lower() == "content-length":
            length = int(value)
    if not 0 <= length <= BODY_BYTES_MAX:
        raise ValueError(f"a body of {length} bytes")
    body = json.loads(await reader.readexactly(length)) if length else {}
    if not isinstance(body, dict) or len(first.split()) < 2:
        raise ValueError("expected a JSON object")
    return first.split(" ", 2), body


def _response(status: int, body: Json) -> bytes:
    data = json.dumps(body).encode()
    fields = f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n"
    return f"HTTP/1.1 {status} -\r\n{fields}\r\n".encode() + data


async def serve(port: int, answer: Answer, *, hello: Json) -> None:
    """Serve on 127.0.0.1 until SIGTERM or SIGINT; print `hello` with the port when it listens."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Only the end of the process cancels it, and nobody is left then to be told.
        over = (EOFError, OSError, asyncio.CancelledError)
        with contextlib.closing(writer), contextlib.suppress(*over):
            while True:
                try:
                    (method, path, _), body = await _read(reader)
                except (ValueError, asyncio.LimitOverrunError) as err:
                    writer.write(_response(400, {"reason": str(err)}))
                    return
                writer.write(_response(*await answer(method, path, body)))
                await writer.drain()

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    server = await asyncio.start_server(
        talk, "127.0.0.1", port, limit=HEAD_BYTES_MAX, backlog=BACKLOG
    )
    sys.stdout.write(json.dumps({"port": server.sockets[0].getsockname()[1], **hello}) + "\n")
    sys.stdout.flush()
    await stop.wait()
    server.close()  # what is under way is cut: whoever asked will ask somebody else


def main() -> None:
    """Run the sample master until it is told to stop."""
    parser = argparse.ArgumentParser(description="A sample master.")
    parser.add_argument("--port", type=int, default=0, help="0: any that is free")
    parser.add_argument("--sink", help="where messages are applied: http://host:port")
    parser.add_argument("--boot", default=secrets.token_hex(8), help="names this process")
    parser.add_argument("--name", default="", help="what the sink is told; default: the boot")
    parser.add_argument("--group", default="main", help="whose messages these are")
    parser.add_argument("--role", choices=("standby", "active"), default="standby")
    args = parser.parse_args()
    sink = Peer(args.sink) if args.sink else None
    name = args.name or args.boot
    master = Master(name=name, group=args.group, boot=args.boot, role=args.role, sink=sink)
    asyncio.run(serve(args.port, master.answer, hello={"boot": args.boot}))


if __name__ == "__main__":
    main()
