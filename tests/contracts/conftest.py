from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contracts.places import Place, in_memory, in_sqlite


@pytest.fixture(params=[in_memory, in_sqlite])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    place = request.param(tmp_path)
    yield place
    place.log.close()
