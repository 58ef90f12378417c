"""Who sends messages: each is offered again and again, under one key, until there is a receipt."""

import hashlib
from collections.abc import Callable
from typing import Final

from engine.core.policy import MS
from engine.simulation.rim import Rim
from engine.simulation.schedule import Setting

PATIENCE_US: Final = 60 * MS  # without a receipt for this long: offered again


class Clients:
    """All clients of the fleet, and what they hold in hand."""

    def __init__(
        self,
        setting: Setting,
        *,
        later: Callable[[int, Callable[[], None]], None],
        engine: Callable[[], Rim | None],
    ) -> None:
        """Begin without a message; `engine` is whoever listens now."""
        self.receipts: Final[set[str]] = set()  # keys that the engine said it had accepted
        # By key the group and the lane, until there is a receipt.
        self.offered: Final[dict[str, tuple[str, str]]] = {}
        self._setting: Final = setting
        self._later: Final = later
        self._engine: Final = engine
        self._groups: Final = [group.id for group in setting.groups()]
        self._keys = 0
        self._is_steady = False

    def begin(self) -> None:
        """Send at the setting's pace from now on."""
        self._is_steady = self._setting.message_every_us > 0
        self._later(0, self._send_steadily)

    def stop(self) -> None:
        """Send nothing new; what was offered needs its receipt."""
        self._is_steady = False

    def _send_steadily(self) -> None:
        if self._is_steady:
            # First: a crash of the engine within the offer is not the client's.
            self._later(self._setting.message_every_us, self._send_steadily)
            self.send()

    def send(self, group: str = "") -> None:
        """Offer a new message to a group; "": to the next one."""
        self._keys += 1
        key = f"m{self._keys}"
        group = group or self._groups[self._keys % len(self._groups)]
        self.offered[key] = group, f"lane-{self._keys % self._setting.lanes}"
        self._offer(key)

    def _offer(self, key: str) -> None:
        if key not in self.offered:
            return
        self._later(PATIENCE_US, lambda: self._offer(key))
        rim = self._engine()
        group, lane = self.offered[key]
        if rim is None or rim.is_stalled or group not in rim.driver.working.groups:
            return
        body = f"body of {key}".encode()
        if not rim.accept(key, group, lane, body, hashlib.sha256(body).digest()):
            self.offered.pop(key, None)  # nobody would ever get it, and it was told so

    def receipt(self, key: str) -> None:
        """Take note that the engine said it has the message."""
        self.receipts.add(key)
        self.offered.pop(key, None)
