"""What hit share a cache should reach under Zipf popularity: the independent reference model.

Sources: H. Che, Y. Tung, Z. Wang, "Hierarchical Web Caching Systems", IEEE JSAC 20(7), 2002, for LRU; J. Jung,
A. Berger, H. Balakrishnan, "Modeling TTL-based Internet Caches", INFOCOM 2003, for entries that expire.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def zipf(items: int, exponent: float) -> Floats:
    """Popularity of ranks 1 to ``items``: proportional to ``1 / rank ** exponent``, summing to 1."""
    weights = np.arange(1, items + 1, dtype=np.float64) ** -exponent
    popularity: Floats = weights / weights.sum()
    return popularity


def characteristic_time(popularity: Floats, capacity: int) -> float:
    """Che's T of an LRU cache, in requests: the root of ``sum(1 - exp(-p_i T)) = capacity``.

    Infinite if everything fits, 0 for a cache of none.
    """
    if capacity >= popularity.size:
        return float("inf")
    if capacity <= 0:
        return 0.0

    from scipy.optimize import brentq  # here: half a second to import, and most readers of a run never need it

    def surplus(log_time: float) -> float:
        return float(-np.expm1(-popularity * np.exp(log_time)).sum()) - capacity

    low = high = np.log(capacity)
    while surplus(high) < 0:
        high += 1.0
    return float(np.exp(brentq(surplus, low - 1e-9, high, xtol=1e-12)))


def lru_hit_share(popularity: Floats, capacity: int) -> float:
    """Che's approximation of an LRU cache's hit share in steady state: ``sum p_i (1 - exp(-p_i T))``."""
    return float((popularity * -np.expm1(-popularity * characteristic_time(popularity, capacity))).sum())


def ttl_hit_share(popularity: Floats, requests_a_ttl: float) -> float:
    """Hit share of an unbounded cache whose entries expire a fixed time after they were fetched.

    ``requests_a_ttl`` is how many requests arrive in that time: ``sum p_i n p_i / (1 + n p_i)``.
    """
    expected = popularity * requests_a_ttl
    return float((popularity * expected / (1.0 + expected)).sum())


def expected_hit_share(*, items: int, exponent: float, capacity: int, ttl_s: float, requests_per_s: float) -> float:
    """Hit share in steady state under whichever binds first, the cache's size or its entries' age.

    Requests that wait for another's call count as hits here: the model's fetches take no time.
    """
    popularity = zipf(items, exponent)
    return min(lru_hit_share(popularity, capacity), ttl_hit_share(popularity, ttl_s * requests_per_s))
