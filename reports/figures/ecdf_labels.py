"""Where labels stand beside distribution functions without touching one, however close the curves are.

A curve that rises leaves its upper left and its lower right free. Labels go between hits and misses where both fit
there, else outside of both, for which the axis is widened.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log10
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from reports.records.bins import quantile_ns
from reports.records.schema import Population

WIDTH: Final = 0.34
"""Of the axis, for a label: on the narrowest card."""

_LOWER, _UPPER = 0.28, 0.72
_HALF: Final = 0.14  # of a label's height

_GAP_PX: Final = 8


@dataclass(frozen=True)
class Place:
    """A label's place: ``x`` in log10 ms, ``y`` a share; ``left``: it ends at ``x`` instead of beginning there."""

    x: float
    y: float
    left: bool

    def annotation(self) -> dict[str, Any]:
        """The place as plotly's annotations have it."""
        side = "right" if self.left else "left"
        shift = -_GAP_PX if self.left else _GAP_PX
        return {"x": self.x, "y": self.y, "xanchor": side, "align": side, "xshift": shift, "showarrow": False}


Curves = Mapping[Population, Sequence[npt.NDArray[np.int64]]]
"""Counts by log bin of each population's curves, none of them without a count; every one of them has one at least."""


def places(curves: Curves, low: float, high: float) -> tuple[dict[Population, Place], float, float]:
    """A place for each population's label, and the axis' ends in log10 ms, at least ``low`` to ``high``."""
    below = {p: Place(max(_at(c, _LOWER + _HALF) for c in some), _LOWER, left=False) for p, some in curves.items()}
    above = {p: Place(min(_at(c, _UPPER - _HALF) for c in some), _UPPER, left=True) for p, some in curves.items()}
    if "hit" in curves and "miss" in curves:
        room = min(
            min(_at(c, level - _HALF) for c in curves["miss"]) - max(_at(c, level + _HALF) for c in curves["hit"])
            for level in (_LOWER, _UPPER)
        )
        if room >= WIDTH * (high - low):
            return {"hit": below["hit"], "miss": above["miss"]}, low, high
    outside = {p: (above if p == "hit" else below)[p] for p in curves}
    for _ in range(40):  # each end moves the other's share of the axis; it settles as two labels take less than all
        span = high - low
        low = min([low, *(place.x - WIDTH * span for place in outside.values() if place.left)])
        high = max([high, *(place.x + WIDTH * span for place in outside.values() if not place.left)])
    return outside, low, high


def _at(counts: npt.NDArray[np.int64], share: float) -> float:
    return log10(quantile_ns(counts, share) / 1e6)
