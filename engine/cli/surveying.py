"""What `tanist init` says about the masters that it looked at, and what to do about it."""

from collections.abc import Iterable, Sequence
from itertools import groupby

from engine.answers.words import lasting
from engine.core.events import Evidence
from engine.core.fleet import Role
from engine.runtime.survey import Seen


def described(seen: Seen) -> str:
    """Return what was seen of one address."""
    if not seen.answered:
        return f"{seen.address}: no good answer to {seen.failed} probes ({_failure(seen)})"
    role = f", reports itself {seen.role}" if seen.role else ""
    if seen.follows:
        role += f" and follows {seen.follows}"
    failed = f", {seen.failed} failed ({_failure(seen)})" if seen.failed else ""
    return (
        f"{seen.address}: {seen.answered} answers, median {lasting(seen.median_us)}, "
        f"slowest {lasting(seen.slowest_us)}{role}{failed}"
    )


def _failure(seen: Seen) -> str:
    """Return the last failure; a word that its evidence and its detail begin with comes once."""
    return " ".join(word for word, _ in groupby(seen.last_failure.split()))


def preset_reason(preset: str, seen: Sequence[Seen]) -> str:
    """Return why this preset was chosen after a look."""
    if any(one.answered for one in seen):
        return f"preset {preset}: its time-out is well above the slowest answer"
    return f"preset {preset}: nobody answered well, so nothing is known of the network"


def redis_hints(seen: Sequence[Seen], *, file: str) -> Iterable[str]:
    """Yield what is amiss with Redis servers that should stand in for one another."""
    silent = [one for one in seen if not one.answered]
    if any("NOAUTH" in one.last_failure or "WRONGPASS" in one.last_failure for one in silent):
        yield "they ask for a password: name its variable with --password-env"
    active = [one for one in seen if one.role == Role.ACTIVE.value]
    if len(active) > 1:
        names = ", ".join(one.address for one in active)
        yield f"{names} are primaries, each with data of its own: make all but one replicas of it"
    if seen and not active and not silent:
        yield "none of them is a primary: name that one too"
    named = {one.address.partition("://")[2] for one in seen}
    for one in seen:
        if one.follows and one.follows not in named:
            yield (
                f"{one.address} follows {one.follows}, which is none of those in {file}: if it is "
                "the same server by another name, nothing is amiss"
            )


def hints(seen: Sequence[Seen], *, file: str) -> Iterable[str]:
    """Yield what to change in `file` for masters that do not speak the protocol of Tanist."""
    silent = [one for one in seen if not one.answered]
    refusing = [one for one in silent if Evidence.STATUS.value in one.last_failure.split()]
    if refusing:
        names = ", ".join(one.address for one in refusing)
        yield f"{names}: set probe.path in {file} to a path that answers 200 while all is well"
    if refusing or any(one.answered and not one.role for one in seen):
        yield (
            "masters that report no role may be plain HTTP upstreams, which take no commands: set "
            f'effects = {{ kind = "none" }} in {file}, and nothing is ever sent to them'
        )


def primary_first(addresses: tuple[str, ...], seen: Sequence[Seen]) -> tuple[str, ...]:
    """Return the addresses with the primary in front, if one alone says that it is it."""
    active = [one.address for one in seen if one.role == Role.ACTIVE.value]
    if len(active) != 1:
        return addresses
    return (active[0], *(address for address in addresses if address != active[0]))


def first(seen: Sequence[Seen]) -> str:
    """Return the address that would be promoted first; "" if several claim to be active.

    One that reports itself active stays what it is; else it is the first that answered.
    """
    claiming = [one.address for one in seen if one.role == Role.ACTIVE.value]
    if claiming:
        return claiming[0] if len(claiming) == 1 else ""
    well = [one.address for one in seen if one.answered]
    return (well or [one.address for one in seen])[0]


def first_said(name: str, seen: Sequence[Seen]) -> str:
    """Return in words who would be promoted first, and that nothing is done yet."""
    if any(one.role == Role.ACTIVE.value for one in seen):
        who = (
            f"{name} is active and stays so"
            if name
            else "several report themselves active: nobody is chosen between them"
        )
    else:
        who = f"{name} would be promoted first"
    return (
        f"{who}; as it is written, the engine only observes and says what it would do: "
        'automation = "confirm" or "auto" lets it act'
    )
