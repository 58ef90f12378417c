"""What a master says of itself: the health document, whatever it comes by.

    {"status": "ok", "boot": "…", "epoch": 5, "role": "active",
     "load": {"active": 3, "queued": 0, "cpu": 0.25, "memory": 0.5, "errors": 0.001},
     "freshness": {"position": 4711, "lag_ms": 12.5}}

`freshness` may be the position alone. It is read as leniently as it can be: a plain page is an
answer that says nothing, a field of another type is a field left out. Shares are numbers from 0 to
1; what is beyond is left out.
"""

from typing import Final, TypeGuard

import msgspec

from engine.core.events import Evidence, LoadReported
from engine.runtime.seen import COUNT_MAX, TEXT_MAX, Answer, Failure

PPM: Final = 1_000_000  # parts per million in one
LAG_MS_MAX: Final = 1_000_000_000  # eleven days; who is further behind need not be told apart

# As in the drafts and products in use: application/health+json says pass, warn and fail.
_FAILING: Final = frozenset(("failing", "failed", "fail", "down"))
_DEGRADED: Final = frozenset(("degraded", "warn"))


class _Health(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The fields of a health document that mean something here, whatever their types."""

    status: object = None
    boot: object = None
    epoch: object = None
    role: object = None
    reason: object = None
    load: object = None
    freshness: object = None


_NOTHING: Final = LoadReported()
_HEALTH: Final = msgspec.json.Decoder(_Health)


def read_health(body: bytes, *, latency_us: int, status: int = 0) -> Answer | Failure:
    """Return what a health document says; a body that is none says that all is well.

    Args:
        body: What came.
        latency_us: How long it took [us].
        status: Of HTTP, if it came by that; below 400.
    """
    if not body.startswith(b"{"):
        return Answer(latency_us=latency_us, status=status)
    try:
        health = _HEALTH.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Answer(latency_us=latency_us, status=status)
    word = _text(health.status).lower()
    reason = _text(health.reason) or word
    if word in _FAILING:
        return Failure(evidence=Evidence.STATUS, waited_us=latency_us, detail=reason)
    return Answer(
        latency_us=latency_us,
        status=status,
        boot=_text(health.boot),
        epoch=_count(health.epoch),
        role=_text(health.role),
        degraded=reason if word in _DEGRADED else "",
        report=read_report(health.load, health.freshness),
    )


def read_reason(body: bytes) -> str:
    """Return why a master says that it is not well; "" if its answer is no health document."""
    if not body.startswith(b"{"):
        return ""
    try:
        health = _HEALTH.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    return _text(health.reason) or _text(health.status)


def read_report(load: object, freshness: object) -> LoadReported | None:
    """Return what the fields `load` and `freshness` of a document say; None if that is nothing."""
    if load is None and freshness is None:
        return None
    work = load if isinstance(load, dict) else {}
    data = freshness if isinstance(freshness, dict) else {"position": freshness}
    lag_ms = data.get("lag_ms")
    report = LoadReported(
        cpu_ppm=_share(work.get("cpu")),
        memory_ppm=_share(work.get("memory")),
        queue=_known(work.get("queued")),
        active=_known(work.get("active")),
        errors_ppm=_share(work.get("errors")),
        position=_known(data.get("position")),
        lag_us=round(lag_ms * 1_000) if _is_number(lag_ms, LAG_MS_MAX) else -1,
    )
    return None if report == _NOTHING else report


def _share(value: object) -> int:
    """Return a number from 0 to 1 in parts per million; -1 if it is none."""
    return round(value * PPM) if _is_number(value, 1) else -1


def _is_number(value: object, most: int) -> TypeGuard[int | float]:
    """Return whether `value` is a number from 0 to `most`; what is no number at all is none."""
    return type(value) in (int, float) and isinstance(value, int | float) and 0 <= value <= most


def _known(value: object) -> int:
    count = _count(value)
    return -1 if count is None else count


def _count(value: object) -> int | None:
    """Return a count; None if it is none, or so high that none could be drawn above it."""
    return value if type(value) is int and 0 <= value <= COUNT_MAX else None


def _text(value: object) -> str:
    return value[:TEXT_MAX] if isinstance(value, str) else ""
