"""Outliers: masters that serve beside others, and whose requests fail much more than theirs.

Rule 1: judged is what real requests met in a window, of those that serve and had enough of them.
A share of failures beyond the policy's is too much; so is, among five or more, a share of successes
below their mean by more than 1.9 standard deviations.

Rule 2: an outlier gets no traffic for a while, the k-th time in a row k times as long, up to a
bound. In a row is what comes before it served for as long as it was out the last time. It is no
failure: health, role and epoch are as they were, and what was assigned stays its own.

Rule 3: of a small group at least a half serves on; of a large one not more than a share is out, but
one may always be. Who rests because somebody wants it is none of the group here.

Rules and figures are those of Envoy ("Outlier detection") and gRPC (proposal A50), where a group is
large enough for them; in a small one shares of failures are judged all the same, for to lack five
masters is no reason to go on with one that fails.
"""

import math
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from engine.core import events as ev
from engine.core.events import Figures
from engine.core.facts import Calls
from engine.core.policy import Ejection
from engine.core.serving import is_out, may_serve, rests
from engine.core.state import GroupState, State, is_active_standby
from engine.core.step import Step

PPM: Final = 1_000_000
HOSTS_LEAST: Final = 5  # of fewer masters means and deviations say nothing; a group is small
RATE_CALLS: Final = 100  # requests, of fewer no share of successes is compared [count]
FAILED_CALLS: Final = 50  # requests, of fewer no share of failures is judged [count]
DEVIATIONS_MILLI: Final = 1_900  # thousandths of a standard deviation below the mean

EJECTION: Final = "ejection"  # what its deadlines are of


class Outlier(NamedTuple):
    """Who is one, by which rule and with which figures."""

    master: str
    rule: str
    figures: Figures


def lasts_us(settings: Ejection, times: int) -> int:
    """Return how long the ejection lasts that is the `times`-th in a row [us].

    Example:
        >>> one = Ejection(first_us=30, most_us=300, share_ppm=100_000, failed_ppm=850_000)
        >>> [lasts_us(one, times) for times in (1, 2, 3, 4, 10, 11)]
        [30, 60, 90, 120, 300, 300]
    """
    return min(settings.first_us * times, settings.most_us)


def room(settings: Ejection, masters: int, serving: int, out: int) -> int:
    """Return how many more masters may be ejected of a group [count].

    Args:
        settings: Of the group.
        masters: All there are that do not rest [count].
        serving: Who of them gets traffic now [count].
        out: Who of them is ejected now [count].

    Example:
        >>> one = Ejection(first_us=30, most_us=300, share_ppm=100_000, failed_ppm=850_000)
        >>> [room(one, masters, masters, 0) for masters in (1, 2, 3, 4, 5, 19, 20)]
        [0, 1, 1, 2, 1, 1, 2]
    """
    if masters < HOSTS_LEAST:
        return max(0, serving - (masters + 1) // 2)
    return max(0, max(1, masters * settings.share_ppm // PPM) - out)


def outliers(settings: Ejection, counted: Iterable[Calls]) -> Iterator[Outlier]:
    """Return who is an outlier of those that serve, the worst first.

    Args:
        settings: Of the group.
        counted: The requests of each of them in one window.
    """
    failing = [each for each in counted if each.calls >= FAILED_CALLS]
    bad = sorted(failing, key=lambda each: (-_failed_ppm(each), each.master))
    found = set()
    for each in bad if len(failing) > 1 else ():
        share_ppm = _failed_ppm(each)
        if share_ppm >= settings.failed_ppm:
            figures = (*_figures(each), ("failed_ppm_max", settings.failed_ppm))
            found.add(each.master)
            yield Outlier(each.master, "failures", figures)
    rated = [each for each in bad if each.calls >= RATE_CALLS]
    if len(rated) < HOSTS_LEAST:
        return
    least_ppm = _least_ppm([PPM - _failed_ppm(each) for each in rated])
    for each in rated:
        if PPM - _failed_ppm(each) < least_ppm and each.master not in found:
            figures = (*_figures(each), ("success_ppm_least", least_ppm))
            yield Outlier(each.master, "successes", figures)


def _failed_ppm(each: Calls) -> int:
    return each.failed * PPM // each.calls


def _figures(each: Calls) -> Figures:
    return (("calls", each.calls), ("failed", each.failed), ("failed_ppm", _failed_ppm(each)))


def _least_ppm(rates_ppm: list[int]) -> int:
    """Return the share of successes below which a master is an outlier [ppm].

    It is the mean less 1.9 standard deviations, of the whole population.
    """
    count, total = len(rates_ppm), sum(rates_ppm)
    # All times `count`, so that nothing is rounded before the end.
    spread = math.isqrt(sum((rate * count - total) ** 2 for rate in rates_ppm) // count)
    return (total - spread * DEVIATIONS_MILLI // 1_000) // count


def settings_of(state: State, group: GroupState) -> Ejection | None:
    """Return under which settings masters of `group` are ejected; None: they are not."""
    balance = state.policy_of(group).balance
    return None if balance is None or is_active_standby(state, group) else balance.ejection


def decide_counted(step: Step, event: ev.CallsCounted) -> None:
    """Eject the outliers of a window, as many as there is room for."""
    state = step.state
    group = state.groups[step.subject]
    settings = settings_of(state, group)
    if settings is None:
        return
    able = {name for name, master in group.masters.items() if may_serve(master)}
    out = {name for name, master in group.masters.items() if is_out(master)}
    there = {
        name
        for name, master in group.masters.items()
        if not rests(state, group, master, state.at_us)
    }
    left = room(settings, len(there), len(there & able - out), len(there & out))
    counted = [each for each in event.calls if each.master in able - out]
    for outlier in list(outliers(settings, counted))[:left]:
        before = group.masters[outlier.master].ejected
        is_again = before is not None and (
            state.at_us - before.until_us <= lasts_us(settings, before.times)
        )
        times = before.times + 1 if before is not None and is_again else 1
        step.emit(
            ev.MasterEjected(
                until_us=state.at_us + lasts_us(settings, times),
                times=times,
                rule=outlier.rule,
                figures=outlier.figures,
                evidence=(step.seq,),
            ),
            subject=outlier.master,
        )


def decide_due(step: Step) -> None:
    """Let a master serve again whose time is over."""
    step.emit(ev.MasterReadmitted())


def ends(group: GroupState) -> Iterator[tuple[int, str]]:
    """Return when each ejection of `group` ends [us], and whose."""
    for name, master in group.masters.items():
        if master.ejected is not None and master.ejected.is_out:
            yield master.ejected.until_us, name
