from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.samples.sink import Sink


@pytest.fixture
def sink(tmp_path: Path) -> Iterator[Sink]:
    opened = Sink(str(tmp_path / "sink.db"))
    yield opened
    opened.close()


def apply(sink: Sink, key: str, *, epoch: int = 5, group: str = "g", **more: object) -> object:
    status, said = sink.apply({"group": group, "key": key, "epoch": epoch, "lane": "l", **more})
    assert status == (409 if said.get("result") == "stale" else 200)
    return said["result"]


def counts(sink: Sink) -> dict[str, object]:
    return {name: count for name, count in sink.report().items() if count}


def test_a_key_is_applied_once(sink: Sink) -> None:
    assert apply(sink, "m-1") == "applied"
    assert apply(sink, "m-1") == "repeated"
    assert apply(sink, "m-1", epoch=6, master="b") == "repeated"
    assert counts(sink) == {"applied": 1, "keys": 1, "repeated": 2}


def test_an_older_epoch_is_refused_for_its_group_alone(sink: Sink) -> None:
    assert apply(sink, "m-1", epoch=6) == "applied"
    assert apply(sink, "m-2", epoch=5) == "stale"
    assert apply(sink, "m-1", epoch=5) == "stale"
    assert apply(sink, "m-2", epoch=5, group="other") == "applied"
    assert counts(sink) == {"applied": 2, "keys": 2, "refused_stale": 2}


def test_a_test_is_checked_for_its_epoch_and_not_counted(sink: Sink) -> None:
    assert apply(sink, "m-1", epoch=5) == "applied"
    assert apply(sink, "verify/1", epoch=6, test=True) == "tested"
    assert apply(sink, "verify/0", epoch=5, test=True) == "stale"
    assert apply(sink, "m-2", epoch=5) == "stale"
    assert apply(sink, "verify/1", epoch=6) == "applied"  # the test has left nothing
    assert counts(sink) == {"applied": 2, "keys": 2, "refused_stale": 2}


def test_order_is_counted_by_lane(sink: Sink) -> None:
    for key, lane in (("m-1", "x"), ("m-3", "x"), ("m-2", "x"), ("m-1y", "x"), ("k-1", "y")):
        assert apply(sink, key, lane=lane) == "applied"
    assert sink.report()["out_of_order"] == 1


def test_twice_is_counted_from_what_is_in_the_table(sink: Sink, tmp_path: Path) -> None:
    assert apply(sink, "m-1") == "applied"
    sink._database.execute("INSERT INTO applications SELECT NULL, grp, key, lane, number, epoch,"
                           " master, body FROM applications")  # fmt: skip
    assert sink.report()["applied_twice"] == 1


@pytest.mark.parametrize(
    "work",
    [
        {},
        {"group": "g", "key": "m"},
        {"group": "g", "key": "m", "epoch": "5"},
        {"group": "g", "key": 1, "epoch": 5},
        {"group": "g", "key": "m", "epoch": 5, "body": {}},
    ],
)
def test_work_without_its_fields_is_refused(sink: Sink, work: dict[str, object]) -> None:
    assert sink.apply(work)[0] == 400
    assert counts(sink) == {}


def test_what_was_applied_outlives_the_process(tmp_path: Path) -> None:
    file = str(tmp_path / "sink.db")
    first = Sink(file)
    assert apply(first, "m-1", epoch=6) == "applied"
    first.close()
    second = Sink(file)
    assert apply(second, "m-1", epoch=6) == "repeated"
    assert apply(second, "m-2", epoch=5) == "stale"
    assert second.keys() == {"g": ["m-1"]}
    second.close()


def test_work_of_another_scope_has_epochs_of_its_own_and_the_keys_of_its_group(sink: Sink) -> None:
    assert apply(sink, "m-1", epoch=6, scope="g/a") == "applied"
    assert apply(sink, "m-2", epoch=5, scope="g/b") == "applied"
    assert apply(sink, "m-3", epoch=5, scope="g/a") == "stale"
    assert apply(sink, "m-1", epoch=5, scope="g/b") == "repeated"
