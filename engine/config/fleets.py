"""What a file says of the fleet as a whole: what brakes the failovers of all groups together."""

from engine.config import kinds
from engine.config.tables import Table
from engine.core.policy import PRESETS, FleetPolicy


def read_fleet(table: Table, *, preset_name: str) -> FleetPolicy | None:
    """Return what the table `fleet` says; what it says nothing about is as the preset has it."""
    limit = table.take("limit", kinds.fleet_limit, PRESETS[preset_name].fleet)
    table.finish()
    return limit
