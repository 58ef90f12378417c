"""Effects over the masters' HTTP protocol."""

import base64
from typing import Final

from engine.runtime.carriers.access import AccessOf
from engine.runtime.carriers.asked import Asked, Carried, Member
from engine.runtime.control import Control


class HttpCarrier:
    """Asks masters for their steps, and holds the connections that messages take as well."""

    def __init__(self, access: AccessOf) -> None:
        """`access` says what connections under TLS are held to."""
        self._access: Final = access
        self._controls: Final[dict[str, tuple[str, Control]]] = {}
        self._left: Final[list[Control]] = []  # of addresses that masters have no more

    def control(self, group: str, master: str, address: str) -> Control:
        """Return the connections to `master` of `group`, which is at `address` now.

        Raises:
            ConfigurationError: A file of certificates is not there.
        """
        known = self._controls.get(master)
        if known is None or known[0] != address:
            if known is not None:
                self._left.append(known[1])
            tls = self._access(group).tls if address.startswith("https:") else None
            known = self._controls[master] = address, Control(address, tls=tls)
        return known[1]

    def close_idle(self, master: str) -> None:
        """Close what waits for messages to `master`; a step may still have to go to it."""
        known = self._controls.get(master)
        if known is not None:
            known[1].close_idle()

    def attach(self, group: str, members: tuple[Member, ...]) -> None:
        """Do nothing: a connection opens with the first step, and stays."""

    async def carry(self, asked: Asked) -> Carried:
        """Ask under one key until the master has answered or the time is up."""
        control = self.control(asked.group, asked.master, asked.address)
        reply = await control.step(asked.step, body_of(asked), timeout_us=asked.timeout_us)
        return Carried(
            result=reply.result,
            detail=reply.detail,
            digest=str(reply.data.get("digest", "")),
        )

    async def close(self) -> None:
        """Close every connection; who waits for an answer gets UNKNOWN."""
        for control in (*(control for _, control in self._controls.values()), *self._left):
            await control.close()


def body_of(asked: Asked) -> dict[str, object]:
    """Return the fields of a step in the protocol; a transfer has the state with it."""
    body: dict[str, object] = {
        "failover": asked.failover,
        "step": asked.step,
        "epoch": asked.epoch,
        "group": asked.group,
        "mode": asked.mode,
    }
    if asked.step == "transfer":
        body["state"] = {key: base64.b64encode(blob).decode() for key, blob in asked.state.items()}
        body["digest"] = asked.digest
    return body
