"""Start: a demonstration, a first configuration, its check, the engine itself."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from engine.cli import output
from engine.cli.options import Json, LogOption
from engine.cli.places import CONFIGURATION
from engine.core.errors import ConfigurationError


def demo(
    *,
    seconds: Annotated[float | None, Parameter(help="How long messages flow [s].")] = None,
    fault: Annotated[
        Literal["kill", "hang"],
        Parameter(
            help="How the active master is struck: its process is killed, or stopped as if it hung."
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
    from engine.demo.main import demo as play

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
    preset: Annotated[
        Literal["lan", "zone", "region", "bench"],
        Parameter(help="How fast the network is: one machine room, one region, several regions."),
    ] = "zone",
    json: Json = False,
) -> None:
    """Write a commented tanist.toml.

    Every key is in it, with the value in force. It is written as an engine that only observes: it
    logs what it would do. An existing file is never replaced.

    Example: tanist init --http http://10.0.0.1:8080 http://10.0.0.2:8080 --preset lan
    """
    from engine.config import template

    text = template(http or None, preset)
    try:
        with file.open("x", encoding="utf-8") as new:
            new.write(text)
    except FileExistsError as err:
        raise ConfigurationError([f"{file} exists, and is not replaced: name another"]) from err
    if json:
        output.document({"file": str(file), "preset": preset})
        return
    output.text(f"{file} is written. Look at it, then: tanist check {file}")


def check(
    file: Annotated[Path, Parameter(help="The configuration.")] = Path(CONFIGURATION),
    /,
    *,
    json: Json = False,
) -> None:
    """Name every mistake of a configuration, or what it adds up to.

    For each group: the worst detection, the longest blip that is ignored, the worst restoration;
    what its fence stops and what it does not; how much log a day. Exit 2 if there is a mistake.

    Example: tanist check tanist.toml
    """
    from engine.config import describe, load, render

    configuration = load(file)
    found = describe(configuration.policy, configuration.masters)
    if json:
        output.document(found)
    else:
        output.text(render(found))


def run(
    file: Annotated[Path, Parameter(help="The configuration.")] = Path(CONFIGURATION),
    /,
    *,
    log: LogOption = None,
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
