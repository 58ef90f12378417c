"""The bytes behind every digest; the constants were computed from design.md, 9.9, alone."""

import itertools

import pytest

from engine.core.errors import LogCorrupted
from engine.core.events import Recorded
from engine.log.chain import BLOCK_EVENTS, ZERO, ChainFold, canonical, link
from engine.log.codec import encode_rows
from engine.log.protocol import Head, Row
from tests.engine.log.events import CHAIN, approvals, based, probes, row_crc

# Never change one of these.
ROWS: list[Row] = [
    (1, 1_000, 4, "a/é", 0, bytes.fromhex("9607cd05dc0000"), 1_929_687_730),
    (2, 1_000, 1, "fleet", 1, bytes.fromhex("92a3302e3100"), 2_970_920_532),
]
BLOCK_FROM_7 = bytes.fromhex(
    "070000000000000002000000e803000000000000e80300000000000004000000000000000100000000000000"
    "0000000000000000010000000000000004000000612fc3a905000000666c65657407000000"
    "9607cd05dc00000600000092a3302e3100"
)
HEAD_OF_ROWS = "485095bb0af2498f232913bcfe9d6c30b98e4dccf8cbcda0552fa39c153369af"
# Of approvals(1, 2501): block 0, block 1, and the open rest.
HEADS = {
    1_000: "4c8ff0411ad4b711b6e72fa27aed20b1fe80c55da24d3580066c8def4834631c",
    2_000: "0aa4d52e4b454629ec6da97a0be52f31caedc993bda1290b9c0088e0c98b9d13",
    2_501: "7a0f3da9caf7f4a0e87c41934d4ceff2120799456c4339efd187624946cbe4c8",
}


def rows_of(events: list[Recorded]) -> list[Row]:
    return encode_rows(events, head=Head(), crc=0)


def test_the_bytes_of_a_block_are_the_same_for_ever() -> None:
    assert canonical([(row[0] + 6, *row[1:]) for row in ROWS]) == BLOCK_FROM_7


def test_the_crc_of_a_row_is_the_same_for_ever() -> None:
    assert row_crc(ROWS[0], 0) == ROWS[0][-1]
    assert row_crc(ROWS[1], ROWS[0][-1]) == ROWS[1][-1]


def test_the_head_of_a_short_log_is_the_same_for_ever() -> None:
    fold = ChainFold()
    fold.feed(ROWS)
    assert fold.head.hex() == HEAD_OF_ROWS
    assert fold.blocks == 0


def test_the_head_of_an_empty_log_is_zero() -> None:
    assert ChainFold().head == ZERO == bytes(32)


def test_blocks_close_at_every_thousandth_event() -> None:
    fold = ChainFold()
    for row in rows_of(approvals(1, 2_501)):
        fold.feed((row,))
        if fold.seq in HEADS:
            assert fold.head.hex() == HEADS[fold.seq]
            assert fold.blocks == fold.seq // BLOCK_EVENTS


def test_how_the_rows_are_fed_makes_no_difference() -> None:
    fold = ChainFold()
    rows = iter(rows_of(approvals(1, 2_501)))
    for size in itertools.count(1):
        if not (part := list(itertools.islice(rows, size))):
            break
        fold.feed(part)
    assert fold.head.hex() == HEADS[2_501]


def test_the_chain_goes_on_from_a_base_and_is_cut_at_the_same_places() -> None:
    base, *rest = rows_of([based(1_500), *probes(1_501, 2_003)])
    fold = ChainFold()
    fold.feed([base])
    assert fold.head == CHAIN
    fold.feed(rest)
    assert fold.head == link(link(CHAIN, rest[:500]), rest[500:])
    assert fold.blocks == 1


def test_a_base_at_the_end_of_a_block_leaves_nothing_open() -> None:
    base, *rest = rows_of([based(2_000), *probes(2_001, 2_002)])
    fold = ChainFold()
    fold.feed([base])
    assert fold.head == CHAIN
    fold.feed(rest)
    assert fold.head == link(CHAIN, rest)


@pytest.mark.parametrize("seqs", [(2,), (1, 3), (1, 1), (1, 2, 1)])
def test_a_gap_has_no_digest(seqs: tuple[int, ...]) -> None:
    rows = rows_of(probes(1, 3))
    with pytest.raises(LogCorrupted) as caught:
        ChainFold().feed(rows[seq - 1] for seq in seqs)
    assert caught.value.seq == seqs[-1]


def test_a_base_of_another_event_is_refused() -> None:
    base = rows_of([based(7)])[0]
    with pytest.raises(LogCorrupted, match="a base of event 7"):
        ChainFold().feed([(8, *base[1:])])
