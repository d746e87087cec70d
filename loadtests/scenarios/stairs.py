"""Users in five equal steps, each held for a fifth of the measured time: a coarse look for the knee."""

from loadtests.workload.load_models import Think
from loadtests.workload.profile import Stage
from loadtests.workload.scenario import Scenario

SCENARIO = Scenario(
    name="stairs",
    summary="steady users in five equal steps, a fifth more at each",
    load=Think(mean_s=1.0),
    profile=tuple(Stage(at=step / 5, users=(step + 1) / 5) for step in range(5)),
    server={"cache.max_entries": 256},
)
