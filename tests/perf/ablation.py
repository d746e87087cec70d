"""What the policies cost a hit and a miss: the pipeline with all of them, with none, with each one switched off.

"All" is what the settings switch on by default (fallback and hedge are off), with all that belongs to it: hooks and
what they count, arguments read, the cache's key. The request's states and stages are there whatever is on, and have a
line of their own: what the pipeline without policies costs over its bare functions.

In this process, without HTTP, on a client that answers at once: differences of a microsecond would drown in the
hundred that a request over a socket takes. Pipelines take turns in short blocks, in random order. A block counts by its
ratio to the block without policies in the same round, so that a machine which slows down for a while slows no figure;
microseconds are those of its full speed, at which the block without policies took what the quickest tenth of them took.
"""

import asyncio
import gc
import json
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import uvloop

from server.answers import Leg, LegReply, aggregate, legs_of
from server.execution import AsyncExecution
from server.gemini.protocol import GeminiCall, GeminiReply, Usage
from server.lifecycle import State
from server.metrics import Metrics
from server.models import ProcessRequest
from server.pipeline import Pipeline, build_pipeline
from server.policy_state import policy_state
from server.progress import Progress, current_progress
from server.settings import Settings

POLICIES = ("track", "deadline", "cache", "bulkhead", "retry", "circuit_breaker", "rate_limit")
ALL, NONE, BARE = "all that are on by default", "none", "not even the pipeline"
_WIDE = {"per_s": 1e9, "burst": 10**9, "agent_per_s": 1e9, "agent_burst": 10**9}
_BLOCK = 300
_MODEL = "gemini-2.5-flash"

Run = Callable[[], Awaitable[object]]


@dataclass(frozen=True)
class PolicyCost:
    """CPU us a request, with quartiles over ``rounds``; ``hit_us`` is ``None`` for what a hit does not pass."""

    policy: str
    miss_us: float
    miss_q1: float
    miss_q3: float
    hit_us: float | None
    rounds: int


class InstantGemini:
    """Answers at once."""

    name = "instant"
    _reply = GeminiReply("An answer of a few words.", _MODEL, "STOP", Usage(9, 6, 15))

    async def generate(self, call: GeminiCall, *, timeout_s: float | None = None) -> GeminiReply:
        """The same answer, always."""
        return self._reply

    def generate_blocking(self, call: GeminiCall, *, timeout_s: float | None = None) -> GeminiReply:
        """The same answer, always."""
        return self._reply

    async def aclose(self) -> None:
        """Nothing to release."""


def measure_policies(rounds: int) -> list[PolicyCost]:
    """The cost of all policies together, then of each."""
    return uvloop.run(_measure(rounds))


def measure_decorators(rounds: int) -> dict[str, float]:
    """CPU us of the decorators by themselves, with hooks that do nothing, by the names ``tests.perf_policies`` has.

    In a process of its own: what else has run in a process changes how the interpreter runs them.
    """
    with TemporaryDirectory() as folder:
        saved = Path(folder, "costs.json")
        asked = ("-m", "tests.perf_policies", "--rounds", str(rounds), "--json", str(saved))
        subprocess.run((sys.executable, *asked), check=True, stdout=subprocess.DEVNULL)
        return {cost["variant"]: cost["us"] for cost in json.loads(saved.read_text())["costs"]}


async def _measure(rounds: int) -> list[PolicyCost]:
    population = Metrics().population
    numbers = count()

    def new_request() -> ProcessRequest:
        progress = Progress(population)
        for state in (State.QUEUED, State.VALIDATING, State.PROCESSING):
            progress.move(state)
        current_progress.set(progress)
        return ProcessRequest(agent_id="agent-7", prompts=(f"Question {next(numbers)}",))

    def miss_of(pipeline: Pipeline) -> Run:
        async def miss() -> None:
            asked = new_request()
            key = pipeline.identity(asked)
            if pipeline.lookup is None or pipeline.lookup(key) is None:
                await pipeline.process(asked, key)

        return miss

    execution = AsyncExecution(InstantGemini())

    async def bare_leg(leg: Leg) -> LegReply:
        started_s = time.perf_counter()
        reply = await execution.call(leg.call, 15.0)
        return LegReply(reply, 1, (time.perf_counter() - started_s) * 1000)

    async def bare_miss() -> None:
        aggregate(await execution.fan_out(bare_leg, legs_of(new_request(), _MODEL)))

    whole = _pipeline(())
    known = new_request()
    await whole.process(known, whole.identity(known))

    async def hit() -> None:
        whole.lookup(whole.identity(known))

    async def no_hit() -> None:
        pass

    runs: dict[str, Run] = {
        ALL: miss_of(whole),
        NONE: miss_of(_pipeline(POLICIES)),
        BARE: bare_miss,
        **{name: miss_of(_pipeline((name,))) for name in POLICIES},
        "hit": hit,
        "no hit": no_hit,
    }
    spent = await _interleaved(runs, rounds)
    hit_us = statistics.median(_less(spent["hit"], spent["no hit"]))
    costs = [_cost(ALL, _less(spent[ALL], spent[NONE]), hit_us)]
    costs += [_cost(name, _less(spent[ALL], spent[name]), hit_us if name == "cache" else None) for name in POLICIES]
    costs.append(_cost("no policy: the request's states and stages", _less(spent[NONE], spent[BARE]), None))
    return costs


def _pipeline(switched_off: tuple[str, ...]) -> Pipeline:
    off = {name: {"enabled": False} for name in switched_off}
    settings = Settings.model_validate({"rate_limit": _WIDE} | off)
    return build_pipeline(settings, policy_state(settings), AsyncExecution(InstantGemini()), Metrics())


async def _interleaved(runs: dict[str, Run], rounds: int) -> dict[str, list[float]]:
    """CPU us of one run of each, block by block; the first round warms up."""
    spent: dict[str, list[float]] = {name: [] for name in runs}
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    order = list(runs)
    for _ in range(rounds + 1):
        random.shuffle(order)
        for name in order:
            run = runs[name]
            # A block in a task of its own, as a request has.
            spent[name].append(await asyncio.create_task(_block(run)))
    return _at_full_speed({name: times[1:] for name, times in spent.items()})


def _at_full_speed(spent: dict[str, list[float]]) -> dict[str, list[float]]:
    bare = spent[NONE]
    quickest = statistics.quantiles(bare, n=10)[0]
    return {
        name: [time / beside * quickest for time, beside in zip(times, bare, strict=True)]
        for name, times in spent.items()
    }


async def _block(run: Run) -> float:
    before = time.process_time()
    for _ in range(_BLOCK):
        await run()
    return (time.process_time() - before) / _BLOCK * 1e6


def _less(more: list[float], fewer: list[float]) -> list[float]:
    return [one - other for one, other in zip(more, fewer, strict=True)]


def _cost(name: str, differences: list[float], hit_us: float | None) -> PolicyCost:
    q1, median, q3 = statistics.quantiles(differences, n=4)
    return PolicyCost(name, median, q1, q3, hit_us, len(differences))
