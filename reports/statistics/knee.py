"""The knee: the load at which throughput stops growing in proportion to it.

Operational analysis bounds the throughput of any closed system by two lines: X <= N / (R0 + Z), as if nobody ever
waited, and X <= Xmax, the bottleneck's rate. They cross at N* = Xmax (R0 + Z), the saturation point: below it added
users are served, above it they queue. With a rate for the load (open loop) the first line is X <= N. Source: P. J.
Denning and J. P. Buzen, The Operational Analysis of Queueing Network Models, ACM Computing Surveys 10(3), 1978.

Both lines are bounds from above, so they are laid through the highest of the levels' means: the most throughput a unit
of load, and the most throughput.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Interval = tuple[float, float]

REPLICATES: Final = 2000
CONFIDENCE: Final = 0.95

SATURATED: Final = 0.8
"""The plateau counts as reached where a level gets no more than this share of what growth in proportion would give."""


@dataclass(frozen=True)
class Knee:
    """The saturation point ``load`` with its 95% interval; ``per_load``: throughput a unit of load before it (1/s).

    ``ceiling``: throughput beyond it (1/s).
    """

    load: float
    interval: Interval
    per_load: float
    ceiling: float


def find_knee(goodput: Mapping[int, Sequence[float]], *, seed: int = 0) -> Knee | None:
    """The knee of throughputs (1/s) by load, one for each repeat.

    None where no level is beyond it (``SATURATED``), or there are fewer than three. The interval is a parametric
    bootstrap of the levels' means with the relative spread pooled over all levels that were repeated.
    """
    loads = sorted(load for load, repeats in goodput.items() if len(repeats) and np.mean(repeats) > 0)
    if len(loads) < 3:
        return None
    n = np.array(loads, dtype=np.float64)
    means = np.array([np.mean(goodput[load]) for load in loads])
    counts = np.array([len(goodput[load]) for load in loads])
    if (means / n).min() > SATURATED * (means / n).max():
        return None
    errors = _relative_spread([goodput[load] for load in loads]) / np.sqrt(counts)
    drawn = means * np.exp(np.random.default_rng(seed).normal(0.0, errors, size=(REPLICATES, n.size)))
    tail = (1.0 - CONFIDENCE) / 2.0
    low, high = np.quantile(_cross(n, drawn), [tail, 1.0 - tail])
    load = float(_cross(n, means[None, :])[0])
    return Knee(load, (float(low), float(high)), float((means / n).max()), float(means.max()))


def _cross(n: npt.NDArray[np.float64], throughput: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Where the two lines cross, for each row of throughputs by load."""
    crossing: npt.NDArray[np.float64] = throughput.max(axis=1) / (throughput / n).max(axis=1)
    return crossing


def _relative_spread(repeats: Sequence[Sequence[float]]) -> float:
    """Pooled standard deviation of the logarithm of a single repeat; 0 when nothing was repeated."""
    logs = [np.log(np.maximum(values, np.finfo(np.float64).tiny)) for values in repeats if len(values) > 1]
    freedom = sum(part.size - 1 for part in logs)
    squares = sum(float(((part - part.mean()) ** 2).sum()) for part in logs)
    return float(np.sqrt(squares / freedom)) if freedom else 0.0
