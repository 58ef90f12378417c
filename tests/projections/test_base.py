"""What all projections have in common beside their laws."""

import msgspec
import pytest

from projections.audit import AUDIT
from projections.base import fold
from projections.uptime import UPTIME
from projections.weights import WEIGHTS
from tests.projections import logs


def test_names_and_versions_are_what_stored_views_lie_under():
    assert [(each.name, each.version) for each in (UPTIME, WEIGHTS, AUDIT)] == [
        ("uptime", 1),
        ("weights", 1),
        ("audit", 1),
    ]


@pytest.mark.parametrize("projection", [UPTIME, WEIGHTS, AUDIT])
def test_bytes_that_are_no_view_are_refused(projection):
    for data in (b"", b"\xc1", b"\x93\x01\x02\x03"):
        with pytest.raises(msgspec.DecodeError):
            projection.restore(data)


def test_a_fold_goes_on_from_the_view_it_is_given():
    log = logs.log(*logs.OPENING)
    view = fold(UPTIME, log[:2])
    assert fold(UPTIME, log, view) is view
    assert view.position == len(log)
