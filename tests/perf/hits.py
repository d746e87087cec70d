"""What a cache hit costs, against a bare aiohttp handler and against FastAPI, in one interleaved run."""

from contextlib import ExitStack
from itertools import count, repeat

import orjson

from tests.perf.arms import Arm, arm, cores
from tests.perf.load import Requests, drive, post
from tests.perf.rounds import Measured, measure

BAR = "bare aiohttp, constant reply"
HIT = "Tailgate, hit"
NEW_BODY = "Tailgate, hit, no body twice"
FASTAPI = "FastAPI + uvicorn, hit"

_ASKED = {
    "agent_id": "agent-7",
    "prompts": ["Explain in two sentences what a tailgate is.", "And now say it again for someone who sells cars."],
    "model": "gemini-2.5-flash",
    "parameters": {"temperature": 0.7, "max_output_tokens": 256},
}
_SAME = post(orjson.dumps(_ASKED))
_numbers = count()


def _requests(arm: Arm, number: int) -> Requests:
    if arm.name != NEW_BODY:
        return repeat(_SAME, number)
    # What is said in metadata changes the body and not the answer.
    bodies = (orjson.dumps(_ASKED | {"metadata": {"number": str(next(_numbers))}}) for _ in range(number))
    return iter([post(body) for body in bodies])


def measure_hits(rounds: int, number: int) -> list[Measured]:
    """CPU us a request of each arm, its ratio to the bare handler; ``number`` requests a round on 32 connections."""
    core, _ = cores()
    with ExitStack() as started:
        tailgate = started.enter_context(arm(HIT, "server", "--port", "0", "--mock.profile", "zero", core=core))
        replies: list[bytes] = []
        drive(tailgate.port, repeat(_SAME, 2), connections=1, check=lambda reply: not replies.append(reply))
        assert b'"cache":"hit"' in replies[1]
        reply_bytes = len(replies[1].partition(b"\r\n\r\n")[2])
        bar = started.enter_context(arm(BAR, "tests.perf.bar_aiohttp", str(reply_bytes), core=core))
        fastapi = started.enter_context(arm(FASTAPI, "tests.perf.bar_fastapi", core=core))
        arms = [bar, tailgate, Arm(NEW_BODY, tailgate.pid, tailgate.port), fastapi]
        return measure(arms, bar=BAR, requests=_requests, rounds=rounds, count=number, connections=32)
