"""Lulls are found in the bytes of a log exactly where decoded events have one."""

from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as hs

from engine.core.errors import LogCorrupted, LogTooNew
from engine.core.events import ProbeOk, Recorded
from engine.core.lulls import Known, Lull, Said
from engine.log.blocks import Block, seal_rows
from engine.log.chain import BLOCK_EVENTS, ZERO
from engine.log.codec import encode_rows, stretch_of
from engine.log.protocol import EventRow, Head, Row
from tests.engine.log.events import at, failed, probe

MASTERS = ("m0", "m1", "ü2")
TALES: dict[str, Said] = {
    "m0": ("", None, ""),
    "m1": ("ed2f4a2f20aa", 0, "standby"),
    "ü2": ("b", 70_000, "active"),
}


def lull_of(events: Sequence[Recorded], known: dict[str, Known]) -> Lull | None:
    """Return what `Stretch.lull` promises, as its description says it."""
    last = {name: number for name, (number, _) in known.items()}
    heard: dict[str, tuple[int, int, int, int]] = {}
    for place, recorded in enumerate(events):
        event, who = recorded.event, recorded.subject
        assert isinstance(event, ProbeOk)
        said = (event.boot, event.epoch, event.role)
        if recorded.cause or event.observer or said != known[who][1] or event.n <= last[who]:
            return None
        last[who] = event.n
        count = heard[who][0] + 1 if who in heard else 1
        heard[who] = (count, place, recorded.at_us, event.n)
    return Lull(len(events), events[-1].at_us, [(name, *each) for name, each in heard.items()])


def rows_of(events: Sequence[Recorded]) -> list[Row]:
    return encode_rows(events, head=Head(), crc=0)


def plain(rows: Sequence[Row]) -> list[EventRow]:
    return [row[:6] for row in rows]


numbers = hs.one_of(
    hs.integers(0, 300), hs.sampled_from((127, 128, 255, 256, 65_535, 65_536, 1 << 32, 1 << 62))
)
texts = hs.one_of(
    hs.sampled_from(("", "b", "standby", "active", "é", "Ã\xa0", "\x96", "ed2f4a2f20aa")),
    hs.text(max_size=40),
)


@hs.composite
def answers(draw: hs.DrawFn) -> list[Recorded]:
    """Return good probes that mostly say what is known of their masters."""
    events: list[Recorded] = []
    n = dict.fromkeys(MASTERS, 0)
    for seq in range(1, draw(hs.integers(1, 12)) + 1):
        who = draw(hs.sampled_from(MASTERS))
        boot, epoch, role = TALES[who]
        n[who] += draw(hs.sampled_from((1, 1, 1, 2, 200, 70_000)))
        event = ProbeOk(n=n[who], latency_us=draw(numbers), boot=boot, epoch=epoch, role=role)
        if draw(hs.integers(0, 20)) == 0:
            field, values = draw(
                hs.sampled_from(
                    (
                        ("n", numbers),
                        ("boot", texts),
                        ("role", texts),
                        ("observer", texts),
                        ("epoch", hs.one_of(hs.none(), numbers)),
                    )
                )
            )
            event = msgspec.structs.replace(event, **{field: draw(values)})
        cause = draw(hs.sampled_from((0,) * 40 + (1,)))
        events.append(at(seq, event, subject=who, cause=cause))
    return events


@given(events=answers(), changed=hs.dictionaries(hs.sampled_from(MASTERS), hs.tuples(
    texts, hs.one_of(hs.none(), numbers), texts), max_size=1))  # fmt: skip
def test_a_lull_is_what_decoded_events_say(
    events: list[Recorded], changed: dict[str, Said]
) -> None:
    known = {name: (0, {**TALES, **changed}[name]) for name in MASTERS}
    stretch = stretch_of(plain(rows_of(events)))
    for begin in range(len(events)):
        for end in range(begin + 1, len(events) + 1):
            masters = stretch.masters(begin, end)
            assert masters == {one.subject for one in events[begin:end]}
            own = {name: known[name] for name in masters}
            found, expected = stretch.lull(begin, end, own), lull_of(events[begin:end], own)
            if found is None and expected is not None:
                # What is not plain letters is not looked for in bytes.
                assert any(not (boot + role).isascii() for _, (boot, _, role) in own.values())
            else:
                assert found == expected


@given(
    epochs=hs.lists(hs.integers(0, 1 << 63), min_size=1, max_size=4),
    said=hs.tuples(texts, texts, texts),
    asked=hs.tuples(texts, hs.one_of(hs.none(), numbers), texts),
)
def test_nobody_is_taken_for_somebody_who_says_another_thing(
    epochs: list[int], said: tuple[str, str, str], asked: Said
) -> None:
    boot, role, observer = said
    events = [
        at(n, ProbeOk(n=n, latency_us=n, boot=boot, epoch=epoch, role=role, observer=observer))
        for n, epoch in enumerate(epochs, start=1)
    ]
    known: dict[str, Known] = {"g": (0, asked)}
    found = stretch_of(plain(rows_of(events))).lull(0, len(events), known)
    assert found is None or found == lull_of(events, known)


def test_an_old_payload_that_lacks_what_came_later_is_no_lull() -> None:
    (row,) = rows_of([at(1, ProbeOk(n=1, latency_us=160))])
    short = msgspec.msgpack.encode([1, 160])
    stretch = stretch_of([(*row[:5], short)])
    assert stretch.lull(0, 1, {"g": (0, ("", None, ""))}) is None
    assert stretch.recorded(0, 1)[0].event == ProbeOk(n=1, latency_us=160)


def mixed() -> list[Recorded]:
    return [
        failed(seq, seq - 1) if seq % 97 == 0 else probe(seq) for seq in range(1, BLOCK_EVENTS + 1)
    ]


@pytest.mark.parametrize("events", [mixed(), [probe(seq) for seq in range(1, 1_001)]])
@pytest.mark.parametrize("is_sealed", [True, False])
def test_a_block_and_its_rows_are_the_same_stretch(events: list[Recorded], is_sealed: bool) -> None:
    rows = rows_of(events)
    block = Block(seal_rows(rows, chain=ZERO, crc=0))
    stretch = block.stretch() if is_sealed else stretch_of(plain(rows))
    assert stretch.recorded(0, BLOCK_EVENTS) == events
    assert stretch.recorded(90, 100) == events[90:100]
    assert list(stretch.seqs) == [one.seq for one in events]
    assert list(stretch.times) == [one.at_us for one in events]
    others = [place for place, one in enumerate(events) if type(one.event) is not ProbeOk]
    begin = 0
    for end in (*others, BLOCK_EVENTS):
        assert stretch.good_until(begin) == end
        if begin < end:
            known: dict[str, Known] = {f"m{number}": (0, ("", None, "")) for number in range(3)}
            assert stretch.lull(begin, end, known) == lull_of(events[begin:end], known)
        begin = end + 1


def test_a_block_without_good_probes_is_a_stretch() -> None:
    events = [failed(seq, 1, cause=0) for seq in range(1, BLOCK_EVENTS + 1)]
    stretch = Block(seal_rows(rows_of(events), chain=ZERO, crc=0)).stretch()
    assert stretch.good_until(0) == 0
    assert stretch.recorded(0, BLOCK_EVENTS) == events


def test_what_cannot_be_read_is_said_when_it_is_asked_for() -> None:
    rows = plain(rows_of([probe(1), probe(2)]))
    newer = stretch_of([rows[0], (*rows[1][:2], 250, *rows[1][3:])])
    with pytest.raises(LogTooNew, match="event 2"):
        newer.recorded(0, 1)
    damaged = stretch_of([rows[0], (*rows[1][:5], b"\xc1")])
    assert damaged.lull(0, 2, {"m1": (0, ("", None, "")), "m2": (0, ("", None, ""))}) is None
    with pytest.raises(LogCorrupted, match="event 2"):
        damaged.recorded(0, 2)
