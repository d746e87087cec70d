"""A long, even load with the server's own cache: what leaks, what fills up, what expires?

Meant for half an hour and more (``make bench SCENARIO=soak MODE=async DURATION=1800``). The cache's time to live is
shorter than that, so that entries age out under load too.
"""

from loadtests.workload.load_models import Think
from loadtests.workload.scenario import Scenario

SCENARIO = Scenario(
    name="soak",
    summary="steady users with longer pauses, to be run long; the cache fills and expires meanwhile",
    load=Think(mean_s=3.0),
    server={"cache.ttl_s": 120},
)
