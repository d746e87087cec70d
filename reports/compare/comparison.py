"""What a comparison of two runs says: B relative to A, per population and percentile, with intervals and a verdict."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from reports.records.schema import Population

Direction = Literal["faster", "slower", "cannot tell"]


@dataclass(frozen=True)
class Difference:
    """One percentile of B against A.

    ``ratio`` is B / A, with its simultaneous 95% interval ``low`` to ``high``; below 1 B is faster. ``detectable`` is
    the smallest relative change that this interval could have told from none (0.08 is 8%).
    """

    population: Population
    percentile: str
    q: float
    a_ms: float
    b_ms: float
    ratio: float
    low: float
    high: float
    direction: Direction
    detectable: float


@dataclass(frozen=True)
class Comparison:
    """Two runs beside each other.

    ``refusal`` says why there is no verdict (other workload, other machine, an invalid run); then ``differences`` is
    empty and ``sentence`` repeats the reason. ``curve`` holds finer percentiles for the picture. ``cautions`` limit
    what the verdict means without voiding it, such as hit shares that are not alike.
    """

    a: str
    b: str
    throughput_ratio: float | None
    goodput_ratio: float | None
    hit_share_a: float | None
    hit_share_b: float | None
    hit_shares_alike: bool | None
    refusal: str | None
    differences: list[Difference] = field(default_factory=list)
    curve: list[Difference] = field(default_factory=list)
    cautions: list[str] = field(default_factory=list)
    sentence: str = ""
