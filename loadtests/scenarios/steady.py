"""Steady users who ask, think about a second, and ask again.

The cache is kept at 256 entries on purpose: with 4096 items of exponent 1.0 an LRU cache then hits 58% of requests in
steady state (Che's approximation), which it reaches after about 480 requests. Even the sync mode, at 100 to 200
requests/s, is past that when its warm-up ends, so that both modes are measured at alike hit shares.
"""

from loadtests.workload.catalogue import Catalogue
from loadtests.workload.load_models import Think
from loadtests.workload.scenario import Scenario

SCENARIO = Scenario(
    name="steady",
    summary="users ask, think about 1 s, and ask again; hits and misses both in quantity",
    load=Think(mean_s=1.0),
    catalogue=Catalogue(items=4096, exponent=1.0),
    server={"cache.max_entries": 256},
)
