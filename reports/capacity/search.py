"""Which level of load to measure next, until the most that an SLO allows lies between two neighbouring levels.

Upwards by a factor until a level misses, then bisected on the log axis. Levels that cannot be decided are repeated a
few times and then left inside the interval, which is bounded by the highest level that surely holds and the lowest
above it that surely misses; each side is closed in on its own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

LevelVerdict = Literal["holds", "misses", "undecided", "too-few-samples", "generator-bound", "invalid"]
"""What the repeats at a level say; ``reports.capacity.levels`` tells how."""

Limit = Literal["server", "generator", "search", "slo", "samples", "machine"]


@dataclass(frozen=True)
class SearchPlan:
    """How to search. ``tolerance``: relative width at which the interval is narrow enough; ``most``: highest load.

    Each level is measured ``repeats`` times, an undecided one up to ``most_repeats`` times. Measurements that are not
    valid are made again, up to ``most_repeats`` at a level.
    """

    start: int = 100
    most: int = 5000
    factor: float = 2.0
    tolerance: float = 0.1
    repeats: int = 2
    most_repeats: int = 4


@dataclass(frozen=True)
class Tried:
    """A level's verdict so far, and how often it has been measured: validly, and in vain."""

    verdict: LevelVerdict
    valid: int
    spoiled: int = 0


@dataclass(frozen=True)
class Bracket:
    """The most load within the SLO is at least ``low`` and less than ``high``; None where that side was not found.

    ``limited_by``: what stopped it above: the server, the load generator, the highest load that was tried (search). Or
    why there is no lower end: every level misses (slo), or those that may hold have too few samples to say (samples).
    Or a level none of whose repeats was valid ended the search before both ends were found (machine).
    """

    low: int | None
    high: int | None
    limited_by: Limit


def bracket(tried: Mapping[int, LevelVerdict]) -> Bracket:
    """What the verdicts so far say. A level that holds above one that misses counts for nothing."""
    stops = {load for load, verdict in tried.items() if verdict in ("misses", "generator-bound")}
    high = min(stops, default=None)
    below = {load: verdict for load, verdict in tried.items() if high is None or load < high}
    low = max((load for load, verdict in below.items() if verdict == "holds"), default=None)
    limit: Limit = "search" if high is None else "generator" if tried[high] == "generator-bound" else "server"
    if "invalid" in tried.values() and None in (low, high):
        limit = "machine"
    elif low is None and limit != "generator":
        limit = "samples" if "too-few-samples" in below.values() else "slo" if high is not None else "search"
    return Bracket(low, high, limit)


def next_load(plan: SearchPlan, tried: Mapping[int, Tried]) -> int | None:
    """The load to measure next; None when there is nothing left to find out."""
    for load, level in tried.items():
        wanted = plan.most_repeats if level.verdict == "undecided" else plan.repeats
        if level.verdict != "generator-bound" and level.valid < wanted and level.spoiled < plan.most_repeats:
            return load
        if level.verdict == "invalid":
            return None  # neither would the next level be
    if not tried:
        return min(plan.start, plan.most)
    found = bracket({load: level.verdict for load, level in tried.items()})
    lowest, highest = min(tried), max(tried)
    if found.high is None:
        return None if highest >= plan.most else min(plan.most, math.ceil(highest * plan.factor))
    too_few = (load for load, level in tried.items() if level.verdict == "too-few-samples" and load < found.high)
    low = found.low or max(too_few, default=None)  # lower loads have fewer samples still
    if low is None:
        return None if lowest == 1 else max(1, math.floor(lowest / plan.factor))
    gaps = list(pairwise(sorted(load for load in tried if low <= load <= found.high)))
    widest = max((gaps[0], gaps[-1]), key=_width)
    return None if widest[1] - widest[0] <= 1 or _width(widest) <= 1 + plan.tolerance else _between(widest)


def _width(gap: tuple[int, int]) -> float:
    return gap[1] / gap[0]


def _between(gap: tuple[int, int]) -> int:
    """The whole number nearest to the geometric mean, and strictly between."""
    return min(max(round(math.sqrt(gap[0] * gap[1])), gap[0] + 1), gap[1] - 1)
