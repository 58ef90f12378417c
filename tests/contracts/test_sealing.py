"""What sealing promises on every log: fewer bytes, and nothing else that anybody could see."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from engine.core.errors import LogConflict
from engine.core.events import Recorded
from engine.log.chain import BLOCK_EVENTS, ChainFold
from engine.log.protocol import Log
from engine.log.verify import verify
from tests.contracts.places import Place
from tests.engine.log.events import at, based, failed, message, probe, probes


def mixed(first: int, last: int) -> list[Recorded]:
    """Return events of several kinds, with causes, evidence and times that repeat."""
    events = []
    for seq in range(first, last + 1):
        if seq % 97 == 0:
            events.append(failed(seq, seq - 3, seq - 1))
        elif seq % 31 == 0:
            events.append(message(seq, b"m" * (seq % 50))[0])
        elif seq % 7 == 0:
            events.append(at(seq, probe(seq).event, subject=f"ü{seq % 5}"))
        else:
            events.append(probe(seq))
    return events


def filled(log: Log, last: int) -> list[Recorded]:
    events = mixed(1, last)
    log.append(events)
    return events


def test_a_block_is_sealed_when_an_event_follows_it(place: Place) -> None:
    filled(place.log, 1_000)
    assert place.log.seal(blocks_max=9) == 0
    place.log.append(mixed(1_001, 1_001))
    assert place.log.seal(blocks_max=9) == 1
    assert place.log.seal(blocks_max=9) == 0
    assert [seal.seq for seal in place.log.seals()] == [1_000]


def test_sealing_goes_no_further_than_it_was_told(place: Place) -> None:
    filled(place.log, 5_500)
    assert place.log.seal(until=2_999, blocks_max=9) == 2
    assert place.log.seal(blocks_max=2) == 2
    assert [seal.seq for seal in place.log.seals()] == [1_000, 2_000, 3_000, 4_000]


@pytest.mark.parametrize("after", [0, 1, 998, 999, 1_000, 1_001, 1_999, 2_000, 2_300, 2_500])
@pytest.mark.parametrize("until", [None, 1, 999, 1_000, 1_001, 2_000, 2_001, 2_499])
def test_what_is_read_does_not_depend_on_what_is_sealed(
    place: Place, after: int, until: int | None
) -> None:
    events = filled(place.log, 2_500)
    rows = list(place.log.rows())
    assert place.log.seal(blocks_max=9) == 2
    last = 2_500 if until is None else until
    for log in place.now_and_reopened():
        assert list(log.read(after, until)) == events[after:last]
        assert list(log.rows(after, until)) == rows[after:last]
        assert list(log.rows(after, until, chunk=300)) == rows[after:last]
        columns = log.stretches(after, until)
        assert [one for each in columns for one in each.recorded(0, len(each.seqs))] == events[
            after:last
        ]


def test_the_chain_is_the_same_however_much_is_sealed(place: Place) -> None:
    filled(place.log, 3_456)
    fold = ChainFold()
    fold.feed(place.log.rows())
    for _ in range(4):
        for log in place.now_and_reopened():
            assert log.chain_head() == fold.head
            assert verify(log).ok
            assert verify(log).head == fold.head.hex()
        place.log.seal()


def test_a_log_that_is_sealed_goes_on(place: Place) -> None:
    filled(place.log, 1_010)
    place.log.seal()
    place.log.append(mixed(1_011, 2_020))
    place.reopened().append(mixed(2_021, 2_030))
    place.log.seal()
    assert list(place.log.read()) == mixed(1, 2_030)
    assert place.log.head.seq == 2_030
    with pytest.raises(LogConflict):
        place.log.append(mixed(2_030, 2_030))


def test_who_reads_while_blocks_are_sealed_misses_nothing(place: Place) -> None:
    events = filled(place.log, 4_200)
    reading, rows = place.log.read(chunk=150), place.log.rows(chunk=150)
    seen, seqs = [], []
    for count in range(4_200):
        seen.append(next(reading))
        seqs.append(next(rows)[0])
        if count % 700 == 100:
            place.log.seal()
    assert seen == events
    assert seqs == list(range(1, 4_201))


def test_threads_that_seal_at_the_same_time_seal_each_block_once(place: Place) -> None:
    events = filled(place.log, 12_500)
    with ThreadPoolExecutor(4) as pool:
        sealed = list(pool.map(lambda _: place.log.seal(blocks_max=12), range(4)))
    assert sum(sealed) == 12
    assert list(place.log.read()) == events
    assert verify(place.log).ok


def test_blocks_give_columns_and_each_event_by_itself(place: Place) -> None:
    events = filled(place.log, 2_500)
    place.log.seal(blocks_max=9)
    assert [block.first for block in place.log.blocks()] == [1, 1_001]
    assert [block.first for block in place.log.blocks(1_000)] == [1_001]
    assert [block.first for block in place.log.blocks(0, 1_000)] == [1]
    (block,) = place.log.blocks(1_500)
    own = events[1_000:2_000]
    assert block.times == [recorded.at_us for recorded in own]
    assert block.subjects == [recorded.subject for recorded in own]
    assert [block.event(index) for index in range(1_000)] == own
    assert [list(place.log.read(seq - 1, seq)) for seq in (1_001, 1_067, 2_000)] == [
        [own[0]],
        [own[66]],
        [own[999]],
    ]


def test_a_log_that_begins_with_a_base_is_sealed_if_its_blocks_begin_where_all_do(
    place: Place,
) -> None:
    place.log.append([based(5_000), *probes(5_001, 7_100)])
    head = place.log.chain_head()
    assert place.log.seal(blocks_max=9) == 2
    for log in place.now_and_reopened():
        assert list(log.read()) == [based(5_000), *probes(5_001, 7_100)]
        assert list(log.read(6_500, 6_502)) == probes(6_501, 6_502)
        assert log.chain_head() == head
        assert verify(log).ok


def test_a_log_that_begins_elsewhere_stays_as_it_is(place: Place) -> None:
    place.log.append([based(5_001), *probes(5_002, 8_000)])
    assert place.log.seal(blocks_max=9) == 0
    assert verify(place.log).ok
    assert BLOCK_EVENTS == 1_000


def test_only_blocks_that_have_a_kind_are_given_where_it_is_asked_for(place: Place) -> None:
    place.log.append([*probes(1, 1_500), failed(1_501, 1_500), *probes(1_502, 3_001)])
    assert place.log.seal(blocks_max=9) == 3
    code = next(row[2] for row in place.log.rows(1_500, 1_501))
    for log in place.now_and_reopened():
        assert [block.first for block in log.blocks(having={code})] == [1_001]
        assert [block.first for block in log.blocks(having={code}, until=1_000)] == []
        assert [block.first for block in log.blocks(having={code, 250})] == [1_001]
        assert [block.first for block in log.blocks()] == [1, 1_001, 2_001]
