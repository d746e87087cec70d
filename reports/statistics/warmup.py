"""Where a warm-up ends, from the data: MSER-5 (White 1997; Franklin and White 2008).

The start of a run is cut by time, and said; this asks whether that was enough.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

BATCH: Final = 5
CLEAR: Final = 3.5
"""Standard errors by which a transient must differ from what follows; a steady series passes by luck in 0.5%."""


def mser5(series: npt.ArrayLike) -> int:
    """How many leading values of ``series`` the MSER-5 rule drops: a multiple of 5, at most half of them.

    Values are averaged in fives, ``Z``; of all cuts ``d`` up to half the batches, that one is best which makes the
    marginal standard error of the rest smallest: ``min_d  sum_{j > d} (Z_j - mean(Z_{j > d}))^2 / (m - d)^2``.
    NaN (a slot without samples) takes the value before it. 0 for series too short to tell (under 4 batches).
    """
    values = _filled(np.asarray(series, dtype=np.float64))
    batches = values.size // BATCH
    if batches < 4:
        return 0
    means = values[: batches * BATCH].reshape(batches, BATCH).mean(axis=1)
    cuts = np.arange(batches // 2 + 1)
    rest = batches - cuts
    total, squares = (np.cumsum(part[::-1])[::-1][cuts] for part in (means - means.mean(), (means - means.mean()) ** 2))
    error = (squares - total**2 / rest) / rest.astype(np.float64) ** 2
    return int(np.argmin(error)) * BATCH


def transient(series: npt.ArrayLike) -> int:
    """The values that MSER-5 drops, if their mean differs from the rest's by more than luck would have it; else 0.

    MSER-5 always finds a best cut, in a steady series too; the difference of the two means by its standard error, both
    from the averages of five, tells which of them is a transient. It counts as Student's t does, where few are left.
    """
    cut = mser5(series)
    values = _filled(np.asarray(series, dtype=np.float64))
    means = values[: values.size // BATCH * BATCH].reshape(-1, BATCH).mean(axis=1)
    start, rest = means[: cut // BATCH], means[cut // BATCH :]
    if not start.size:
        return 0
    from scipy.special import ndtr, stdtrit  # late: most readers of a run never need it

    error = rest.std(ddof=1) * np.sqrt(1.0 / start.size + 1.0 / rest.size)
    return cut if abs(start.mean() - rest.mean()) > stdtrit(rest.size - 1, ndtr(CLEAR)) * error else 0


def _filled(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    known = np.flatnonzero(~np.isnan(values))
    if not known.size:
        return values[:0]
    source = known[np.maximum(np.searchsorted(known, np.arange(values.size), side="right") - 1, 0)]
    return values[source]
