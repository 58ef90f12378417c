"""From the text of a `tanist.toml` to a configuration, or to every mistake that is in it."""

import json
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import Final

import msgspec

from engine.config import kinds
from engine.config.access import Grant, read_auth
from engine.config.acting import speaks_http
from engine.config.fleets import read_alerts, read_fleet
from engine.config.groups import GROUP_LATER, read_base, read_group
from engine.config.places import lines_of
from engine.config.secrets import NO_SECRETS, Secret, secrets
from engine.config.tables import Reading, Table, Unfit, shown
from engine.core.errors import ConfigurationError
from engine.core.fleet import Master
from engine.core.policy import DAY, MINUTE, PRESETS, GroupPolicy, Policy, content_digest

DEFAULT_LOG: Final = "tanist.db"
DEFAULT_LISTEN: Final = "127.0.0.1:8600"
DEFAULT_PRESET: Final = "zone"
NUMBER_MAX: Final = 1_000_000  # of a priority or a weight [count]
FILE_BYTES_MAX: Final = 16 * 1024 * 1024  # a thousand bytes for each of 10,000 masters and more
RESERVED: Final = "fleet"  # the subject of what concerns all groups

SEAL_AFTER_US: Final = 10 * MINUTE
KEEP_BODIES_US: Final = DAY
RESERVE_BYTES: Final = 64 << 20
LOG_LATER: Final = ("keep_decisions",)

_PLACE: Final = re.compile(r"(.*?) *\(at (?:line (\d+), column (\d+)|end of document)\)", re.DOTALL)


class Configuration(msgspec.Struct, frozen=True, kw_only=True):
    """What a file says, with every default filled in."""

    policy: Policy
    masters: tuple[Master, ...]  # in the order of the file
    log: str  # a path or an URL of SQLAlchemy, as written
    listen: str  # HOST:PORT
    flush_us: int  # how long a probe that changes nothing may wait for company [us]
    seal_after_us: int = SEAL_AFTER_US  # events older than this are sealed [us]
    keep_observations_us: int = 0  # older ones are dropped [us]; 0: never
    max_size: int = 0  # of the log: the oldest observations are dropped beyond it [bytes]; 0: any
    keep_bodies_us: int = KEEP_BODIES_US  # bodies are removed when not needed for so long [us]
    bodies_key: tuple[Secret, ...] = ()  # the first key seals bodies, each opens them; (): plain
    reserve_bytes: int = 0  # space that is kept for the log, for a full disk [bytes]
    auth: tuple[Grant, ...] = ()  # who may ask for what, beside the token that lies by the log
    digest: str  # of the content: the same for other bytes that say the same
    source: str  # what messages call the file


def load(path: str | os.PathLike[str], *, masters_needed: bool = True) -> Configuration:
    """Return what the file at `path` says; `masters_needed` as in `parse`.

    Raises:
        ConfigurationError: It cannot be read, or has mistakes; every one is named.
    """
    source = os.fspath(path)
    try:
        with FilePath(path).open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
    except (OSError, ValueError) as err:
        found = (err.strerror if isinstance(err, OSError) else None) or str(err)
        raise _unreadable(source, "a file that can be read", found.lower()) from err
    if len(content) > FILE_BYTES_MAX:
        raise _unreadable(source, f"at most {FILE_BYTES_MAX:,} bytes", "more")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as err:
        line = content.count(b"\n", 0, err.start) + 1
        found = f"the byte 0x{content[err.start]:02x}"
        raise ConfigurationError(
            [f"{source}:{line}: expected UTF-8, found {found}; save the file as UTF-8"]
        ) from err
    return parse(text, source=source, masters_needed=masters_needed)


def _unreadable(source: str, expected: str, found: str) -> ConfigurationError:
    remedy = "name a configuration, or write one with: tanist init"
    return ConfigurationError([f"{source}: expected {expected}, found {found}; {remedy}"])


def parse(text: str, *, source: str, masters_needed: bool = True) -> Configuration:
    """Return what `text` says; `source` is what messages call it.

    Without `masters_needed` it is a policy file: its groups may be without masters, and a preset's
    promise that the file does not repeat is not held against it, since it will not be run.

    Raises:
        ConfigurationError: It has mistakes; every one is named, with its place and what would do.
    """
    values = _values(text, source)
    reading = Reading(source, lines_of(text))
    root = Table(reading, (), values)
    engine = root.table("engine")
    preset_name = engine.take("preset", kinds.choice(list(PRESETS)), DEFAULT_PRESET)
    log = engine.take("log", kinds.log_place, DEFAULT_LOG)
    listen = engine.take("listen", kinds.listen, DEFAULT_LISTEN)
    engine.finish()
    keeping = root.table("log", later=LOG_LATER)
    flush = kinds.duration(most_us=MINUTE)
    flush_us = keeping.take("flush", flush, PRESETS[preset_name].flush_us)
    seal_after = keeping.take("seal_after", kinds.duration(most_us=DAY), SEAL_AFTER_US)
    reserve_bytes = keeping.take("reserve", kinds.size(), RESERVE_BYTES)
    least = kinds.duration_or_never(least_us=MINUTE)
    keep_observations = keeping.take(
        "keep_observations", least, PRESETS[preset_name].keep_observations_us
    )
    max_size = keeping.take("max_size", kinds.size(), PRESETS[preset_name].max_size)
    keep_bodies = keeping.take("keep_bodies", kinds.duration(), KEEP_BODIES_US)
    bodies_key = keeping.take("bodies_key", secrets, NO_SECRETS)
    keeping.finish()
    auth = read_auth(root.table("auth"))
    policy, masters = _fleet(root, preset_name=preset_name, masters_needed=masters_needed)
    root.finish()
    if reading.count:
        raise ConfigurationError(reading.mistakes)
    return Configuration(
        policy=policy,
        masters=masters,
        log=log,
        listen=listen,
        flush_us=flush_us,
        seal_after_us=seal_after,
        keep_observations_us=keep_observations,
        max_size=max_size,
        keep_bodies_us=keep_bodies,
        bodies_key=bodies_key,
        reserve_bytes=reserve_bytes,
        auth=auth,
        digest=content_digest(policy, masters),
        source=source,
    )


def _values(text: str, source: str) -> Mapping[str, object]:
    """Return the values of a TOML text."""
    try:
        return tomllib.loads(text)
    except RecursionError:
        place, found = f"{source}:1", "arrays or tables nested too deeply"
    except ValueError as err:  # besides its own error, a number of more digits than Python reads
        whole = str(err)
        at = _PLACE.fullmatch(whole)
        line = at[2] if at else None
        if at and line is None:
            line = str(text.count("\n") + 1)
        place = f"{source}:{line}" if line else source
        column = f" at column {at[3]}" if at and at[3] else ""
        found = (at[1] if at else whole).rstrip(".").replace("\n", " ") + column
    raise ConfigurationError([f"{place}: expected TOML, found: {found}; correct this line first"])


def _fleet(
    root: Table, *, preset_name: str, masters_needed: bool
) -> tuple[Policy, tuple[Master, ...]]:
    groups = root.table("groups")
    names = _Names()
    policies: dict[str, GroupPolicy] = {}
    masters: list[Master] = []
    tables: list[tuple[str, Table]] = []
    for group in groups.each():
        names.claim(groups, group, group)
        tables.append((group, groups.table(group, later=GROUP_LATER)))
    if not tables:
        root.mistake(
            "groups",
            expected="at least one group",
            found="none",
            remedy='add a table [groups.NAME] with mode = "active-standby" or "active-active"',
        )
    for group, table in tables:
        base = read_base(table, preset_name=preset_name)
        policies[group] = read_group(table, base, runs=masters_needed)
        before = root.reading.count
        rows = table.tables("masters")
        sound = root.reading.count == before
        masters += _masters(policies[group], group, rows, names)
        if masters_needed and not rows and sound:
            table.mistake(
                "masters",
                expected="at least one master",
                found="none",
                remedy=f"add [[groups.{group}.masters]] with id and address",
            )
        table.finish()
    fleet = read_fleet(root.table("fleet"), preset_name=preset_name)
    alerts = read_alerts(root.table("alerts"))
    return Policy(groups=policies, fleet=fleet, alerts=alerts), tuple(masters)


class _Names:
    """Who is called what: a subject of the log is a group, a master or the fleet, never two."""

    def __init__(self) -> None:
        self._claimed: dict[str, str] = {RESERVED: "the whole fleet"}

    def claim(self, table: Table, key: str, wanted: object, *, what: str = "the group") -> None:
        """Keep a name for the thing at `key`; that it is no name, or taken, is a mistake."""
        try:
            claimed = kinds.name(wanted)
        except Unfit as unfit:
            table.mistake(key, expected=unfit.expected, found=shown(wanted), remedy=unfit.remedy)
            return
        if claimed in self._claimed:
            table.mistake(
                key,
                expected="a name that nothing else has",
                found=f'"{claimed}", the name of {self._claimed[claimed]}',
                remedy="names of groups and masters are unique in the whole fleet: choose another",
            )
            return
        line = table.reading.line((*table.path, key))
        self._claimed[claimed] = f"{what} on line {line}"


def _masters(policy: GroupPolicy, group: str, rows: list[Table], names: _Names) -> list[Master]:
    masters = []
    schemes = kinds.PROBED_SCHEMES[policy.probe.kind]
    example = json.dumps(f"{schemes[0] if schemes else 'http'}://127.0.0.1:7001")

    def url(value: object) -> str:
        return kinds.address(value, schemes=schemes)

    seen: dict[str, str] = {}  # the master that has an address
    for row in rows:
        identity = row.need("id", kinds.name, "", example='"cache-a"')
        if identity:
            names.claim(row, "id", identity, what="the master")
        address = row.need("address", url, "", example=example)
        if address and policy.effects == "http" and not speaks_http([address.partition(":")[0]]):
            row.mistake(
                "address",
                expected='an http:// or https:// URL where effects.kind = "http"',
                found=shown(address),
                remedy='its master takes no control protocol: write effects = { kind = "none" }',
            )
        if address and address in seen:
            row.mistake(
                "address",
                expected="an address that no other master of the group has",
                found=f'"{address}", that of {seen[address]}',
                remedy="one process cannot stand in for itself: write another address",
            )
        seen.setdefault(address, identity or "another master")
        masters.append(
            Master(
                id=identity,
                group=group,
                address=address,
                priority=row.take("priority", kinds.count(least=1, most=NUMBER_MAX), 1),
                weight=row.take("weight", kinds.count(least=0, most=NUMBER_MAX), 1),
                region=row.take("region", kinds.name, ""),
                location=row.take("location", kinds.location, None),
            )
        )
        row.finish()
    return masters
