"""Gemini falters while load goes on: every 10 s, half of its calls fail for 3 s (``brownout.toml``).

What do retries, breaker and cache make of it, and how soon is it over? The script begins anew with each block, when all
users are up: the first faults come 5 s into the warm-up.
"""

from pathlib import Path

from loadtests.workload.load_models import Think
from loadtests.workload.scenario import Scenario

SCENARIO = Scenario(
    name="brownout",
    summary="steady users, while half of Gemini's calls fail for 3 s out of every 10",
    load=Think(mean_s=1.0),
    server={"cache.max_entries": 256, "mock.faults": str(Path(__file__).with_name("brownout.toml"))},
)
