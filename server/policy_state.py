"""The policies' state, made from settings at the start: one object each, ``None`` where a policy is switched off."""

from __future__ import annotations

import logging
from collections.abc import Hashable
from dataclasses import dataclass

from server.answers import Answer
from server.errors import DeadlineExceeded
from server.policies.adaptive_limit import AimdLimit
from server.policies.bulkhead import Bulkhead
from server.policies.cache import CacheStore
from server.policies.circuit_breaker import BreakerChange, CircuitBreaker
from server.policies.failures import is_unavailable
from server.policies.hedge import Hedger
from server.policies.rate_limit import Rate, RateLimiter
from server.policies.retry_budget import RetryBudget
from server.settings import (
    BulkheadSettings,
    CacheSettings,
    CircuitBreakerSettings,
    HedgeSettings,
    RateLimitSettings,
    RetrySettings,
    Settings,
)

log = logging.getLogger("tailgate")


@dataclass(frozen=True, slots=True)
class PolicyState:
    """What the pipeline's decorators share and the metrics look at."""

    store: CacheStore[Answer] | None
    places: Bulkhead | None
    hedger: Hedger | None
    budget: RetryBudget | None
    breaker: CircuitBreaker | None
    limiter: RateLimiter | None


def policy_state(settings: Settings) -> PolicyState:
    """Fresh state for every policy that ``settings`` switch on."""
    return PolicyState(
        store=_store(settings.cache) if settings.cache.enabled else None,
        places=_places(settings.bulkhead) if settings.bulkhead.enabled else None,
        hedger=_hedger(settings.hedge) if settings.hedge.enabled else None,
        budget=_budget(settings.retry) if settings.retry.enabled else None,
        breaker=_breaker(settings.circuit_breaker) if settings.circuit_breaker.enabled else None,
        limiter=_limiter(settings.rate_limit) if settings.rate_limit.enabled else None,
    )


def _store(cache: CacheSettings) -> CacheStore[Answer]:
    return CacheStore(
        ttl_s=cache.ttl_s,
        max_entries=cache.max_entries,
        stale_while_revalidate_s=cache.stale_while_revalidate_s,
        stale_if_error_s=cache.stale_if_error_s,
        stale_if=_may_be_answered_stale,
        on_refresh_failed=_log_refresh,
    )


def _may_be_answered_stale(error: Exception) -> bool:
    """A missed deadline is the fallback's business: only where a call cannot be cancelled would the cache see it."""
    return is_unavailable(error) and not isinstance(error, DeadlineExceeded)


def _places(bulkhead: BulkheadSettings) -> Bulkhead:
    adaptive = None
    if bulkhead.adaptive:
        adaptive = AimdLimit(
            target_s=bulkhead.adaptive_target_s,
            initial=min(20, bulkhead.max_in_flight),
            maximum=bulkhead.max_in_flight,
        )
    return Bulkhead(max_in_flight=bulkhead.max_in_flight, max_queued=bulkhead.max_queue, adaptive=adaptive)


def _hedger(hedge: HedgeSettings) -> Hedger:
    return Hedger(quantile=hedge.quantile, ratio=hedge.budget_share)


def _budget(retry: RetrySettings) -> RetryBudget:
    return RetryBudget(ratio=retry.budget_share, min_per_s=retry.budget_min_per_s)


def _breaker(circuit_breaker: CircuitBreakerSettings) -> CircuitBreaker:
    return CircuitBreaker(
        failure_rate=circuit_breaker.failure_share,
        slow_rate=circuit_breaker.slow_share,
        slow_call_s=circuit_breaker.slow_call_s,
        min_calls=circuit_breaker.min_calls,
        window_s=circuit_breaker.window_s,
        open_s=circuit_breaker.open_s,
        probes=circuit_breaker.probes,
        on_change=_log_change,
    )


def _log_change(change: BreakerChange) -> None:
    log.warning("circuit %s -> %s: %s", *change)


def _log_refresh(key: Hashable, error: Exception) -> None:
    log.warning("a stale answer could not be refreshed: %s", error)


def _limiter(rate_limit: RateLimitSettings) -> RateLimiter:
    return RateLimiter(
        per_key=Rate(rate_limit.agent_per_s, rate_limit.agent_burst),
        overall=Rate(rate_limit.per_s, rate_limit.burst),
    )
