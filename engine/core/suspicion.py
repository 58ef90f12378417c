"""The sums of doubt: phi, and how long a suspicion lasts. Pure figures in, pure figures out.

phi = -log10(P(no answer for this long)), for intervals that are normally distributed: at phi 8 one
silence in 10**8 is a false alarm (Hayashibara et al., 2004). Mean and deviation are moving averages
over the intervals between good answers, each new one weighing a sixteenth, in integers.

A suspicion of one observer lasts long and is shortened by others that confirm it (Lifeguard,
Dadgar et al., 2017): max(least, most - log(C + 1) / log(K + 1) * (most - least)).

What the maths library gives differs in its last digits from machine to machine. So only `decide`
calls what uses it here, and rounds it into the event.
"""

import math
from typing import Final

from engine.core.seen import Gaps

WEIGHT: Final = 16  # a new interval is one part of so many of the averages [count]
ONE_IN_MAX: Final = 10**18  # a false alarm is never said to be rarer [count]
_PHI_MAX: Final = 10_000_000  # beyond it nothing changes [1/1000]


def note_gap(gaps: Gaps, gap_us: int, *, upto: int) -> None:
    """Take the interval between two good answers into the averages, in integers only.

    Args:
        gaps: Updated in place.
        gap_us: The interval [us].
        upto: How many are counted, the warm-up [count].
    """
    if not gaps.count:
        gaps.mean_us = gap_us
    off_us = gap_us - gaps.mean_us
    # Until there are as many as the average goes over, each counts the same.
    weight = min(gaps.count + 1, WEIGHT)
    gaps.mean_us += off_us // weight
    gaps.variance += (off_us * off_us - gaps.variance) // weight
    gaps.count = min(gaps.count + 1, max(upto, WEIGHT))


def deviation_us(gaps: Gaps, *, least_us: int) -> int:
    """Return the deviation of the intervals, `least_us` at least [us]."""
    return max(least_us, math.isqrt(max(gaps.variance, 0)))


def phi_milli(elapsed_us: int, *, mean_us: int, deviation_us: int) -> int:
    """Return phi after a silence of `elapsed_us` [1/1000].

    Example:
        >>> [phi_milli(us, mean_us=100_000, deviation_us=10_000) for us in (112_816, 156_120)]
        [1000, 8000]
    """
    off = (elapsed_us - mean_us) / deviation_us
    tail = math.erfc(off / math.sqrt(2)) / 2
    if tail > 0:
        return round(-1_000 * math.log10(tail))
    # Too small for a float: the leading term of its asymptotic expansion.
    log10 = -(off * off) / 2 / math.log(10) - math.log10(off * math.sqrt(2 * math.pi))
    return min(_PHI_MAX, round(-1_000 * log10))


def silence_us(phi: int, *, mean_us: int, deviation_us: int) -> int:
    """Return after how long a silence phi is `phi` [us; phi in 1/1000]; to a microsecond."""
    least, most = mean_us, mean_us + 40 * deviation_us
    while least < most:
        middle = (least + most) // 2
        if phi_milli(middle, mean_us=mean_us, deviation_us=deviation_us) >= phi:
            most = middle
        else:
            least = middle + 1
    return least


def one_in(phi: int) -> int:
    """Return in how many silences of this phi [1/1000] one is a false alarm [count]."""
    return ONE_IN_MAX if phi >= 18_000 else max(1, round(10 ** (phi / 1_000)))


def timeout_us(
    confirmations: int, *, expected: int, timeout_us_min: int, timeout_us_max: int
) -> int:
    """Return how long a suspicion lasts that so many others confirm [us], to a millisecond.

    Args:
        confirmations: Others that say the same [count].
        expected: Others after which it is no shorter [count, >= 1].
        timeout_us_min: The least [us].
        timeout_us_max: The most, without any [us].
    """
    share = math.log(confirmations + 1) / math.log(expected + 1)
    left_us = timeout_us_max - share * (timeout_us_max - timeout_us_min)
    return max(timeout_us_min, int(left_us / 1_000) * 1_000)
