"""The counters in Prometheus' text format, version 0.0.4 (names and units by its conventions)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from server.lifecycle import IN_FLIGHT, State
from server.log_histogram import LogHistogram, upper_edge_s
from server.metrics import Metrics
from server.policy_state import PolicyState
from server.process_usage import ProcessUsage
from server.progress import StageSeconds

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

# Every eighth bin's edge, five buckets a decade, from 0.158 ms to 100 s.
_BUCKETS: Final = tuple(range(87, 320, 8))


def metrics_text(metrics: Metrics, state: PolicyState, usage: ProcessUsage, *, tracked: bool = True) -> bytes:
    """All metrics, as ``GET /metrics`` answers; without those of Gemini calls where nobody ``tracked`` them."""
    return ("\n".join(_lines(metrics, state, usage, tracked=tracked)) + "\n").encode()


def _lines(metrics: Metrics, state: PolicyState, usage: ProcessUsage, *, tracked: bool) -> Iterator[str]:
    yield from _family(
        "tailgate_requests_total",
        "counter",
        "Answered POST /process requests.",
        ((f'{{status="{status}",cache="{cache}"}}', n) for (status, cache), n in sorted(metrics.requests().items())),
    )
    yield from _histogram(
        "tailgate_request_duration_seconds",
        "From a request's arrival to its answer, by status and cache outcome.",
        (
            (f'status="{status}",cache="{cache}"', histogram)
            for (status, cache), histogram in sorted(metrics.latency.items())
        ),
    )
    yield from _family(
        "tailgate_stage_seconds_total",
        "counter",
        "Time of answered requests by stage; the parts sum to total.",
        ((f'{{stage="{stage}"}}', round(s, 9)) for stage, s in zip(StageSeconds._fields, metrics.stage_s, strict=True)),
    )
    if tracked:
        yield from _calls(metrics)
    yield from _one("tailgate_retries_total", "counter", "Gemini calls tried again.", metrics.retries)
    yield from _one(
        "tailgate_disconnected_total", "counter", "Requests whose client left before the answer.", metrics.disconnected
    )
    yield from _family(
        "tailgate_degraded_total",
        "counter",
        "Lesser answers given by the fallback, by their source.",
        ((f'{{source="{source}"}}', n) for source, n in sorted(metrics.degraded.items())),
    )
    population = metrics.population
    yield from _family(
        "tailgate_in_flight",
        "gauge",
        "Requests now, by state.",
        ((f'{{state="{name}"}}', n) for name, n in population.by_state().items()),
    )
    yield from _family(
        "tailgate_requests_ended_total",
        "counter",
        "Requests that have ended, by final state.",
        ((f'{{state="{end.name}"}}', population.count[end]) for end in (State.COMPLETED, State.FAILED)),
    )
    yield from _family(
        "tailgate_state_seconds_total",
        "counter",
        "Time that requests spent in each state.",
        ((f'{{state="{state.name}"}}', round(population.seconds[state], 9)) for state in IN_FLIGHT),
    )
    yield from _one("tailgate_requests_started_total", "counter", "Requests that have begun.", population.started)
    yield from _policies(state)
    yield from _one("process_cpu_seconds_total", "counter", "CPU time of this process.", usage.cpu_seconds())
    yield from _one("process_resident_memory_bytes", "gauge", "Resident memory.", usage.rss_bytes())
    yield from _one("process_start_time_seconds", "gauge", "Start, seconds since the epoch.", usage.started_at)


def _calls(metrics: Metrics) -> Iterator[str]:
    yield from _family(
        "tailgate_gemini_attempts_total",
        "counter",
        "Gemini calls by outcome; each retry and each hedge is one.",
        ((f'{{outcome="{outcome}"}}', n) for outcome, n in metrics.gemini_attempts().items()),
    )
    yield from _histogram(
        "tailgate_gemini_attempt_duration_seconds", "One Gemini call.", [("", metrics.attempt_duration)]
    )
    yield from _family(
        "tailgate_tokens_total",
        "counter",
        "Tokens of answered Gemini calls.",
        [('{kind="prompt"}', metrics.prompt_tokens), ('{kind="output"}', metrics.output_tokens)],
    )


def _policies(state: PolicyState) -> Iterator[str]:
    if state.store is not None:
        kept = state.store.snapshot()
        yield from _one("tailgate_cache_entries", "gauge", "Answers in the cache.", kept.entries)
        yield from _one("tailgate_cache_evictions_total", "counter", "Answers evicted for room.", kept.evicted)
    if state.places is not None:
        places = state.places.snapshot()
        yield from _one("tailgate_bulkhead_limit", "gauge", "Places there are.", places.limit)
        yield from _one("tailgate_bulkhead_queued", "gauge", "Requests waiting for a place.", places.queued)
        yield from _one("tailgate_bulkhead_shed_total", "counter", "Requests turned away.", places.shed)
    if state.breaker is not None:
        breaker = state.breaker.snapshot()
        yield from _family(
            "tailgate_circuit_state",
            "gauge",
            "1 for the state that the circuit breaker is in.",
            ((f'{{state="{each}"}}', int(each == breaker.state)) for each in ("closed", "half_open", "open")),
        )
        yield from _one("tailgate_circuit_refused_total", "counter", "Calls refused by it.", breaker.refused)
    if state.limiter is not None:
        limiter = state.limiter.snapshot()
        yield from _one("tailgate_rate_limit_waiting", "gauge", "Calls waiting for their turn.", limiter.waiting)
        yield from _one("tailgate_rate_limit_refused_total", "counter", "Calls refused.", limiter.refused)
    if state.budget is not None:
        budget = state.budget.snapshot()
        yield from _one("tailgate_retry_budget", "gauge", "Retries allowed now.", round(budget.balance, 3))
    if state.hedger is not None:
        hedger = state.hedger.snapshot()
        yield from _one("tailgate_hedged_total", "counter", "Calls that were hedged.", hedger.hedged)
        yield from _one("tailgate_hedges_won_total", "counter", "Hedges that answered first.", hedger.won)


def _family(name: str, kind: str, text: str, samples: Iterable[tuple[str, float]]) -> Iterator[str]:
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} {kind}"
    for labels, value in samples:
        yield f"{name}{labels} {value}"


def _one(name: str, kind: str, text: str, value: float) -> Iterator[str]:
    return _family(name, kind, text, [("", value)])


def _histogram(name: str, text: str, series: Iterable[tuple[str, LogHistogram]]) -> Iterator[str]:
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} histogram"
    for label, histogram in series:
        prefix = f"{label}," if label else ""
        suffix = f"{{{label}}}" if label else ""
        below = start = 0
        for bucket in _BUCKETS:
            below += sum(histogram.counts[start : bucket + 1])
            start = bucket + 1
            yield f'{name}_bucket{{{prefix}le="{upper_edge_s(bucket):.6g}"}} {below}'
        count = histogram.count
        yield f'{name}_bucket{{{prefix}le="+Inf"}} {count}'
        yield f"{name}_sum{suffix} {histogram.sum_s:.9g}"
        yield f"{name}_count{suffix} {count}"
