"""Zipf popularity: the item of rank r is asked with probability proportional to 1 / r**exponent.

Source: L. Breslau et al., "Web Caching and Zipf-like Distributions: Evidence and Implications", INFOCOM 1999.
"""

from __future__ import annotations

import itertools
from bisect import bisect_right


def zipf_cumulative(items: int, exponent: float) -> list[float]:
    """Return the cumulative probabilities of ranks 1 to ``items`` (entry 0 is the most popular); the last one is 1.0.

    An ``exponent`` of 0 makes all items alike. Raises ValueError for no items or a negative exponent.
    """
    if items < 1 or exponent < 0:
        raise ValueError(f"a Zipf law needs at least 1 item and an exponent of 0 or more, not {items} and {exponent}")
    cumulative = list(itertools.accumulate(rank**-exponent for rank in range(1, items + 1)))
    total = cumulative[-1]
    return [value / total for value in cumulative]


def draw(cumulative: list[float], uniform: float) -> int:
    """Return the item (from 0) that a ``uniform`` number in [0, 1) falls on."""
    return bisect_right(cumulative, uniform)
