"""Lets pytest collect incident files as tests; what they are is in incidents.py."""

from pathlib import Path

import pytest

ENDING = ".incident"


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Return the tests of an incident file."""
    if file_path.suffix != ENDING:
        return None
    from engine.testing.incidents import IncidentFile

    return IncidentFile.from_parent(parent, path=file_path)
