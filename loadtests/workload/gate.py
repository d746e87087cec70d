"""When an open loop's schedule begins: told by the wall clock alone, so that all processes of a load agree."""

from __future__ import annotations

import math
from typing import Final

SETTLE_S: Final = 0.5
"""For the connections of the users who came last."""


def schedule_start_s(users_up_s: float) -> float:
    """Wall time at which the first arrivals may fall due, where all users are up at wall time ``users_up_s``."""
    return float(math.ceil(users_up_s + SETTLE_S))
