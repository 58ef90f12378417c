"""The projections whose views an engine keeps up beside its log, and a question begins with."""

from typing import Any, Final

from projections.audit import AUDIT
from projections.base import Fold
from projections.uptime import UPTIME
from projections.weights import WEIGHTS

KEPT: Final[tuple[Fold[Any], ...]] = (AUDIT, UPTIME, WEIGHTS)
