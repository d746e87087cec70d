"""An open loop: requests arrive whether or not the ones before were answered, as from many independent people.

Latency counts from the scheduled arrival, so a server that stalls is charged for everyone who had to wait (coordinated
omission). The users are connections: their number bounds the requests in flight.
"""

from loadtests.workload.load_models import PoissonArrivals
from loadtests.workload.scenario import Scenario

SCENARIO = Scenario(
    name="open",
    summary="400 requests a second on a Poisson schedule that no reply can delay; users are connections",
    load=PoissonArrivals(rate_per_s=400.0),
    server={"cache.max_entries": 256},
)
