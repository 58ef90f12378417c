"""Rows: what is stored of an event."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.core.errors import LogConflict, LogCorrupted, LogTooNew
from engine.core.events import EngineStarted, LogBased, ProbeOk, Recorded
from engine.log.codec import crcs_of, decode_rows, encode_rows
from engine.log.protocol import Head
from tests.engine.log.events import START_US, at, based, probe, probes, row_crc

# Add lines; never edit or delete one. The first two columns of bytes and the crcs were computed
# without this package.
STORED = [
    (
        Recorded(seq=1, at_us=1_000, subject="a/é", cause=0, event=ProbeOk(n=7, latency_us=1_500)),
        (1, 1_000, 4, "a/é", 0, bytes.fromhex("9607cd05dca0c0a0a0")),
    ),
    (
        Recorded(
            seq=2,
            at_us=1_000,
            subject="fleet",
            cause=1,
            event=EngineStarted(release="0.1", stopped_at_us=0),
        ),
        (2, 1_000, 1, "fleet", 1, bytes.fromhex("92a3302e3100")),
    ),
]


def test_stored_rows_mean_the_same_for_ever() -> None:
    events = [event for event, _ in STORED]
    stored = [row for _, row in STORED]
    assert [row[:6] for row in encode_rows(events, head=Head(), crc=0)] == stored
    assert decode_rows(stored) == events


TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)


@given(
    subjects=st.lists(TEXTS, min_size=1, max_size=5),
    gap_us=st.integers(0, 1 << 40),
    boot=TEXTS,
    crc=st.integers(0, (1 << 32) - 1),
)
def test_both_loops_over_rows_agree_with_the_definition_of_the_crc(
    subjects: list[str], gap_us: int, boot: str, crc: int
) -> None:
    events = [
        at(10 + n, ProbeOk(n=n, latency_us=n, boot=boot), subject=name, at_us=n * gap_us, cause=n)
        for n, name in enumerate(subjects)
    ]
    rows = encode_rows(events, head=Head(seq=9), crc=crc)
    assert decode_rows([row[:6] for row in rows]) == events
    assert crcs_of(rows, crc=crc) == [row[-1] for row in rows]
    for row in rows:
        crc = row_crc(row, crc)
        assert row[-1] == crc


@pytest.mark.parametrize("seqs", [(6,), (8,), (7, 9), (7, 7), (7, 6)])
def test_events_that_do_not_follow_are_refused(seqs: tuple[int, ...]) -> None:
    with pytest.raises(LogConflict, match=f"found {seqs[-1]}"):
        encode_rows([probe(seq) for seq in seqs], head=Head(seq=6, at_us=1), crc=0)


def test_time_may_stand_still_but_not_go_back() -> None:
    head = Head(seq=6, at_us=START_US)
    assert encode_rows([at(7, ProbeOk(n=1, latency_us=1), at_us=START_US)], head=head, crc=0)
    with pytest.raises(LogConflict, match=f"event 7: expected a time from {START_US} us on"):
        encode_rows([at(7, ProbeOk(n=1, latency_us=1), at_us=START_US - 1)], head=head, crc=0)


def test_a_base_begins_a_log_anywhere() -> None:
    rows = encode_rows([based(1_500), *probes(1_501, 1_502)], head=Head(), crc=0)
    assert [row[0] for row in rows] == [1_500, 1_501, 1_502]
    assert rows[0][-1] == row_crc(rows[0], 0)
    assert rows[1][-1] == row_crc(rows[1], rows[0][-1])


@pytest.mark.parametrize(
    "events",
    [
        [probe(1), based(2)],
        [at(9, LogBased(state=b"", seq=8, chain=bytes(32)))],
        [based(9, chain=b"short")],
        [based(0)],
    ],
)
def test_a_base_in_a_wrong_place_is_refused(events: list[Recorded]) -> None:
    with pytest.raises(LogConflict, match="base"):
        encode_rows(events, head=Head(), crc=0)


def test_an_unknown_kind_is_named_with_its_event() -> None:
    rows = [(7, 1, 4, "m", 0, bytes.fromhex("9601020a")), (8, 1, 99, "m", 0, b"\x90")]
    with pytest.raises(LogTooNew, match="event 8: expected a known kind, found 99"):
        decode_rows([encode_rows(probes(1, 1), head=Head(), crc=0)[0][:6], rows[1]])


def test_a_payload_of_another_kind_is_named_with_its_event() -> None:
    good = encode_rows(probes(1, 1), head=Head(), crc=0)[0][:6]
    with pytest.raises(LogCorrupted, match="event 8"):
        decode_rows([good, (8, 1, 4, "m", 0, b"\xc1"), (9, 1, 99, "m", 0, b"\x90")])
