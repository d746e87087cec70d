"""Block-bootstrap intervals of quantiles: how much of a figure is luck.

Requests that run at the same time share their fate (a pause, a burst, a slow second), so single samples must not be
resampled as if they were independent. Time is cut into chunks, and runs of neighbouring chunks are drawn with
replacement (circular block bootstrap: Politis and Romano 1992; Lahiri, Resampling Methods for Dependent Data, 2003).

To make that fast, each chunk is first counted into fine bins (256 an octave: under 0.4% wide, interpolated inside);
a replicate is then a weighted sum of histograms. What binning shifts cancels, since intervals are placed around the
exact quantile by the difference to the binned one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

REPLICATES: Final = 1000
MIN_CHUNKS: Final = 8
"""With fewer chunks of time than this there is no interval: it would promise too much."""

_SHIFT: Final = 52 - 8  # keeps exponent and 8 bits of mantissa of a float64: 256 bins an octave


class ChunkCounts:
    """Samples of one population counted by chunk of time and fine latency bin.

    ``counts``: chunks x bins; ``lower`` and ``upper``: the bins' edges, in the unit of the values.
    """

    def __init__(self, values: npt.NDArray[Any], chunk: npt.NDArray[np.integer[Any]], chunks: int) -> None:
        """``values``: positive numbers; ``chunk``: which chunk, 0 to ``chunks - 1``, each of them lies in."""
        codes = np.maximum(values, 1).astype(np.float64).view(np.int64) >> _SHIFT
        first = int(codes.min(initial=1 << 30)) if codes.size else 0
        codes -= first
        width = int(codes.max(initial=0)) + 1
        codes += chunk * np.int64(width)
        dense = np.bincount(codes, minlength=chunks * width).reshape(chunks, width)
        used = np.flatnonzero(dense.any(axis=0))
        self.counts: Floats = dense[:, used].astype(np.float64)
        self.lower: Floats = ((used + first) << _SHIFT).view(np.float64)
        self.upper: Floats = ((used + first + 1) << _SHIFT).view(np.float64)

    @property
    def chunks(self) -> int:
        """How many chunks of time there are, empty ones too."""
        return int(self.counts.shape[0])

    def quantiles(self, weights: Floats, qs: Sequence[float]) -> Floats:
        """Quantiles of the weighted sums of chunks: ``weights`` is replicates x chunks, the result replicates x qs.

        NaN where a replicate drew no samples.
        """
        if not self.counts.size:
            return np.full((weights.shape[0], len(qs)), np.nan)
        cumulative = np.cumsum(weights @ self.counts, axis=1)
        total = cumulative[:, -1]
        rows = np.arange(total.size)[:, None]
        # one search for all replicates: replicate r's shares of the total lie in [r, r + 1]
        shares = cumulative / np.maximum(total, 1.0)[:, None] + rows
        index = np.searchsorted(shares.ravel(), rows + np.asarray(qs)) - rows * cumulative.shape[1]
        index = np.clip(index, 0, cumulative.shape[1] - 1)
        below = np.where(index > 0, cumulative[rows, index - 1], 0.0)
        inside = (total[:, None] * qs - below) / np.maximum(cumulative[rows, index] - below, 1e-300)
        result = self.lower[index] + (self.upper - self.lower)[index] * np.clip(inside, 0.0, 1.0)
        result[total == 0] = np.nan
        return np.asarray(result, dtype=np.float64)

    def pooled_quantiles(self, qs: Sequence[float]) -> Floats:
        """Quantiles of all chunks together, from the same bins as the replicates."""
        row: Floats = self.quantiles(np.ones((1, self.chunks)), qs)[0]
        return row


def run_length(chunks: int) -> int:
    """How many neighbouring chunks are drawn together: n^(1/3), the rate of Hall, Horowitz and Jing (1995)."""
    return max(1, round(float(np.cbrt(chunks))))


def resample_weights(chunks: int, replicates: int, rng: np.random.Generator) -> Floats:
    """How often each chunk is drawn in each replicate (replicates x chunks).

    Runs of ``run_length`` neighbours are drawn with replacement, round the end to the start, until ``chunks`` are
    full; what the last run has too many is kept, so a row sums to a little more than ``chunks``.
    """
    length = run_length(chunks)
    runs = -(-chunks // length)
    starts = rng.integers(0, chunks, size=(replicates, runs))
    drawn = (starts[:, :, None] + np.arange(length)) % chunks
    flat = (drawn.reshape(replicates, -1) + np.arange(replicates)[:, None] * chunks).ravel()
    return np.bincount(flat, minlength=replicates * chunks).reshape(replicates, chunks).astype(np.float64)


def quantile_intervals(
    counted: ChunkCounts,
    exact: Sequence[float | None],
    qs: Sequence[float],
    *,
    seed: int = 0,
    replicates: int = REPLICATES,
    level: float = 0.95,
) -> list[tuple[float, float] | None]:
    """A ``level`` percentile-bootstrap interval around each ``exact`` quantile, in the values' unit.

    None where ``exact`` is None or there are fewer than ``MIN_CHUNKS`` chunks with samples. Seeded: the same samples
    give the same intervals.
    """
    filled = int((counted.counts.sum(axis=1) > 0).sum()) if counted.counts.size else 0
    if filled < MIN_CHUNKS:
        return [None] * len(qs)
    weights = resample_weights(counted.chunks, replicates, np.random.default_rng(seed))
    replicated = counted.quantiles(weights, qs)
    shift = replicated - counted.pooled_quantiles(qs)
    tail = (1.0 - level) / 2.0
    low, high = np.nanquantile(shift, [tail, 1.0 - tail], axis=0)
    return [None if value is None else (float(value + low[i]), float(value + high[i])) for i, value in enumerate(exact)]
