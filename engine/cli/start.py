"""Start: a demonstration, a first configuration, its check, the engine itself."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from engine.cli import output
from engine.cli.options import File, Json
from engine.cli.places import CONFIGURATION
from engine.core.errors import ConfigurationError

if TYPE_CHECKING:
    from engine.core.policy import Probe
    from engine.runtime.survey import Seen


def demo(
    *,
    seconds: Annotated[float | None, Parameter(help="How long messages flow [s].")] = None,
    fault: Annotated[
        Literal["kill", "hang", "slow", "flap"],
        Parameter(
            help="How the active master is struck: its process is killed, stopped as if it hung, "
            "slowed down, or stopped and let go time after time."
        ),
    ] = "kill",
    preset: Annotated[Literal["bench", "lan", "zone", "region"], Parameter(show=False)] = "bench",
    directory: Annotated[
        str | None, Parameter(help="Where the log goes; left out: a new temporary directory.")
    ] = None,
    json: Json = False,
) -> int:
    """Three real masters, the engine and a load: strike the active one and see.

    The masters are processes with an HTTP interface. While messages flow, the active one is struck;
    the report says how long detection and failover took, and whether anything was lost. It ends
    with the commands that look at the same log again.

    Example: tanist demo --seconds 10 --fault hang
    """
    try:
        from engine.demo.main import demo as play
    except KeyboardInterrupt:
        output.note("the demonstration was interrupted before it began")
        raise

    return play(seconds=seconds, fault=fault, json=json, preset=preset, directory=directory)


def init(
    file: Annotated[Path, Parameter(help="Where to write it.")] = Path(CONFIGURATION),
    /,
    *,
    http: Annotated[
        tuple[str, ...],
        Parameter(
            consume_multiple=True,
            negative="",
            show_default=False,
            help="The addresses of the masters, the first choice first.",
        ),
    ] = (),
    redis: Annotated[
        tuple[str, ...],
        Parameter(
            consume_multiple=True,
            negative="",
            show_default=False,
            help="The redis:// addresses of a primary and its replicas.",
        ),
    ] = (),
    password_env: Annotated[
        str, Parameter(help="The variable of the environment with the password of Redis.")
    ] = "",
    preset: Annotated[
        Literal["lan", "zone", "region", "bench"] | None,
        Parameter(
            help="How fast the network is: one machine room, one region, several regions. "
            "Left out: what a look at the addresses shows; zone without any."
        ),
    ] = None,
    look: Annotated[float, Parameter(help="How long the addresses are looked at [s].")] = 20.0,
    json: Json = False,
) -> None:
    """Write a commented tanist.toml.

    Every key is in it, with the value in force. It is written as an engine that only observes: it
    logs what it would do. Addresses are probed first, and the preset follows from how fast they
    answer; it says who would be promoted first. Of Redis servers the primary comes first, whatever
    the order. An existing file is never replaced.

    Example: tanist init --redis redis://10.0.0.1:6379 redis://10.0.0.2:6379
    """
    from engine.cli.surveying import primary_first
    from engine.config import template
    from engine.runtime.survey import fitting_preset

    _check(file, http=http, redis=redis, password_env=password_env)
    addresses = http or redis

    def written(order: tuple[str, ...], preset: str) -> str:
        return template(order or None, preset, redis=bool(redis), password_env=password_env)

    written(addresses, preset or "zone")  # what is no address is named before the look
    seen: list[Seen] = []
    if addresses and (preset is None or redis):
        seen = _looked_at(addresses, _asked(password_env, redis=bool(redis)), seconds=look)
    if redis:
        addresses = primary_first(addresses, seen)
    chosen = preset or fitting_preset(seen)
    _write(file, written(addresses, chosen))
    _say_written(file, chosen, addresses, seen, redis=bool(redis), json=json)


def _check(file: Path, *, http: tuple[str, ...], redis: tuple[str, ...], password_env: str) -> None:
    """Refuse what makes no sense before anybody is looked at."""
    if file.exists():
        raise ConfigurationError([_there(file)])
    if http and redis:
        raise ConfigurationError(["expected --http or --redis, found both: a group has one kind"])
    if password_env and not redis:
        raise ConfigurationError(["--password-env: expected --redis with it, found none"])


def _there(file: Path) -> str:
    return f"{file} exists, and is not replaced: name another"


def _write(file: Path, text: str) -> None:
    try:
        with file.open("x", encoding="utf-8") as new:
            new.write(text)
    except FileExistsError as err:  # somebody else was quicker than the look
        raise ConfigurationError([_there(file)]) from err


def _say_written(
    file: Path,
    preset: str,
    addresses: tuple[str, ...],
    seen: list["Seen"],
    *,
    redis: bool,
    json: bool,
) -> None:
    """Say what was seen, what follows from it, and what to do next."""
    import msgspec

    from engine.answers.words import harmless
    from engine.cli.surveying import described, first_said, hints, preset_reason, redis_hints

    name = _first_name(addresses, seen)
    if json:
        found = {"file": str(file), "preset": preset, "first": name or None}
        output.document({**found, "seen": msgspec.to_builtins(seen)})
        return
    for one in seen:
        output.text(harmless(described(one)))
    if seen:
        output.text(preset_reason(preset, seen))
    for hint in (redis_hints if redis else hints)(seen, file=str(file)):
        output.text(hint)
    output.text(first_said(name, seen))
    if not addresses:
        output.text(f"the addresses in {file} are examples: write your own")
    output.text(f"{file} is written. Look at it, then: tanist check {file}")


def _first_name(addresses: tuple[str, ...], seen: list["Seen"]) -> str:
    """Return what the file calls the master that would be promoted first; "": nobody would be."""
    from engine.cli.surveying import first

    if not addresses:
        return "m1"
    names = {address: f"m{number}" for number, address in enumerate(addresses, start=1)}
    return names.get(first(seen) if seen else addresses[0], "")


def _asked(password_env: str, *, redis: bool) -> "Probe":
    """Return how the addresses are probed."""
    import msgspec

    from engine.core.policy import Secret
    from engine.core.policy import preset as policy_of

    base = policy_of("zone").probe
    if not redis:
        return base
    secret = Secret(env=password_env) if password_env else None
    return msgspec.structs.replace(base, kind="redis", password=secret)


def _looked_at(addresses: tuple[str, ...], probe: "Probe", *, seconds: float) -> list["Seen"]:
    """Return what a look at `addresses` shows; it tells its progress on standard error."""
    import asyncio

    from engine.runtime.survey import survey

    length_us = round(seconds * 1e6)
    with output.progress("looking at the masters [ms]") as report:
        return asyncio.run(
            survey(
                addresses,
                probe,
                length_us=length_us,
                progress=lambda spent_us: report(spent_us // 1000, length_us // 1000),
            )
        )


def check(
    file: Annotated[Path, Parameter(help="The configuration.")] = Path(CONFIGURATION),
    /,
    *,
    json: Json = False,
) -> None:
    """Name every mistake of a configuration, or what it adds up to.

    For each group: the worst detection, the longest blip that is ignored, the worst restoration;
    what its fence stops and what it does not; how much log a day. For the log: what it takes once
    it is sealed and the oldest probes go, and whether its disk has room for that. Exit 2 if there
    is a mistake.

    Example: tanist check tanist.toml
    """
    from engine.cli.places import log_of
    from engine.config import describe, load, render
    from engine.config.growing import growth, growth_said
    from engine.log.place import log_path
    from engine.log.room import room_of

    configuration = load(file)
    found = describe(configuration.policy, configuration.masters)
    room = room_of(log_path(log_of(configuration.log, configuration=str(file))))
    grown = growth(configuration, found, size=room.size, free=room.free)
    if json:
        output.document({**found, "log": grown})
    else:
        output.text(render(found) + growth_said(grown))


def run(
    file: Annotated[Path, Parameter(help="The configuration.")] = Path(CONFIGURATION),
    /,
    *,
    log: File = None,
    listen: Annotated[
        str | None, Parameter(help="HOST:PORT, instead of the configuration's.")
    ] = None,
) -> int:
    """Run the engine until it is told to stop.

    Probes the masters, decides, acts as far as `automation` lets it, and serves HTTP. Ends on
    SIGTERM or Ctrl-C: what was observed is made durable first. One engine writes a log at a time.

    Example: tanist run tanist.toml --listen 127.0.0.1:8600
    """
    import asyncio

    from engine.cli.places import log_of
    from engine.config import load
    from engine.service.running import serve

    configuration = load(file)
    place = log or log_of(configuration.log, configuration=str(file))
    return asyncio.run(serve(configuration, log=place, listen=listen))
