"""Files of observations: what is read, what is refused, and how it is said."""

import gzip
import io
import itertools
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from engine.core.errors import ObservationsError
from engine.core.events import Evidence
from engine.observations import (
    DISORDER_US_MAX,
    MISTAKES_MAX,
    PROGRESS_EVERY,
    Observations,
    Record,
    default_unknown_after_us,
    read,
)

CHECKOUT = Path(__file__).parents[2]
T0_US = 1_767_225_600_000_000  # 2026-01-01T00:00:00Z
SECOND = 1_000_000
MAPPED = {"at": "t", "master": "target", "outcome": "status", "latency_ms": "rt_ms"}


def line(
    second: int = 0, master: str = "a", outcome: str = "ok", rest: str = "", *, minute: int = 0
) -> str:
    at = f"2026-01-01T00:{minute:02}:{second:02}Z"
    return f'{{"at":"{at}","master":"{master}","outcome":"{outcome}"{rest}}}\n'


def read_text(text: str | bytes, **options) -> Observations:
    return read(io.BytesIO(text.encode() if isinstance(text, str) else text), **options)


def mistakes_of(text: str | bytes, **options) -> tuple[str, ...]:
    with pytest.raises(ObservationsError) as caught:
        read_text(text, **options)
    return caught.value.mistakes


def record(**fields) -> Record:
    plain = {
        "at_us": T0_US,
        "master": "a",
        "outcome": "ok",
        "latency_us": None,
        "failure": None,
        "observer": "",
        "detail": "",
        "line": 1,
    }
    return Record(**{**plain, **fields})


def test_a_full_line_is_read_as_it_stands():
    text = (
        '{"at":"2026-01-01T00:00:00.000Z","master":"a","outcome":"failed","latency_ms":12.5,'
        '"failure":"overdue","observer":"o1","detail":"no answer","colour":"red"}'
    )
    assert read_text(text).records == [
        record(
            outcome="failed",
            latency_us=12_500,
            failure=Evidence.OVERDUE,
            observer="o1",
            detail="no answer",
        )
    ]


def test_only_the_time_the_master_and_the_outcome_are_needed():
    assert read_text(line()) == Observations(records=[record()], duplicates=0, reordered=0)
    nulls = ',"latency_ms":null,"failure":null,"observer":null,"detail":null'
    assert read_text(line(rest=nulls)).records == [record()]


@pytest.mark.parametrize(
    ("said", "outcome", "failure"),
    [
        ("ok", "ok", None),
        ("up", "ok", None),
        ("degraded", "degraded", None),
        ("failed", "failed", Evidence.REPORTED),
        ("down", "failed", Evidence.REPORTED),
    ],
)
def test_outcomes_have_two_spellings(said, outcome, failure):
    assert read_text(line(outcome=said)).records == [record(outcome=outcome, failure=failure)]


def test_why_it_failed_is_kept_only_if_it_failed():
    (found,) = read_text(line(rest=',"failure":"status"')).records
    assert found.failure is None


@pytest.mark.parametrize(
    ("at", "at_us"),
    [
        ("2026-01-01T00:00:00Z", T0_US),
        ("2026-01-01T02:00:00+02:00", T0_US),
        ("2025-12-31T19:00:00-05:00", T0_US),
        ("2026-01-01T00:00:00.1Z", T0_US + 100_000),
        ("2026-01-01T00:00:00.000001Z", T0_US + 1),
        ("2026-01-01T00:00:00.999999Z", T0_US + 999_999),
        ("2026-01-01T00:00:00.000001499Z", T0_US + 1),
        ("1970-01-01T00:00:00Z", 0),
        ("9999-12-31T23:59:59.999999Z", 253_402_300_799_999_999),
    ],
)
@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_times_are_exact_to_the_microsecond(form, at, at_us):
    text = f'{{"at":"{at}","master":"a","outcome":"ok"}}'
    if form == "csv":
        text = f"at,master,outcome\n{at},a,ok\n"
    assert read_text(text).records[0].at_us == at_us


def test_latencies_are_exact_to_the_microsecond():
    rng = random.Random(7)
    latencies_us = [0, 1, 999, 10**12 + 1, *(rng.randrange(10**12) for _ in range(2_000))]
    text = "".join(
        line(rest=f',"latency_ms":{us // 1000}.{us % 1000:03},"detail":"{us}"')
        for us in latencies_us
    )
    assert [found.latency_us for found in read_text(text).records] == latencies_us


# Each line stands alone as line 2 of its file; what is said of it names the line.
@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ("{", "line 2: Input data was truncated"),
        ("[]", "line 2: Expected `object`, got `array`"),
        ('{"master":"a","outcome":"ok"}', "line 2: Object missing required field `at`"),
        ('{"at":"2026-01-01T00:00:00Z","outcome":"ok"}', "required field `master`"),
        ('{"at":"2026-01-01T00:00:00Z","master":"a"}', "required field `outcome`"),
        ('{"at":"2026-01-01T00:00:00","master":"a","outcome":"ok"}', "timezone"),
        ('{"at":"yesterday","master":"a","outcome":"ok"}', "Invalid RFC3339"),
        ('{"at":1767225600,"master":"a","outcome":"ok"}', "Expected `datetime`, got `int`"),
        ('{"at":"1969-12-31T23:59:59Z","master":"a","outcome":"ok"}', "a time after 1970"),
        (line(master=""), "at `$.master`"),
        (line(outcome="OK"), "expected outcome ok, degraded or failed, found 'OK'"),
        (line(rest=',"latency_ms":-1'), "at `$.latency_ms`"),
        (line(rest=',"latency_ms":"12"'), "at `$.latency_ms`"),
        (line(rest=',"latency_ms":1e300'), "at `$.latency_ms`"),
        (line(rest=',"failure":"timeout"'), "Invalid enum value 'timeout'"),
        (line(rest=',"observer":7'), "at `$.observer`"),
        (line(master="\udcff"), "line 2: 'utf-8' codec can't decode"),
    ],
)
def test_a_bad_line_is_refused_by_its_number(bad, said):
    text = (line() + bad.removesuffix("\n") + "\n" + line()).encode(errors="surrogateescape")
    (mistake,) = mistakes_of(text)
    assert mistake.startswith("line 2: ")
    assert said in mistake


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ("2026-01-01T00:00:00Z,a", "line 2: expected 4 cells, found 2"),
        ("2026-01-01T00:00:00Z,a,ok,1,2", "line 2: expected 4 cells, found 5"),
        ("2026-01-01T00:00:00Z,,ok,1", "line 2: Object missing required field `master`"),
        ("2026-01-01T00:00:00Z,a,,1", "line 2: Object missing required field `outcome`"),
        (",a,ok,1", "line 2: expected a time, found ''"),
        ("1767225600,a,ok,1", "line 2: expected a time, found '1767225600'"),
        ("2026-01-01T00:00:00,a,ok,1", "timezone"),
        ("2026-01-01T00:00:00Z,a,ok,soon", "line 2: Expected `float | null`, got `str`"),
        ("2026-01-01T00:00:00Z,a,ok,nan", "line 2: Expected `float` >= 0.0"),
        ("2026-01-01T00:00:00Z,a,ok,inf", "line 2: Expected `float` <= "),
        ("2026-01-01T00:00:00Z,\udcff,ok,1", "line 2: 'utf-8' codec can't decode"),
    ],
)
def test_a_bad_row_of_csv_is_refused_by_its_number(bad, said):
    text = f"at,master,outcome,latency_ms\n{bad}\n2026-01-01T00:00:00Z,a,ok,1\n"
    (mistake,) = mistakes_of(text.encode(errors="surrogateescape"))
    assert mistake.startswith("line 2: ")
    assert said in mistake


def test_broken_quotes_of_csv_are_refused_and_nothing_behind_them_is_guessed():
    (mistake,) = mistakes_of('at,master,outcome\n2026-01-01T00:00:00Z,"a,ok\nx\n')
    assert mistake == "line 3: unexpected end of data"


def test_line_7_is_broken_and_nothing_is_returned():
    text = "".join(line(second) if second != 7 else "oops\n" for second in range(1, 10))
    (mistake,) = mistakes_of(text)
    assert mistake.startswith("line 7: JSON is malformed")


def test_every_bad_line_is_named_in_one_error_up_to_a_limit():
    found = mistakes_of(line() + "oops\n" * (MISTAKES_MAX - 1))
    assert [each.split(":")[0] for each in found] == [
        f"line {number}" for number in range(2, MISTAKES_MAX + 1)
    ]
    found = mistakes_of(line() + "oops\n" * 100)
    assert len(found) == MISTAKES_MAX + 1
    assert found[0].startswith("line 2: ")
    assert found[-1] == f"and {100 - MISTAKES_MAX} more"


def test_mistakes_of_all_kinds_stand_in_the_order_of_lines():
    text = line(minute=9) + line(minute=1) + "oops\n" * 30
    found = mistakes_of(text)
    assert found[0].startswith("line 2: 480000000 us behind")
    assert found[1].startswith("line 3: ")
    assert found[-1] == "and 11 more"


def test_lines_out_of_order_are_sorted_within_the_bound():
    found = read_text(line(5, "b") + line(3) + line(4) + line(5, "a") + line(9))
    assert [(each.at_us - T0_US) // SECOND for each in found.records] == [3, 4, 5, 5, 9]
    assert [each.line for each in found.records] == [2, 3, 1, 4, 5]
    assert found.reordered == 2


def test_lines_out_of_order_beyond_the_bound_are_refused():
    assert read_text(line(minute=6) + line(minute=1)).reordered == 1  # just within five minutes
    (mistake,) = mistakes_of(line(1, minute=6) + line(minute=1))
    assert mistake == f"line 2: 301000000 us behind a line before; {DISORDER_US_MAX} us may be"
    (mistake,) = mistakes_of(line(5) + line(4), disorder_us_max=0)
    assert mistake.startswith("line 2: ")
    assert read_text(line(1, minute=6) + line(), disorder_us_max=10**9).reordered == 1


def test_exact_duplicates_are_counted_and_skipped():
    other = line(2, rest=',"detail":"other"')
    found = read_text(line(1) + line(2) + line(2) + other + line(2) + line(2, "b") + line(3))
    assert (found.duplicates, found.reordered) == (2, 0)
    assert [each.line for each in found.records] == [1, 2, 4, 6, 7]


def test_a_file_appended_to_itself_is_read_once():
    once = "".join(line(minute=minute) for minute in range(20))
    found = read_text(once + once)
    assert found.records == read_text(once).records
    assert found.duplicates == 20


def test_an_unknown_master_is_refused_unless_a_group_takes_it():
    text = line() + line(1, "b") + line(2, "c")
    assert mistakes_of(text, known={"a", "c"}) == (
        "line 2: no master 'b'; a group would let it join",
    )
    assert len(read_text(text, known={"a", "b", "c"}).records) == 3
    assert len(read_text(text, known={"a"}, group="g").records) == 3
    assert len(read_text(text).records) == 3
    assert len(mistakes_of(text, known=())) == 3


def test_columns_are_mapped_in_both_formats():
    expected = [
        record(outcome="failed", failure=Evidence.REPORTED, latency_us=775_000, line=line_number)
        for line_number in (1, 2)
    ]
    text = '{"t":"2026-01-01T00:00:00Z","target":"a","status":"down","rt_ms":775,"at":"x"}'
    assert read_text(text, columns=MAPPED).records == expected[:1]
    text = "code,rt_ms,status,target,t\n0,775,down,a,2026-01-01T00:00:00Z\n"
    assert read_text(text, columns=MAPPED).records == expected[1:]


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"when": "t"}, "map: expected some of at, master, outcome, latency_ms, failure"),
        ({"at": "t", "master": "t"}, "map: 't' would be two fields"),
        ({"at": "master"}, "map: 'master' would be two fields"),
    ],
)
def test_a_map_that_makes_no_sense_is_refused(columns, said):
    (mistake,) = mistakes_of(line(), columns=columns)
    assert mistake.startswith(said)


def test_csv_may_quote_and_leave_cells_empty():
    text = (
        "at,master,outcome,latency_ms,failure,observer,detail\r\n"
        '2026-01-01T00:00:00Z,a,ok,,,,"x, ""y"""\r\n'
        "\r\n"
        '2026-01-01T00:00:01Z,"b",down,0.5,refused,o1,"two\nlines"\r\n'
        "2026-01-01T00:00:02Z,b,up,1,,,\r\n"
    )
    assert read_text(text).records == [
        record(detail='x, "y"', line=2),
        record(
            at_us=T0_US + SECOND,
            master="b",
            outcome="failed",
            latency_us=500,
            failure=Evidence.REFUSED,
            observer="o1",
            detail="two\nlines",
            line=5,
        ),
        record(at_us=T0_US + 2 * SECOND, master="b", latency_us=1_000, line=6),
    ]


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("at,master", "line 1: expected one column 'outcome', found ['at', 'master']"),
        ("at,master,outcome,at", "line 1: expected one column 'at', found "),
        ("nonsense", "line 1: expected one column 'at', found ['nonsense']"),
    ],
)
def test_a_header_without_what_is_needed_is_refused(header, said):
    (mistake,) = mistakes_of(f"{header}\nx\n")
    assert mistake.startswith(said)


@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize(
    "text", [line().encode(), b"at,master,outcome\n2026-01-01T00:00:00Z,a,ok\n"]
)
def test_the_format_is_told_by_the_content(text, pack, bom):
    assert [each.master for each in read_text(pack(bom + text)).records] == ["a"]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("suffix", "text", "said"),
    [
        (".jsonl", "oops\n", "line 1: JSON is malformed"),
        (".ndjson", "oops\n", "line 1: JSON is malformed"),
        (".csv", line(), "line 1: ',' expected after"),
        (".txt", "oops\n", "line 1: expected one column 'at'"),
        (".txt", line(outcome="no"), "line 1: expected outcome"),
    ],
)
def test_the_suffix_of_a_path_has_the_first_word_on_the_format(
    tmp_path, suffix, text, said, packed
):
    path = tmp_path / f"observations{suffix}{'.GZ' * packed}"
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    for source in (path, str(path)):
        with pytest.raises(ObservationsError, match=said):
            read(source)


def test_blank_lines_are_passed_over_and_counted():
    assert [each.line for each in read_text("\n" + line(1) + "  \n" + line(2)).records] == [2, 4]


@pytest.mark.parametrize("text", ["", "\n\n", "at,master,outcome\n"])
def test_a_file_without_observations_is_empty(text):
    assert read_text(text) == Observations(records=[], duplicates=0, reordered=0)


def test_a_stream_is_left_open():
    stream = io.BytesIO(line().encode())
    read(stream)
    assert not stream.closed


def test_a_minus_is_standard_input():
    code = "from engine.observations import read; print(len(read('-').records))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=gzip.compress((line(1) + line(2)).encode()),
        capture_output=True,
        cwd=CHECKOUT,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        check=True,
    )
    assert done.stdout.strip() == b"2"


def test_a_file_that_cannot_be_read_is_said_to_be_so(tmp_path):
    with pytest.raises(ObservationsError, match=r"nothing\.jsonl: No such file or directory"):
        read(tmp_path / "nothing.jsonl")
    with pytest.raises(ObservationsError, match="Is a directory"):
        read(str(tmp_path))


def test_a_packed_file_that_was_cut_off_or_changed_is_refused():
    packed = gzip.compress("".join(line(each) for each in range(60)).encode())
    assert mistakes_of(packed[:-9])[-1].startswith("the stream: Compressed file ended")
    changed = packed[:-8] + bytes(4) + packed[-4:]
    assert mistakes_of(changed)[-1].startswith("the stream: CRC check failed")
    assert mistakes_of(packed[:12] + b"\xff" * 40)[0].startswith("the stream: ")


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_progress_is_reported_now_and_then_and_at_the_end(form):
    times = [f"2026-01-01T00:00:{each // 1_000:02}.{each % 1_000:03}Z" for each in range(25_000)]
    text = "".join(f'{{"at":"{at}","master":"a","outcome":"ok"}}\n' for at in times)
    if form == "csv":
        text = "at,master,outcome\n" + "".join(f"{at},a,ok\n" for at in times)
    reported: list[int] = []
    read_text(text, progress=reported.append)
    lines = 25_000 + (form == "csv")
    assert reported == [PROGRESS_EVERY, 2 * PROGRESS_EVERY, lines]


@pytest.mark.parametrize(
    ("times", "seconds"),
    [
        ({}, 0),
        ({"a": [5]}, 0),
        ({"a": [5, 5]}, 0),
        ({"a": [0, 10]}, 30),
        ({"a": [0, 10, 40]}, 30),
        ({"a": [0, 10, 30, 60]}, 60),
        ({"a": [0, 10, 20, 500]}, 30),
        ({"a": [0, 10, 20], "b": [0, 60], "c": [7]}, 180),
    ],
)
def test_silence_is_three_times_the_largest_usual_gap(times, seconds):
    records = [
        record(at_us=T0_US + second * SECOND, master=master)
        for master, when in times.items()
        for second in when
    ]
    records.sort(key=lambda each: each.at_us)
    assert default_unknown_after_us(records) == seconds * SECOND


def test_any_order_within_the_bound_gives_the_same_records():
    texts = [line(1), line(2, "b", "down"), line(3, "a"), line(4)]
    expected = [(T0_US + second * SECOND, master) for second, master in enumerate("abaa", 1)]
    for order in itertools.permutations(texts):
        found = read_text("".join(order)).records
        assert [(each.at_us, each.master) for each in found] == expected
