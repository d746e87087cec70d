"""Users who come steadily, from a tenth to all of them: where does latency begin to rise?"""

from loadtests.workload.load_models import Think
from loadtests.workload.profile import Stage
from loadtests.workload.scenario import Scenario

SCENARIO = Scenario(
    name="ramp",
    summary="steady users, growing from a tenth to all of them over the measured time",
    load=Think(mean_s=1.0),
    profile=(Stage(at=0.0, users=0.1), Stage(at=0.0, users=1.0, over=1.0)),
    server={"cache.max_entries": 256},
)
