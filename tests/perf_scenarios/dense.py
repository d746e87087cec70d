"""Users who hardly think: what a request costs the generator when it is busy."""

from loadtests.workload.load_models import Think
from loadtests.workload.scenario import Scenario

SCENARIO = Scenario(name="dense", summary="steady users who think 20 ms", load=Think(mean_s=0.02))
