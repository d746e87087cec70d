"""Load models: when users ask what.

Closed loop: each user has its own endless list of (pause in seconds, item); the pause starts when the reply before it
has ended, so a slow server is asked less. Open loop: all users of a process share one list of (seconds after the
start, item) on an absolute schedule that no reply can delay; a user is then only a connection, and their number bounds
the concurrency. A connection that is late takes the next arrival at once, and its latency counts from the schedule.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Protocol, runtime_checkable

Draw = Callable[[float], int]
"""A uniform number in [0, 1) to an item, by the catalogue's popularity."""


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


@dataclass(frozen=True)
class Sessions:
    """Agents at work: bursts of turns, then silence.

    A session has a geometric number of turns (mean ``turns``) with short pauses (exponential, mean ``turn_pause_s``);
    in ``repeat`` of its later turns the agent asks again what it has asked in this session. Between sessions it is idle
    (exponential, mean ``idle_s``).
    """

    turns: float = 5.0
    turn_pause_s: float = 0.3
    idle_s: float = 5.0
    repeat: float = 0.2

    def requests(self, rng: Random, draw: Draw) -> Iterator[tuple[float, int]]:
        """See :class:`ClosedLoop`."""
        while True:
            asked = [draw(rng.random())]
            yield rng.expovariate(1 / self.idle_s), asked[0]
            while rng.random() >= 1 / self.turns:
                again = rng.random() < self.repeat
                item = asked[int(rng.random() * len(asked))] if again else draw(rng.random())
                asked.append(item)
                yield rng.expovariate(1 / self.turn_pause_s), item


@dataclass(frozen=True)
class PoissonArrivals:
    """Requests of many independent people: exponential gaps, ``rate_per_s`` a second on average."""

    rate_per_s: float

    def arrivals(self, rng: Random, draw: Draw, users: int, share: float) -> Iterator[tuple[float, int]]:
        """See :class:`OpenLoop`."""
        rate, at_s = self.rate_per_s * share, 0.0
        while True:
            at_s += rng.expovariate(rate)
            yield at_s, draw(rng.random())


@dataclass(frozen=True)
class ConstantArrivals:
    """Requests at equal gaps, ``rate_per_s`` a second."""

    rate_per_s: float

    def arrivals(self, rng: Random, draw: Draw, users: int, share: float) -> Iterator[tuple[float, int]]:
        """See :class:`OpenLoop`. Counted, not summed, so that the last arrival is as exact as the first."""
        rate, number = self.rate_per_s * share, 0
        while True:
            number += 1
            yield number / rate, draw(rng.random())


@dataclass(frozen=True)
class Waves:
    """Every ``period_s`` all users ask the same item at the same moment, one that nobody has asked before.

    The items go round the catalogue from a seeded start, so they are cold until it has been gone through.
    """

    period_s: float
    items: int

    def arrivals(self, rng: Random, draw: Draw, users: int, share: float) -> Iterator[tuple[float, int]]:
        """See :class:`OpenLoop`."""
        item, wave = rng.randrange(self.items), 0
        while True:
            wave += 1
            item = (item + 1) % self.items
            for _ in range(users):
                yield wave * self.period_s, item
