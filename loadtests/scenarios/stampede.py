"""Everybody asks the same new question at the same moment, again and again: does Gemini hear it once?

Made for one load process: each process has its own question.
"""

from loadtests.workload.catalogue import Catalogue
from loadtests.workload.load_models import Waves
from loadtests.workload.scenario import Scenario

_CATALOGUE = Catalogue(items=4096, exponent=0.0)

SCENARIO = Scenario(
    name="stampede",
    summary="every 2 s all users ask the same cold question at once",
    load=Waves(period_s=2.0, items=_CATALOGUE.items),
    catalogue=_CATALOGUE,
)
