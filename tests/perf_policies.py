"""What each policy costs a call that goes well, in microseconds of CPU: ``python -m tests.perf_policies``.

Each variant is awaited in a short block; blocks of all variants take turns in random order, round after round, so
that the machine's changes of speed hit them alike. A cost is the median over rounds of (block of the variant / block of
a bare ``await`` in the same round - 1), in bare awaits, which hardly depend on the machine's speed; microseconds are
those of its full speed, at which a bare await took what the quickest tenth of them took. The function inside returns
at once: no policy has to wait, as is usual.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import platform
import random
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from functools import reduce
from itertools import count
from pathlib import Path

import uvloop
from rich.console import Console
from rich.table import Table

from server.policies.bulkhead import Bulkhead, bulkhead
from server.policies.cache import CacheStore, cache
from server.policies.cache_key import cache_key
from server.policies.circuit_breaker import CircuitBreaker, circuit_breaker
from server.policies.deadline import deadline, remaining_s
from server.policies.fallback import fallback
from server.policies.hedge import Hedger, hedge
from server.policies.rate_limit import Rate, RateLimiter, rate_limit
from server.policies.retry import retry
from server.policies.retry_budget import RetryBudget
from server.policies.track import track

Call = Callable[[str], Awaitable[object]]

PROMPTS = ["Explain how a circuit breaker differs from a bulkhead, in three sentences. " * 3] * 2
WIDE = Rate(per_s=1e9, burst=1_000_000_000)


@dataclass(frozen=True)
class Cost:
    """CPU of one variant over a bare await: the median over ``rounds``, and quartiles in us a call at full speed."""

    variant: str
    bare_awaits: float
    us: float
    q1_us: float
    q3_us: float
    rounds: int


async def upstream(key: str) -> object:
    return key


def key_of(key: str) -> tuple[str, bytes]:
    """As the pipeline makes it: tenant apart; model, prompts and parameters hashed."""
    return cache_key("agent-7", "gemini-2.5-flash", PROMPTS, 0.7, None, 256, [], key)


def fresh_keys() -> Callable[[str], int]:
    """A key that was never seen, without the cost of hashing one."""
    numbers = count()
    return lambda key: next(numbers)


def around_a_call(call: Call) -> Call:
    """Everything around one Gemini call that is on by default, as the pipeline stacks it."""
    tracked = track(on_done=lambda name, duration_s, result, error: None)(call)
    limited = rate_limit(RateLimiter(per_key=WIDE, overall=WIDE), key=lambda key: "agent-7", remaining_s=remaining_s)(
        tracked
    )
    guarded = circuit_breaker(CircuitBreaker())(limited)
    return retry(budget=RetryBudget(), remaining_s=remaining_s)(guarded)


def around_a_request(call: Call, key: Callable[[str], object]) -> Call:
    """Everything around a request that is on by default, as the pipeline stacks it."""
    kept = cache(CacheStore[object](max_entries=1000), key=key)(bulkhead(Bulkhead())(call))
    return deadline()(kept)


def learnt_hedger() -> Hedger:
    hedger = Hedger()
    for _ in range(1000):
        hedger.record(1.0)
    return hedger


def doing_nothing(call: Call) -> Call:
    """What any decorator costs."""

    async def passing(*args: str, **kwargs: str) -> object:
        return await call(*args, **kwargs)

    return passing


def variants() -> dict[str, Call]:
    numbers = count()
    store = CacheStore[object]()

    async def looking_up(key: str) -> object:
        asked = key_of(key)
        return store.lookup(asked) or await store.fetch(asked, lambda: upstream(key))

    async def hashing(key: str) -> object:
        return key_of(key)

    async def with_asyncio_timeout(key: str) -> object:
        async with asyncio.timeout(30):
            return await upstream(key)

    return {
        "bare await": upstream,
        "track": track(on_done=lambda name, duration_s, result, error: None)(upstream),
        "fallback": fallback(upstream, mark=lambda answer, details: answer)(upstream),
        "deadline": deadline()(upstream),
        "cache, hit": cache(CacheStore[object](), key=lambda key: key)(upstream),
        "cache, miss": cache(CacheStore[object](max_entries=1000), key=fresh_keys())(upstream),
        "cache key of 2 prompts, 450 bytes": hashing,
        "bulkhead": bulkhead(Bulkhead())(upstream),
        "retry": retry()(upstream),
        "retry, budget": retry(budget=RetryBudget())(upstream),
        "circuit_breaker": circuit_breaker(CircuitBreaker())(upstream),
        "rate_limit, overall": rate_limit(RateLimiter(overall=WIDE))(upstream),
        "rate_limit, overall and per key": rate_limit(RateLimiter(overall=WIDE, per_key=WIDE), key=lambda key: key)(
            upstream
        ),
        "hedge (off by default)": hedge(learnt_hedger())(upstream),
        "all, hit": around_a_request(around_a_call(upstream), key_of),
        "all, miss": around_a_request(around_a_call(upstream), lambda key: key_of(str(next(numbers)))),
        "a hit by key and store.lookup, undecorated": looking_up,
        "for comparison: seven decorators that do nothing": reduce(
            lambda call, _: doing_nothing(call), range(7), upstream
        ),
        "for comparison: asyncio.timeout": with_asyncio_timeout,
    }


async def measure(*, rounds: int, calls: int, seed: int) -> list[Cost]:
    chosen = variants()
    for call in chosen.values():
        for _ in range(calls):
            await call("warm")
    order = list(chosen)
    rng = random.Random(seed)
    blocks: dict[str, list[float]] = {name: [] for name in chosen}
    gc.collect()
    gc.freeze()
    for _ in range(rounds):
        rng.shuffle(order)
        for name in order:
            call = chosen[name]
            began = time.process_time_ns()
            for _ in range(calls):
                await call("key")
            blocks[name].append((time.process_time_ns() - began) / calls / 1000)
            await asyncio.sleep(0)
    bare = blocks.pop("bare await")
    full_speed = statistics.quantiles(bare, n=10)[0]
    costs = [cost("bare await", [time / full_speed for time in bare], full_speed)]
    for name, times in blocks.items():
        costs.append(cost(name, [time / base - 1.0 for time, base in zip(times, bare, strict=True)], full_speed))
    return costs


def cost(variant: str, bare_awaits: list[float], bare_us: float) -> Cost:
    first, median, third = statistics.quantiles(bare_awaits, n=4)
    return Cost(variant, median, median * bare_us, first * bare_us, third * bare_us, len(bare_awaits))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.perf_policies", description=__doc__)
    parser.add_argument("--rounds", type=int, default=200, help="rounds of blocks (at least 2)")
    parser.add_argument("--calls", type=int, default=500, help="calls in a block")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    given = parser.parse_args()
    if given.rounds < 2 or given.calls < 1:
        parser.error("--rounds must be at least 2 and --calls at least 1")
    costs = uvloop.run(measure(rounds=given.rounds, calls=given.calls, seed=given.seed))

    table = Table(title=f"CPU over a bare await, us a call: median of {given.rounds} rounds of {given.calls} calls")
    table.add_column("policy")
    table.add_column("us", justify="right")
    table.add_column("quartiles", justify="right")
    table.add_column("bare awaits", justify="right")
    for cost in costs:
        table.add_row(
            cost.variant, f"{cost.us:.2f}", f"{cost.q1_us:.2f} to {cost.q3_us:.2f}", f"{cost.bare_awaits:.1f}"
        )
    machine = f"Python {platform.python_version()}, uvloop {uvloop.__version__}, {cpu_model()}"
    Console().print(table, machine, sep="\n")
    if given.json:
        given.json.write_text(
            json.dumps({"machine": machine, "costs": [asdict(cost) for cost in costs]}, indent=1) + "\n"
        )


def cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.processor())


if __name__ == "__main__":
    main()
