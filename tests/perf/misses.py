"""What a miss with two upstream calls over HTTP costs, against FastAPI with google-genai doing the same."""

from contextlib import ExitStack
from itertools import count

import orjson

from tests.perf.arms import Arm, arm, cores
from tests.perf.load import Requests, post
from tests.perf.rounds import Measured, measure

BAR = "FastAPI + google-genai, 2 calls"
AIOHTTP = "Tailgate, 2 calls by aiohttp"
BUILTIN = "Tailgate, 2 calls by the built-in client"
IN_PROCESS = "Tailgate, 2 calls in process"
CLIENTS = {BUILTIN: "builtin", AIOHTTP: "aiohttp"}

# The policies are at work, their limits out of reach.
_WIDE = ("--rate_limit.per_s", "1000000", "--rate_limit.agent_per_s", "1000000")
_numbers = count()


def _requests(arm: Arm, number: int) -> Requests:
    return iter(
        [
            post(orjson.dumps({"agent_id": "agent-7", "prompts": [f"First of {each}", f"Second of {each}"]}))
            for each in (next(_numbers) for _ in range(number))
        ]
    )


def measure_misses(rounds: int, number: int) -> list[Measured]:
    """CPU us a request of each server, the mock Gemini's own not included; no prompt is asked twice."""
    core, other = cores()
    with ExitStack() as started:
        gemini = started.enter_context(
            arm("Gemini", "server.gemini.mock_server", "--port", "0", "--profile", "zero", core=other)
        )
        url = f"http://127.0.0.1:{gemini.port}"
        arms = [started.enter_context(arm(BAR, "tests.perf.bar_fastapi", "--upstream", url, core=core))]
        for name, client in CLIENTS.items():
            flags = ("--gemini_client", client, "--live.base_url", url, *_WIDE)
            arms.append(started.enter_context(arm(name, "server", "--port", "0", *flags, core=core)))
        flags = ("--mock.profile", "zero", *_WIDE)
        arms.append(started.enter_context(arm(IN_PROCESS, "server", "--port", "0", *flags, core=core)))
        return measure(arms, bar=BAR, requests=_requests, rounds=rounds, count=number, connections=16)
