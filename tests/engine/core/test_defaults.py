"""Defaults that are left out of stored bytes are told by identity: not every value can be one."""

import enum
from collections.abc import Iterator

import msgspec
import pytest

from engine.core import policy, state

SMALL = range(-5, 257)  # of these Python has each number once


def structs() -> Iterator[type[msgspec.Struct]]:
    for module in (policy, state):
        for value in vars(module).values():
            is_struct = isinstance(value, type) and issubclass(value, msgspec.Struct)
            if is_struct and value.__module__ == module.__name__:
                yield value


def is_told(default: object) -> bool:
    match default:
        case None | bool() | enum.Enum() | "" | b"" | ():
            return True
        case int():
            return default in SMALL
        case _:
            return False


OMITTING = [each for each in structs() if each.__struct_config__.omit_defaults]


@pytest.mark.parametrize("each", OMITTING, ids=lambda each: each.__name__)
def test_a_default_that_is_left_out_is_one_object(each: type[msgspec.Struct]) -> None:
    for field in msgspec.structs.fields(each):
        # Of factories only those of empty containers are told; what others make is always stored.
        if field.default is not msgspec.NODEFAULT:
            assert is_told(field.default), (each.__name__, field.name, field.default)


def test_the_parts_of_the_state_leave_defaults_out() -> None:
    names = {each.__name__ for each in OMITTING}
    assert {"MasterState", "GroupState", "FleetState", "Probe", "GroupPolicy"} <= names
