"""Looking with other eyes: an observer beside the engine, and one probe of anybody's master."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from engine.cli import output
from engine.cli.options import Json
from engine.cli.places import CONFIGURATION
from engine.core.errors import ConfigurationError

if TYPE_CHECKING:
    from engine.core.policy import Probe
    from engine.runtime.contract import Promise
    from engine.runtime.seen import Answer, Probed

NO = 1


def observer(
    file: Annotated[Path, Parameter(help="The configuration: whom to look at, and how.")] = Path(
        CONFIGURATION
    ),
    /,
    *,
    engine: Annotated[str, Parameter(help="The http:// address of the running engine.")],
    name: Annotated[str, Parameter(help="What the engine calls this observer.")],
) -> int:
    """Look at the masters from another place, and tell a running engine.

    Probes every master of the configuration as the engine does, and posts what it sees. Where the
    policy asks for a quorum, its word counts as one. The token of the engine is taken from
    $TANIST_TOKEN, or from ./tanist.token. Ends on SIGTERM or Ctrl-C, and with exit 1 if another
    process takes its name.

    Example: tanist observer tanist.toml --engine http://10.0.0.5:8600 --name o2
    """
    import asyncio

    from engine.cli import places
    from engine.config import load
    from engine.config.kinds import name as a_name
    from engine.config.tables import Unfit, shown
    from engine.service.observing import observe

    try:
        a_name(name)
    except Unfit as unfit:
        raise ConfigurationError(
            [f"--name: expected {unfit.expected}, found {shown(name)}; {unfit.remedy}"]
        ) from unfit
    url = engine.rstrip("/")
    if not places.is_address(places.checked(url)):
        raise ConfigurationError([f"--engine: expected http://host:port, found {shown(engine)}"])
    configuration = load(file)
    asyncio.run(
        observe(configuration, url=url, name=name, token=places.token(url), say=output.note)
    )
    return 0


def probe(
    url: Annotated[
        str, Parameter(help="http://, https://, tcp://, redis:// or rediss://, host and port.")
    ],
    /,
    *,
    path: Annotated[str, Parameter(help="What is asked for over HTTP.")] = "/health",
    group: Annotated[
        str, Parameter(help="The group whose epoch a Redis server keeps, or a step names.")
    ] = "main",
    user: Annotated[str, Parameter(help="Whom to log in as at Redis.")] = "",
    password_env: Annotated[
        str, Parameter(help="The variable of the environment that holds the password.")
    ] = "",
    verify: Annotated[
        bool, Parameter(help="Under TLS the certificate has to be good for the host.")
    ] = True,
    ca: Annotated[str, Parameter(help="A file of the certificates that are trusted.")] = "",
    timeout_ms: Annotated[int, Parameter(help="A later answer is overdue [ms].")] = 1500,
    contract: Annotated[
        bool,
        Parameter(
            negative="",
            show_default=False,
            help="Try every promise of the control protocol. It promotes and fences the master.",
        ),
    ] = False,
    json: Json = False,
) -> int:
    """Look at one master, and say what was seen; check its control protocol.

    Two probes: over a fresh connection and over the one that is held open then. With --contract
    every promise of the protocol is tried and printed, kept or not: steps that are asked for twice,
    stale epochs, fences, state that arrives. That changes the master, and leaves it fenced, so it
    is for one that serves nobody. Exit 1 if the master failed or broke a promise.

    Example: tanist probe http://127.0.0.1:7001 --contract
    """
    import asyncio

    settings = _settings(url, path=path, user=user, password_env=password_env, verify=verify, ca=ca)
    if timeout_ms < 1:
        raise ConfigurationError([f"--timeout-ms: expected at least 1, found {timeout_ms}"])
    if contract and settings.kind not in ("http", "https"):
        raise ConfigurationError([f"--contract: expected an http:// or https:// URL, found {url}"])
    seen = asyncio.run(_looks(url, settings, group=group, timeout_us=timeout_ms * 1_000))
    is_well = all(_is_answer(one) for one in seen)
    if not json:
        for line in _described(url, seen):
            output.text(line)
    promises: list[Promise] = []
    if contract and is_well:
        promises = asyncio.run(_tried(url, settings, group=group, quiet=json))
    if json:
        output.document(_document(url, settings, seen, promises))
    return 0 if is_well and all(promise.ok for promise in promises) else NO


def _settings(
    url: str, *, path: str, user: str, password_env: str, verify: bool, ca: str
) -> "Probe":
    """Return how the master at `url` is probed; its scheme says what it speaks."""
    import msgspec

    from engine.config import kinds
    from engine.config.tables import Unfit, shown
    from engine.core.policy import Secret, preset

    schemes = {scheme: kind for kind, all_ in kinds.PROBED_SCHEMES.items() for scheme in all_}
    try:
        kinds.address(url, schemes=tuple(schemes))
    except Unfit as unfit:
        written = ", ".join(f"{scheme}://HOST:PORT" for scheme in schemes)
        raise ConfigurationError(
            [f"URL: expected one of {written}, found {shown(url)}; write no path and no password"]
        ) from unfit
    try:
        kinds.url_path(path)
    except Unfit as unfit:
        raise ConfigurationError(
            [f"--path: expected {unfit.expected}, found {shown(path)}; {unfit.remedy}"]
        ) from unfit
    return msgspec.structs.replace(
        preset("zone").probe,
        kind=schemes[url.partition(":")[0]],
        path=path,
        verify=verify,
        ca=str(Path(ca).absolute()) if ca else "",
        user=user,
        password=Secret(env=password_env) if password_env else None,
    )


async def _looks(url: str, settings: "Probe", *, group: str, timeout_us: int) -> list["Probed"]:
    """Return what a probe over a fresh connection saw, and one over the connection held then."""
    from engine.core.fleet import Master
    from engine.runtime.eyes import Eyes

    master = Master(id="master", group=group, address=url)
    link = Eyes("tanist probe").link(master, settings, on_closed=lambda evidence: None)
    try:
        first = await link.probe(fresh=True, timeout_us=timeout_us)
        if not _is_answer(first):
            return [first]
        return [first, await link.probe(fresh=False, timeout_us=timeout_us)]
    finally:
        await link.close()


def _is_answer(seen: "Probed") -> bool:
    from engine.runtime.seen import Answer

    return isinstance(seen, Answer)


def _described(url: str, seen: list["Probed"]) -> list[str]:
    """Return what was seen, in lines for people."""
    from engine.answers.words import harmless, lasting
    from engine.runtime.seen import Answer, Failure

    lines = []
    for what, one in zip(("a fresh connection", "the connection held open"), seen, strict=False):
        match one:
            case Answer():
                status = f", status {one.status}" if one.status else ""
                lines.append(f"{url}: answered in {lasting(one.latency_us)} over {what}{status}")
            case Failure():
                late = f"; this observer was late by {lasting(one.late_us)}" if one.late_us else ""
                detail = f": {one.detail}" if one.detail else ""
                waited = lasting(one.waited_us)
                lines.append(f"{url}: {one.evidence.value} after {waited}{detail}{late}")
            case _:
                lines.append(f"{url}: it closed {what} under the probe, which is only a question")
    answer = seen[0]
    if isinstance(answer, Answer):
        lines += [f"  {name:<10}{value}" for name, value in _said(answer)]
    return [harmless(line) for line in lines]


def _said(answer: "Answer") -> list[tuple[str, str]]:
    """Return what a master says of itself, in words."""
    from engine.answers.words import lasting

    rows = [
        ("health", f"degraded: {answer.degraded}" if answer.degraded else "ok"),
        ("role", answer.role or "not said: it may take no control protocol"),
        ("epoch", "not said" if answer.epoch is None else str(answer.epoch)),
        ("boot", answer.boot or "not said: a restart would not be noticed by it"),
    ]
    report = answer.report
    if report is None:
        return rows
    shares = (("cpu", report.cpu_ppm), ("memory", report.memory_ppm), ("errors", report.errors_ppm))
    rows += [(name, f"{value / 10_000:g} %") for name, value in shares if value >= 0]
    counts = (("active", report.active), ("queued", report.queue), ("position", report.position))
    rows += [(name, str(value)) for name, value in counts if value >= 0]
    if report.follows:
        rows.append(("follows", report.follows))
    if report.lag_us >= 0:
        rows.append(("behind by", lasting(report.lag_us)))
    if report.lease_us >= 0:
        without = "it goes on for ever without its replicas"
        rows.append(("lease", lasting(report.lease_us) if report.lease_us else without))
    return rows


async def _tried(url: str, settings: "Probe", *, group: str, quiet: bool) -> list["Promise"]:
    from engine.answers.words import harmless
    from engine.runtime.connection import Place, trusting
    from engine.runtime.contract import Contract

    tls = trusting(verify=settings.verify, ca=settings.ca) if settings.kind == "https" else None
    contract = Contract(Place(url, tls=tls), path=settings.path, group=group)
    promises = []
    try:
        async for promise in contract.check():
            promises.append(promise)
            if not quiet:
                word = "ok     " if promise.ok else "NOT ok "
                found = "" if promise.ok else f"; found {promise.found}"
                output.text(harmless(f"{word} {promise.promise}{found}"))
                output.flush()
    finally:
        await contract.close()
    return promises


def _document(
    url: str, settings: "Probe", seen: list["Probed"], promises: list["Promise"]
) -> dict[str, object]:
    import msgspec

    from engine.runtime.seen import Answer, Failure

    rows: list[dict[str, object]] = []
    for one in seen:
        match one:
            case Answer():
                said = msgspec.structs.asdict(one)
                report = msgspec.structs.asdict(one.report) if one.report else None
                outcome = "degraded" if one.degraded else "ok"
                rows.append({**said, "report": report, "outcome": outcome})
            case Failure():
                failed = msgspec.structs.asdict(one)
                rows.append({**failed, "evidence": one.evidence.value, "outcome": "failed"})
            case _:
                rows.append({"outcome": "interrupted"})
    return {
        "url": url,
        "kind": settings.kind,
        "probes": rows,
        "contract": [msgspec.structs.asdict(promise) for promise in promises],
    }
