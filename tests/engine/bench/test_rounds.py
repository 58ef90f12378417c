from collections.abc import Callable

from engine.bench.rounds import medians, per_second


def test_each_round_begins_with_another_side_and_the_median_counts() -> None:
    order: list[str] = []
    ticks: list[int] = []

    def side(name: str, figures: list[float]) -> Callable[[], dict[str, float]]:
        def run() -> dict[str, float]:
            order.append(name)
            return {name: figures.pop(0)}

        return run

    found = medians(
        [side("a", [5, 1, 3]), side("b", [2, 9, 4])],
        rounds=3,
        tick=lambda: ticks.append(len(order)),
    )
    assert found == {"a": 3, "b": 4}
    assert order == ["a", "b", "b", "a", "a", "b"]
    assert ticks == [2, 4, 6]


def test_what_is_counted_was_run() -> None:
    runs: list[int] = []
    assert per_second(10, lambda: runs.append(1)) > 0
    assert runs == [1]
