"""A crowd that comes at once and leaves again: how high does latency go, and how soon is it back?"""

from loadtests.workload.load_models import Think
from loadtests.workload.profile import Stage
from loadtests.workload.scenario import Scenario

SCENARIO = Scenario(
    name="spike",
    summary="a fifth of the users; all of them at once for the middle fifth of the measured time",
    load=Think(mean_s=1.0),
    profile=(Stage(at=0.0, users=0.2), Stage(at=0.4, users=1.0), Stage(at=0.6, users=0.2)),
    server={"cache.max_entries": 256},
)
