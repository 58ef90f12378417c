"""Whether a running master keeps the control protocol: each promise tried, one after the other.

It promotes and fences the master, so it is for one that serves nobody. It begins above the epoch
that the master reports, under a failover of its own, and leaves it fenced.
"""

import base64
import hashlib
from collections.abc import AsyncIterator, Mapping
from typing import Final

import msgspec

from engine.core.fleet import Role
from engine.core.transfer import kept_digest
from engine.runtime import http1
from engine.runtime.connection import NoConnection, Place
from engine.runtime.lines import Cut, Line, Overdue, open_line
from engine.runtime.seen import COUNT_MAX, shortened

ANSWER_US: Final = 5_000_000  # what a step may take here
BODY_BYTES_MAX: Final = 16_777_216
FAILOVER: Final = 1 << 40  # no log has as many events, so that no failover has this id
STATE: Final[Mapping[str, bytes]] = {"sessions/contract": b"3 contract-3"}

_OBJECT: Final = msgspec.json.Decoder(dict[str, object])


class Promise(msgspec.Struct, frozen=True, kw_only=True):
    """One promise of the protocol, and whether it was kept."""

    promise: str
    ok: bool
    found: str


class _Said(msgspec.Struct, frozen=True, kw_only=True):
    """An answer; status 0: there was none, and `why` says why."""

    status: int
    data: dict[str, object] = {}
    why: str = ""

    def __str__(self) -> str:
        reason = self.data.get("reason")
        more = f": {reason}" if isinstance(reason, str) else ""
        return shortened(f"{self.status}{more}" if self.status else self.why)


class Contract:
    """The checks of one master.

    Args:
        address: Where it listens: http://host:port, or https://.
        group: The group that it is told to be of.
    """

    def __init__(self, place: Place, *, path: str, group: str) -> None:
        self._place: Final = place
        self._path: Final = path
        self._group: Final = group
        self._line: Line | None = None

    async def check(self) -> AsyncIterator[Promise]:
        """Yield each promise as it was tried; without a health document there is nothing to try."""
        health = await self._health()
        base = health.data.get("epoch")
        is_known = health.status == 200 and type(base) is int and 0 <= base < COUNT_MAX
        yield Promise(
            promise=f"GET {self._path} is answered by a document with status, boot, epoch and role",
            ok=is_known
            and all(isinstance(health.data.get(name), str) for name in ("status", "boot", "role")),
            found=f"{health}, fields {', '.join(health.data) or 'none'}",
        )
        if not is_known or type(base) is not int:
            return
        async for promise in self._serving(base + 1):
            yield promise
        async for promise in self._fencing(base + 2):
            yield promise
        async for promise in self._moving(base + 4):
            yield promise
        async for promise in self._nonsense(base + 6):
            yield promise

    async def close(self) -> None:
        """Let the connection go."""
        if self._line is not None:
            self._line.drop()
        await self._place.close()

    async def _serving(self, epoch: int) -> AsyncIterator[Promise]:
        yield _holds("promote is done", await self._step("promote", epoch), 200)
        yield await self._is("after it the master is active", epoch, active=True)
        yield _holds(
            "promote again, under the same key, is done", await self._step("promote", epoch), 200
        )
        yield _holds("verify under its epoch is done", await self._step("verify", epoch), 200)
        yield _holds("verify again is done", await self._step("verify", epoch), 200)
        stale = epoch - 1
        yield _holds(
            "promote under an older epoch is refused", await self._step("promote", stale), 409
        )
        yield await self._is("after that nothing has changed", epoch, active=True)
        message = await self._message(stale, "stale")
        yield _holds("a message under an older epoch is refused", message, 409)
        message = await self._message(epoch, "one")
        yield _holds("a message under its epoch is taken", message, 200, 202)
        message = await self._message(epoch, "one")
        yield _holds("the same message again is taken", message, 200, 202)

    async def _fencing(self, epoch: int) -> AsyncIterator[Promise]:
        yield _holds("fence is done", await self._step("fence", epoch), 200)
        yield await self._is("after it the master is not active", epoch, active=False)
        yield _holds("fence again is done", await self._step("fence", epoch), 200)
        message = await self._message(epoch - 1, "late")
        yield _holds("a message under the epoch that was fenced is refused", message, 409)
        late = await self._step("promote", epoch - 1, failover=FAILOVER + 1)
        yield _holds("a promotion that comes late is refused", late, 409)
        equal = await self._step("promote", epoch, failover=FAILOVER + 1)
        yield _holds("a promotion under the epoch of the fence is refused", equal, 409, 423)
        yield await self._is("after that it is still not active", epoch, active=False)

    async def _moving(self, epoch: int) -> AsyncIterator[Promise]:
        digests = {key: hashlib.sha256(blob).digest() for key, blob in STATE.items()}
        wanted = kept_digest(digests)
        state = {key: base64.b64encode(blob).decode() for key, blob in STATE.items()}
        moved = await self._step("transfer", epoch, {"state": state, "digest": wanted})
        yield Promise(
            promise="transfer is done, and answers with the digest of the state",
            ok=moved.status == 200 and moved.data.get("digest") == wanted,
            found=f"{moved}, digest {str(moved.data.get('digest'))[:16]}",
        )
        wrong = await self._step("transfer", epoch + 1, {"state": state, "digest": "0" * 64})
        yield Promise(
            promise="transfer of state with another digest is not done",
            ok=400 <= wrong.status < 500,
            found=str(wrong),
        )

    async def _nonsense(self, epoch: int) -> AsyncIterator[Promise]:
        for what, path, body in (
            ("a step that there is not", "/control/dance", b"{}"),
            ("a step without an epoch", "/control/promote", b"{}"),
            ("a step that is no JSON", "/control/promote", b"\xff{"),
        ):
            said = await self._ask(http1.post(self._head(path), body))
            yield Promise(
                promise=f"{what} is refused, and by no error of the server",
                ok=400 <= said.status < 500,
                found=str(said),
            )
        yield _holds(
            "fence is done, and leaves the master so", await self._step("fence", epoch), 200
        )

    async def _is(self, what: str, epoch: int, *, active: bool) -> Promise:
        health = await self._health()
        role, found = health.data.get("role"), health.data.get("epoch")
        return Promise(
            promise=f"{what}, under epoch {epoch}",
            ok=(role == Role.ACTIVE.value) is active and found == epoch,
            found=f"{role} under epoch {found}",
        )

    def _head(self, path: str) -> bytes:
        return http1.post_head(path, host=self._place.host)

    async def _health(self) -> _Said:
        return await self._ask(http1.get(self._path, host=self._place.host))

    async def _step(
        self,
        step: str,
        epoch: int,
        more: Mapping[str, object] | None = None,
        *,
        failover: int = FAILOVER,
    ) -> _Said:
        body = {
            "failover": failover,
            "step": step,
            "epoch": epoch,
            "group": self._group,
            "mode": "active-standby",
            **(more or {}),
        }
        return await self._ask(
            http1.post(self._head(f"/control/{step}"), msgspec.json.encode(body))
        )

    async def _message(self, epoch: int, key: str) -> _Said:
        body = base64.b64encode(b"a message of tanist probe --contract").decode()
        message = {"epoch": epoch, "key": f"contract/{key}", "lane": "contract", "body": body}
        return await self._ask(http1.post(self._head("/messages"), msgspec.json.encode(message)))

    async def _ask(self, request: bytes) -> _Said:
        line, self._line = self._line, None
        is_held = line is not None and line.is_free
        if line is None or not is_held:
            found = await open_line(
                self._place, timeout_us=ANSWER_US, body_bytes_max=BODY_BYTES_MAX
            )
            if isinstance(found, NoConnection):
                return _Said(status=0, why=f"{found.evidence.value} {found.detail}")
            line = found
        asked = await line.ask(request, timeout_us=ANSWER_US)
        match asked:
            case Cut():
                if is_held:  # it may have ended before this was sent, after the answer before
                    return await self._ask(request)
                return _Said(status=0, why=f"no answer: {asked.detail}")
            case Overdue():
                line.drop()
                return _Said(status=0, why=f"no answer within {ANSWER_US // 1_000_000} s")
            case http1.Response():
                self._line = line
        try:
            return _Said(status=asked.status, data=_OBJECT.decode(asked.body))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return _Said(status=asked.status)


def _holds(promise: str, said: _Said, *statuses: int) -> Promise:
    wanted = " or ".join(map(str, statuses))
    return Promise(promise=f"{promise} ({wanted})", ok=said.status in statuses, found=str(said))
