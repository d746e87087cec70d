"""How the key figures went over time, from an aggregate: what the sparklines show."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from reports.records.bins import BINS, BINS_PER_DECADE
from reports.records.schema import HIT_CACHES, MISS_CACHES

Values = npt.NDArray[np.float64]

POINTS = 60
"""The most points that a sparkline has: one each two or three pixels."""


@dataclass(frozen=True, slots=True)
class Courses:
    """One value a time step of ``step_s`` seconds; NaN where nothing was measured. Latencies in ms, shares 0 to 1."""

    step_s: int
    throughput_rps: Values
    miss_p50_ms: Values
    miss_p99_ms: Values
    hit_share: Values
    attempts: Values
    failed_share: Values


def courses(aggregate: pa.Table) -> Courses:
    """The courses of a run's measured seconds; empty arrays when nothing was measured."""
    table = aggregate.filter(aggregate.column("measured"))
    second = table.column("second").to_numpy()
    count = table.column("count").to_numpy().astype(np.float64)
    if not len(second):
        none = np.empty(0)
        return Courses(1, none, none, none, none, none, none)
    first, last = int(second.min()), int(second.max())
    step_s = max(1, -(-(last - first + 1) // POINTS))
    step = (second - first) // step_s
    steps = (last - first) // step_s + 1

    status = table.column("status").to_numpy()
    ok = _flags(pc.equal(table.column("error"), "")) & (status >= 200) & (status < 300)
    hit = ok & _flags(pc.is_in(table.column("cache"), pa.array(HIT_CACHES)))
    miss = ok & _flags(pc.is_in(table.column("cache"), pa.array(MISS_CACHES)))
    attempts = table.column("attempts").to_numpy()
    asked = attempts > 0

    def total(weight: Values) -> Values:
        return np.bincount(step, weights=weight, minlength=steps).astype(np.float64)

    everything, successes = total(count), total(count * ok)
    cells = step[miss] * BINS + table.column("bin").to_numpy()[miss]
    by_bin = np.bincount(cells, weights=count[miss], minlength=steps * BINS).reshape(steps, BINS).astype(np.float64)
    length_s = np.full(steps, float(step_s))
    length_s[-1] = (last - first) % step_s + 1  # the last step may be cut short
    with np.errstate(divide="ignore", invalid="ignore"):
        return Courses(
            step_s=step_s,
            throughput_rps=np.where(everything > 0, everything / length_s, np.nan),
            miss_p50_ms=_quantiles_ms(by_bin, 0.5),
            miss_p99_ms=_quantiles_ms(by_bin, 0.99),
            hit_share=total(count * hit) / successes,
            attempts=total(count * attempts * asked) / total(count * asked),
            failed_share=1.0 - successes / everything,
        )


def _flags(mask: pa.ChunkedArray) -> npt.NDArray[np.bool_]:
    flags: npt.NDArray[np.bool_] = mask.to_numpy()
    return flags


def _quantiles_ms(by_bin: Values, q: float) -> Values:
    """The ``q`` quantile in ms of each row of counts by log bin, log-linear inside its bin; NaN for an empty row."""
    cumulative = by_bin.cumsum(axis=1)
    rank = q * cumulative[:, -1]
    index = (cumulative >= rank[:, None]).argmax(axis=1)
    rows = np.arange(len(by_bin))
    inside = (rank - cumulative[rows, index]) / np.maximum(by_bin[rows, index], 1.0) + 1.0
    return np.where(rank > 0, 10.0 ** ((index + inside) / BINS_PER_DECADE) / 1000.0, np.nan)
