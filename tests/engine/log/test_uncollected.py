"""How often it is looked for garbage is as it was before, whatever happened meanwhile."""

import gc
from collections.abc import Iterator

import pytest

from engine.log.uncollected import YOUNG_MAX, seldom_collected, uncollected


@pytest.fixture
def _as_before() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)


@pytest.mark.usefixtures("_as_before")
def test_it_is_looked_much_less_often_and_then_as_before() -> None:
    gc.set_threshold(700, 10, 10)
    with seldom_collected():
        assert gc.get_threshold() == (YOUNG_MAX, 10, 10)
        with seldom_collected():
            assert gc.get_threshold() == (YOUNG_MAX, 10, 10)
        assert gc.get_threshold() == (YOUNG_MAX, 10, 10)
    assert gc.get_threshold() == (700, 10, 10)


@pytest.mark.usefixtures("_as_before")
def test_it_is_looked_as_before_after_an_error() -> None:
    gc.set_threshold(700, 10, 10)
    with pytest.raises(ZeroDivisionError), seldom_collected():
        raise ZeroDivisionError
    assert gc.get_threshold() == (700, 10, 10)


@pytest.mark.usefixtures("_as_before")
@pytest.mark.parametrize("young", [0, 2 * YOUNG_MAX])
def test_who_looks_never_or_more_seldom_does_so_on(young: int) -> None:
    gc.set_threshold(young, 10, 10)
    with seldom_collected():
        assert gc.get_threshold() == (young, 10, 10)
    assert gc.get_threshold() == (young, 10, 10)


def test_a_collector_that_was_off_stays_off() -> None:
    was_on = gc.isenabled()
    try:
        gc.disable()
        with uncollected():
            assert not gc.isenabled()
        assert not gc.isenabled()
        gc.enable()
        with uncollected():
            assert not gc.isenabled()
        assert gc.isenabled()
    finally:
        (gc.enable if was_on else gc.disable)()
