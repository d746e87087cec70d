"""Load models: when users ask what.

Closed loop: each user has its own endless list of (pause in seconds, item); the pause starts when the reply before it
has ended, so a slow server is asked less. Open loop: all users of a process share one list of (seconds after the
start, item) on an absolute schedule that no reply can delay; a user is then only a connection, and their number bounds
the concurrency.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Protocol, runtime_checkable

Draw = Callable[[float], int]  # a uniform number in [0, 1) to an item


@runtime_checkable
class ClosedLoop(Protocol):
    """One user's behaviour."""

    def requests(self, rng: Random, draw: Draw) -> Iterator[tuple[float, int]]:
        """Yield, endlessly, the pause before each request in seconds and the item it asks."""


@runtime_checkable
class OpenLoop(Protocol):
    """The arrivals at one load process."""

    def arrivals(self, rng: Random, draw: Draw, users: int, share: float) -> Iterator[tuple[float, int]]:
        """Yield, endlessly and in order, each arrival's time in seconds after the start and the item it asks.

        ``users`` is this process's number of connections, ``share`` its part (0 to 1] of the scenario's rate.
        """


@dataclass(frozen=True)
class Think:
    """Ask, think for an exponential time with mean ``mean_s``, ask again."""

    mean_s: float = 1.0

    def requests(self, rng: Random, draw: Draw) -> Iterator[tuple[float, int]]:
        """See :class:`ClosedLoop`."""
        mean, uniform, log = self.mean_s, rng.random, math.log
        while True:
            yield -mean * log(1.0 - uniform()), draw(uniform())
