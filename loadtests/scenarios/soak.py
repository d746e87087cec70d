"""A long, even load with the server's own cache: what leaks, what fills up, what expires?

The cache's time to live is shorter than the run, so that entries age out under load too.
"""

from loadtests.load_models import Think
from loadtests.scenario import Scenario

SCENARIO = Scenario(
    name="soak",
    summary="steady users with longer pauses, for half an hour; the cache fills and expires meanwhile",
    load=Think(mean_s=3.0),
    server={"cache.ttl_s": 120},
    duration_s=1800.0,
)
