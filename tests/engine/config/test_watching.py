"""How a file says by what verdicts are come to."""

import pytest

from engine.config.describing import describe, verdict_sentence
from engine.core.policy import MS, SECOND, Observers, Phi, Policy, preset, sums
from tests.engine.config.test_loading import group, mistakes, small


def test_a_file_that_says_nothing_asks_for_nothing() -> None:
    found = group("")
    assert (found.observers, found.degraded, found.probe.phi) == (None, None, None)
    assert group("observers = { quorum = 1 }").observers is None
    assert group('degraded = { cpu = "never" }').degraded is None


def test_the_adaptive_detector_has_a_default_for_all_of_it() -> None:
    assert group('probe = { detector = "phi" }').probe.phi == Phi(
        threshold_milli=8_000, deviation_us_min=500 * MS, warm_up=20
    )
    written = group('probe = { detector = "phi", timeout = "250ms", recheck = "250ms" }').probe.phi
    assert written is not None
    assert written.deviation_us_min == 250 * MS


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("probe = { phi = { threshold = 5 } }", 'no phi where detector = "consecutive"'),
        ('probe = { suspicion = { most = "1s" } }', 'no suspicion where detector = "consecutive"'),
        (
            'probe = { detector = "phi", phi = { threshold = 0 } }',
            "a number above 0, 300 at most, with at most three decimals, found 0",
        ),
        (
            'probe = { detector = "phi", phi = { threshold = 1.2345 } }',
            "with at most three decimals, found 1.2345",
        ),
        (
            'probe = { detector = "phi", suspicion = { least = "2s", most = "1s" } }',
            "at most what is written as most, found 2s and 1s",
        ),
        (
            'probe = { detector = "fi" }',
            '"consecutive" or "phi", found "fi"',
        ),
        ("probe = { flap_high = 20, flap_low = 20 }", "flap_low below flap_high, found 20 and 20"),
        ("probe = { flap_high = 15 }", "flap_low below flap_high, found 20 and 15"),
        ("probe = { flap_high = 100 }", 'at most four decimals or "never", found 100'),
        ('observers = { quorum = 2, vote_ttl = "1s" }', "at least 1.5s, one interval and one"),
        ("observers = { quorum = 0 }", "a whole number from 1 to 100, found 0"),
        ("degraded = { queue = 0 }", 'from 1 to 1000000000 or "never", found 0'),
        ("degraded = { load = 1 }", "one of cpu, memory, queue, errors, reports, silent_after"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(line: str, said: str) -> None:
    (found,) = mistakes(small(line))
    assert said in found


def test_flapping_may_be_off() -> None:
    probe = group('probe = { flap_high = "never" }').probe
    assert (probe.flap_high_ppm, probe.flap_low_ppm) == (0, 0)


def test_check_says_who_comes_to_verdicts_and_by_what() -> None:
    assert verdict_sentence(preset("bench")) == "one failed probe fails a master."
    assert verdict_sentence(group("")) == (
        "4 failed probes in a row fail a master; it flaps from 30 % of changed results down to "
        "20 %."
    )
    whole = group(
        'probe = { detector = "phi", suspicion = { most = "500ms" }, slow = "200ms" }\n'
        "observers = { quorum = 2 }\n"
        'degraded = { cpu = 90, memory = 95, errors = 0.5, queue = 7, silent_after = "9s" }'
    )
    assert verdict_sentence(whole) == (
        "phi 8 fails a master (one false alarm in 1e+08 silences), 4 failed probes in a row at the "
        "latest, after a suspicion of 0s to 500ms, if 2 observers say so within 5s of one another; "
        "it flaps from 30 % of changed results down to 20 %; degraded by processor above 90 %, "
        "memory above 95 %, errors above 0.5 %, queue above 7, answers slower than 200ms, no word "
        "of its load for 9s."
    )


def test_phi_shortens_the_blip_and_a_suspicion_lengthens_the_detection() -> None:
    plain = sums(preset("zone"))
    adaptive = sums(
        group('probe = { detector = "phi", phi = { threshold = 1, deviation = "100ms" } }')
    )
    assert adaptive.detect_us == plain.detect_us
    assert 600 * MS < adaptive.blip_us < 650 * MS  # 1 s + 1.28 x 100 ms, less the time-out
    later = group(
        'detect_within = "1m"\n'
        'probe = { detector = "phi", suspicion = { least = "3s", most = "10s" } }'
    )
    assert sums(later).detect_us == 12 * SECOND
    assert sums(later).blip_us == 3 * SECOND
    (found,) = mistakes(small('probe = { detector = "phi", suspicion = { most = "10s" } }'))
    assert "interval 1s + timeout 500ms + suspicion 10s + 500ms + slack 250ms = 12.25s" in found


def test_observers_are_kept_where_a_policy_changes_something_else() -> None:
    found = group("observers = { quorum = 3 }")
    assert found.observers == Observers(quorum=3, vote_ttl_us=5 * SECOND)


@pytest.mark.parametrize(
    ("quorum", "others"), [(1, ""), (2, "another observer"), (4, "3 other observers")]
)
def test_check_warns_of_a_quorum_that_needs_others(quorum: int, others: str) -> None:
    policy = group(f"observers = {{ quorum = {quorum} }}")
    (found,) = describe(Policy(groups={"g": policy}), ())["groups"].values()
    warned = [each for each in found["warnings"] if "no master ever fails" in each]
    assert len(warned) == (quorum > 1)
    assert all(others in each for each in warned)
