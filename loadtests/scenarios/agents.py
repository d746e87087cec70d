"""Agents in sessions: a burst of turns, some asked again, then silence. Prompts are as popular as in ``steady``."""

from loadtests.workload.load_models import Sessions
from loadtests.workload.scenario import Scenario

SCENARIO = Scenario(
    name="agents",
    summary="sessions of about five turns in quick succession, then about five seconds of silence",
    load=Sessions(turns=5.0, turn_pause_s=0.3, idle_s=5.0, repeat=0.2),
    server={"cache.max_entries": 256},
)
