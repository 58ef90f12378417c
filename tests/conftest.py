"""Options of the tests."""

import signal

import hypothesis
import pytest

# How long an example takes is about the machine, and what else it does, not about what is tested.
hypothesis.settings.register_profile("tanist", deadline=None)
hypothesis.settings.load_profile("tanist")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--regenerate-golden",
        action="store_true",
        help="write the logs of tests/golden anew; read the difference",
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # The longest of all: begun last, everybody would wait for it alone.
    items.sort(key=lambda item: item.path.name != "test_swarm.py")


def pytest_configure() -> None:
    # A shell hands on to what runs in its background that Ctrl-C is ignored, and nohup a hangup.
    # The processes that tests interrupt would ignore them too, and be waited for in vain.
    for number, usual in (
        (signal.SIGINT, signal.default_int_handler),
        (signal.SIGHUP, signal.SIG_DFL),
    ):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, usual)
