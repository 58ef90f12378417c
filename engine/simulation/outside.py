"""The world, as the simulated engine meets it."""

from collections.abc import Callable, Mapping
from typing import Any, Final, NoReturn, Protocol

from engine.core.events import Recorded
from engine.core.fleet import Master
from engine.core.owed import Deliver, Effect
from engine.core.policy import MS, GroupPolicy
from engine.simulation.masters import Answer, Request, SimulatedMaster
from engine.simulation.network import Network
from engine.simulation.programs import Programs
from engine.simulation.schedule import Setting
from engine.simulation.servers import Server
from engine.simulation.tape import Tape

RETRY_US: Final = 15 * MS  # between two tries of a step or a message


class Outside(Protocol):
    """The world, as the engine meets it."""

    now_us: int

    @property
    def setting(self) -> Setting:
        """Return the fleet that it happens to."""

    @property
    def tape(self) -> Tape:
        """Return the log."""

    @property
    def masters(self) -> dict[str, SimulatedMaster]:
        """Return the masters by id."""

    @property
    def servers(self) -> dict[str, Server]:
        """Return those of them that keep data."""

    def compared(self, effect: Effect, answers: Mapping[str, Answer], *, served: int) -> None:
        """Take note of what each of those who answered had when an heir was let.

        `served` is the epoch of the last activation that traffic went to.
        """

    def policy_of(self, group: str) -> GroupPolicy:
        """Return the policy that the file has for `group`."""

    @property
    def network(self) -> Network:
        """Return the ways to the masters."""

    @property
    def programs(self) -> Programs:
        """Return what befalls programs."""

    @property
    def wall_us(self) -> int:
        """Return what the wall clock shows [us]."""

    @property
    def engine_us(self) -> int:
        """Return the engine's own time, or what it would be if it was started now [us]."""

    def at(self, after_us: int, action: Callable[[Any], None], given: object) -> None:
        """Let `action` happen after a time, with what it is given."""

    def later(self, after_us: int, action: Callable[[], None]) -> None:
        """Let `action` happen after a time."""

    def boundary(self, name: str) -> None:
        """End this life here, if that is what happens."""

    def end_engine(self) -> NoReturn:
        """End this life."""

    def file_masters(self) -> tuple[Master, ...]:
        """Return the masters as the file declares them now."""

    def send(
        self, master: str, request: Request, reply: Callable[[Answer], None],
        refused: Callable[[], None],
    ) -> None:  # fmt: skip
        """Send a request; `refused`: nobody listens. There need not be an answer."""

    def work(self, deliver: Deliver) -> Answer | None:
        """Let the master do a message; it may acknowledge it later, on its own."""

    def published(self, events: tuple[Recorded, ...], *, is_quiet: bool = False) -> None:
        """Take note of what became durable; `is_quiet`: good probes that changed nothing."""

    def receipt(self, key: str) -> None:
        """Take note that the message is accepted."""

    def issued(self, effect: Effect) -> None:
        """Take note that the effect is issued."""

    def missing(self, digest: bytes) -> None:
        """Take note that a body is needed and is not there."""

    def left_out(self, master: str, at_us: int) -> None:
        """Take note that a good answer of a master is not worth its space [us of the engine]."""

    def heard_nothing(self) -> None:
        """Take note that nothing is recorded from here on, so that nothing was heard."""

    def spins(self) -> None:
        """Take note that the timer would fire again and again, and nothing comes of it."""
