"""Gray failure: why a master that answers is not well.

Rule 1: it is beyond a limit of the policy in so many reports in a row, until it was within all of
them in as many (rule "resource").

Rule 2: it spoke of its load and has fallen silent about it (rule "silent").

Rule 3: it flaps (rule "flapping").

That probes are slow or complain is counted in `detection`. None of it fails a master over: who is
degraded serves on, and ranks after those who are well. A flapping active is not replaced for
flapping: it is a sum of blips that the policy has said to ignore one by one, and a switch costs
more than any of them. When it fails it is replaced as anybody is.
"""

from engine.core import events as ev
from engine.core import flapping
from engine.core.events import Figures
from engine.core.fleet import Health
from engine.core.limits import over
from engine.core.policy import LIMITLESS
from engine.core.state import GroupState, MasterState, Place, State
from engine.core.step import Step


def ailment(
    state: State, group: GroupState, master: MasterState
) -> tuple[str, tuple[int, ...], Figures] | None:
    """Return why a master that answers is not well: rule, evidence, figures; None: it is."""
    report = master.report
    degraded = state.policy_of(group).degraded or LIMITLESS
    if report is not None and len(report.over) >= degraded.reports:
        figures = (
            *((name, value) for name, value, _ in over(degraded, report)),
            *((f"{name}_max", most) for name, _, most in over(degraded, report)),
            ("reports", len(report.over)),
        )
        return "resource", tuple(report.over), figures
    if report is not None and report.is_silent:
        silent_us = state.at_us - report.load_us
        figures = (("silent_us", silent_us), ("silent_after_us", degraded.silent_after_us))
        return "silent", (report.seq,), figures
    flaps = master.flaps
    if flaps is not None and flaps.since_seq:
        percent_ppm = flapping.percent_ppm(flaps, master.good)
        return "flapping", (flaps.since_seq,), (("percent_ppm", percent_ppm),)
    return None


def decide_ailing(step: Step, place: Place) -> None:
    """Say that a healthy master is not well any more; that it is again is said at an answer."""
    if place.master.health is not Health.HEALTHY:
        return
    found = ailment(step.state, place.group, place.master)
    if found is not None:
        rule, evidence, figures = found
        step.emit(ev.MasterDegraded(evidence=evidence, rule=rule, figures=figures))


def decide_flapping(step: Step, place: Place) -> None:
    """Say that a master flaps, or does no more."""
    master = place.master
    flaps = master.flaps
    if flaps is None:
        return
    probe = step.state.policy_of(place.group).probe
    percent_ppm = flapping.percent_ppm(flaps, master.good)
    figures = (("high_ppm", probe.flap_high_ppm), ("low_ppm", probe.flap_low_ppm))
    if flaps.since_seq:
        if percent_ppm <= probe.flap_low_ppm or not probe.flap_high_ppm:
            step.emit(ev.FlappingEnded(percent_ppm=percent_ppm, figures=figures))
    elif 0 < probe.flap_high_ppm <= percent_ppm:
        step.emit(ev.FlappingStarted(percent_ppm=percent_ppm, figures=figures))
