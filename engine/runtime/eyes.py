"""What looks at a master: the link that its policy asks for."""

from collections.abc import Callable
from typing import Final

from engine.config.secrets import password
from engine.core.errors import ConfigurationError
from engine.core.fleet import Master
from engine.core.policy import Probe
from engine.runtime.awaiting import BeatLink
from engine.runtime.clock import monotonic_us
from engine.runtime.connection import Place, R
from engine.runtime.dialects import Dialect, Http, Tcp
from engine.runtime.probing import HeldLink
from engine.runtime.redis import Redis
from engine.runtime.rota import Rota
from engine.runtime.seen import Link, OnClosed
from engine.runtime.tasked import Check, FunctionLink, ProgramLink
from engine.runtime.trust import tls_of


class Eyes:
    """Makes links, and knows what only this process has: secrets, functions, who listens for beats.

    Args:
        source: The file of the configuration: relative files of it are beside that.
    """

    def __init__(self, source: str = "") -> None:
        self._source: Final = source
        self.rota: Final = Rota()
        self.checks: Final[dict[str, Check]] = {}  # by group
        self.beats: Final[dict[str, BeatLink]] = {}  # by master

    def link(
        self,
        master: Master,
        probe: Probe,
        *,
        on_closed: OnClosed,
        clock: Callable[[], int] = monotonic_us,
        told: str = "",
    ) -> Link:
        """Return the link to `master`.

        Args:
            master: Who is looked at.
            probe: How.
            on_closed: Told at once when a held connection ends: CLOSED or RESET.
            clock: Returns the time since some fixed moment [us].
            told: The boot of a process that is known to have been told an epoch; "": none is.

        Raises:
            ConfigurationError: What it needs is not there: a password, certificates, a function.
        """
        name = f"groups.{master.group}.probe"
        match probe.kind:
            case "command":
                return ProgramLink(probe.command, master, clock=clock)
            case "python":
                return FunctionLink(self._check(master.group), master, clock=clock)
            case "push":
                link = self.beats[master.id] = BeatLink(
                    interval_us=probe.interval_us, recheck_us=probe.recheck_us, clock=clock
                )
                return link
            case "http" | "https" | "tcp" | "redis":
                return self._held(master, probe, name, on_closed, clock, told)
            case kind:
                raise ConfigurationError(
                    [f"{name}.kind: this release looks by no probe of the kind {kind!r}"]
                )

    def _held(
        self,
        master: Master,
        probe: Probe,
        name: str,
        on_closed: OnClosed,
        clock: Callable[[], int],
        told: str,
    ) -> Link:
        tls = tls_of(probe, group=master.group, source=self._source)
        place = Place(master.address, tls=tls)
        match probe.kind:
            case "http" | "https":
                http = Http(probe.path, host=place.host)
                return self._over(place, http, on_closed, probe, clock)
            case "tcp":
                tcp = Tcp(probe.send, probe.expect)
                return self._over(place, tcp, on_closed, probe, clock)
            case _:
                secret = ""
                if probe.password is not None:
                    where = f"{name}.password"
                    secret = password(probe.password, name=where, source=self._source)
                redis = Redis(master.group, user=probe.user, password=secret, told=told)
                return self._over(place, redis, on_closed, probe, clock)

    def _over(
        self,
        place: Place,
        dialect: Dialect[R],
        on_closed: OnClosed,
        probe: Probe,
        clock: Callable[[], int],
    ) -> Link:
        return HeldLink(
            place, dialect, on_closed, hold_open=probe.hold_open, clock=clock, rota=self.rota
        )

    def _check(self, group: str) -> Check:
        check = self.checks.get(group)
        if check is None:
            raise ConfigurationError(
                [
                    f"groups.{group}.probe.kind: expected a function of the service, found none: "
                    f'decorate one with @engine.probe("{group}") before the engine is entered'
                ]
            )
        return check
