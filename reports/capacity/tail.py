"""The latency that an SLO binds, at each level of a capacity search: how the tail grows with what is achieved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from reports.capacity.assess import Capacity, JudgedLevel
from reports.judge.attainment import Observation, pool
from reports.judge.slo import Slo
from reports.statistics.percentiles import quantiles

QUANTILE: Final = 0.99
"""What is shown where the SLO bounds no latency."""


@dataclass(frozen=True)
class Bound:
    """A percentile of one population; ``limit_ms``: what the SLO lets it be, None where it does not bound it."""

    population: str
    quantile: float
    limit_ms: float | None

    @property
    def name(self) -> str:
        """Such as ``miss p99``; a population that no cache was told of has no name."""
        return f"{'' if self.population == 'unknown' else self.population} p{self.quantile * 100:.6g}".strip()


@dataclass(frozen=True)
class Point:
    """Successes a second and the bound percentile in ms, None with too few samples to print it."""

    throughput: float
    latency_ms: float | None


@dataclass(frozen=True)
class LevelPoint:
    """A level, its repeats taken as one, and each repeat; those that are not valid only where none is."""

    judged: JudgedLevel
    whole: Point
    repeats: tuple[Point, ...]


def bound_of(slo: Slo, capacities: Sequence[Capacity]) -> Bound:
    """The first latency threshold; where it binds every population, of that which has the highest latency."""
    latency = next((t for t in slo if t.indicator.kind == "latency"), None)
    quantile = (latency.indicator.quantile if latency else None) or QUANTILE
    population = latency.indicator.population if latency else None
    if population is None:
        seen = [_seen(judged) for capacity in capacities for judged in capacity.levels]
        whole = pool([observed for level in seen for observed in level])
        slowest = max(whole.latency_ms.items(), key=lambda part: float(np.median(part[1])), default=("unknown", None))
        return Bound(slowest[0], quantile, latency.limit if latency else None)
    return Bound(population, quantile, latency.limit if latency else None)


def points(capacity: Capacity, bound: Bound) -> list[LevelPoint]:
    """The levels by load, those left out that measured nothing."""
    return [
        LevelPoint(judged, _point(pool(seen), bound), tuple(_point(observed, bound) for observed in seen))
        for judged in capacity.levels
        if (seen := _seen(judged))
    ]


def _seen(judged: JudgedLevel) -> list[Observation]:
    repeats = judged.level.valid or [repeat.observed for repeat in judged.level.repeats]
    return [observed for observed in repeats if observed.seconds]


def _point(observed: Observation, bound: Bound) -> Point:
    values = observed.latency_ms.get(bound.population, np.empty(0))
    (value,) = quantiles(values.copy(), [bound.quantile])
    return Point(observed.successes / observed.seconds, value)
