"""The pipeline: what happens to a validated request, and the stack of policies around it, outermost first.

Everything here is put together once, at the start; a request only calls it.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from functools import wraps
from typing import NamedTuple, ParamSpec, TypeVar

from server.answers import Answer, Ask, Identity, Key, Leg, LegReply, Process, aggregate, identity_of, legs_of
from server.errors import DeadlineExceeded, UpstreamTimeout
from server.execution import Execution
from server.gemini.protocol import GeminiReply
from server.lesser_answers import Alternative, lesser_answers, mark_degraded
from server.metrics import Metrics
from server.models import ProcessRequest
from server.policies.bulkhead import Bulkhead, QueuedDetails, bulkhead
from server.policies.cache import CacheStore, Outcome, cache
from server.policies.circuit_breaker import circuit_breaker
from server.policies.deadline import deadline, remaining_s
from server.policies.fallback import fallback
from server.policies.hedge import hedge
from server.policies.rate_limit import RateLimiter, rate_limit
from server.policies.retry import RetryDetails, retry
from server.policies.retry_budget import RetryBudget
from server.policies.track import CallHook, track
from server.policy_state import PolicyState
from server.progress import Progress, current_progress, progress_in_background
from server.settings import Settings
from server.tracing import Tracing

P = ParamSpec("P")
T = TypeVar("T")
S = TypeVar("S")
Policy = Callable[[Callable[P, Awaitable[T]]], Callable[P, Awaitable[T]]]


class Pipeline(NamedTuple):
    """The decorated function, ``process``, and a shorter way past it for what is in the cache.

    ``identity`` makes the key of a request. ``lookup`` is the store's, ``None`` where the cache is off: a fresh answer
    needs no deadline and no fallback, so it is looked up before anything is awaited.
    """

    identity: Identity
    lookup: Callable[[Key], Outcome[Answer] | None] | None
    process: Process


def build_pipeline(
    settings: Settings, state: PolicyState, execution: Execution, metrics: Metrics, tracing: Tracing | None = None
) -> Pipeline:
    """Put the functions that answer a request inside the policies that ``settings`` switch on."""
    attempt_s = settings.deadline.attempt_ms / 1000
    lookup = state.store.lookup if state.store is not None else None
    identity = identity_of(settings.default_model, shared=settings.cache.share_between_agents) if lookup else anonymous

    def retrying(budget: RetryBudget) -> Policy[[Leg], GeminiReply]:
        return retry(
            attempts=settings.retry.attempts,
            base_s=settings.retry.base_s,
            max_wait_s=settings.retry.max_wait_s,
            budget=budget,
            remaining_s=remaining_s,
            on_retry=backing_off,
        )

    def backing_off(details: RetryDetails) -> Progress | None:
        metrics.retries += 1
        return current_progress.get()

    def limiting(limiter: RateLimiter) -> Policy[[Leg], GeminiReply]:
        return rate_limit(
            limiter,
            key=lambda leg: leg.agent_id,
            max_wait_s=settings.rate_limit.max_wait_s,
            remaining_s=remaining_s,
        )

    def queueing(places: Bulkhead) -> Policy[[ProcessRequest, Key | None], Answer]:
        return bulkhead(places, on_queued=waiting_for_a_place)

    def waiting_for_a_place(details: QueuedDetails) -> AbstractContextManager[None] | None:
        progress = current_progress.get()
        return progress.waiting_for_a_place() if progress is not None else None

    def counting(on_done: CallHook[GeminiReply]) -> Policy[[Leg], GeminiReply]:
        return track(on_done=on_done)

    def keeping(store: CacheStore[Answer] | None) -> Callable[[Ask], Process]:
        if store is None:
            return uncached
        return cache(store, key=lambda request, key: key)

    def bounded(default_ms: int) -> Policy[[ProcessRequest, Key | None], Outcome[Answer]]:
        def left_s(request: ProcessRequest, key: Key | None) -> float:
            progress = current_progress.get()
            spent_s = progress.moved_s - progress.started_s if progress is not None else 0.0
            return (request.deadline_ms or default_ms) / 1000 - spent_s

        return deadline(budget_s=left_s)

    def degrading(alternatives: tuple[Alternative, ...]) -> Policy[[ProcessRequest, Key | None], Outcome[Answer]]:
        return fallback(*alternatives, mark=mark_degraded, on_fallback=metrics.fell_back)

    # Around each Gemini call.
    @when(state.hedger, hedge)
    @when(state.budget, retrying)
    @when(state.breaker, circuit_breaker)
    @when(state.limiter, limiting)
    @when(metrics.attempt_ended if settings.track.enabled else None, counting)
    async def generate(leg: Leg) -> GeminiReply:
        leg.attempts += 1
        progress = current_progress.get()
        if progress is not None and leg.attempts > progress.attempts:
            progress.attempts = leg.attempts
        try:
            return await execution.call(leg.call, attempt_s)
        except TimeoutError:
            if remaining_s() <= 0.0:
                raise DeadlineExceeded("the request's time was used up while Gemini was answering") from None
            raise UpstreamTimeout(f"Gemini did not answer within {attempt_s:g} s") from None

    async def run_leg(leg: Leg) -> LegReply:
        started_s = time.perf_counter()
        reply = await generate(leg)
        return LegReply(reply, leg.attempts, (time.perf_counter() - started_s) * 1000)

    leg = tracing.leg(run_leg) if tracing is not None else run_leg

    # Around each request.
    @keeping(state.store)
    @when(state.places, queueing)
    async def ask(request: ProcessRequest, key: Key | None) -> Answer:
        progress = current_progress.get() or progress_in_background()
        progress.begin_fan_out()
        try:
            replies = await execution.fan_out(leg, legs_of(request, settings.default_model))
        finally:
            progress.end_fan_out()
        answer = aggregate(replies)
        progress.end_aggregate()
        return answer

    answered_in_time = when(settings.deadline.default_ms if settings.deadline.enabled else None, bounded)(ask)
    process = when(lesser_answers(settings.fallback, ask, state.store, identity), degrading)(answered_in_time)

    return Pipeline(identity, lookup, process)


def when(state: S | None, policy: Callable[[S], Policy[P, T]]) -> Policy[P, T]:
    """``policy`` with its state, or nothing at all around the function where it is switched off."""
    return policy(state) if state is not None else _as_it_is


def _as_it_is(call: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
    return call


def anonymous(request: ProcessRequest) -> Key:
    """In place of a request's identity where nothing is kept."""
    return "", b""


def uncached(ask: Ask) -> Process:
    """In place of the cache where it is switched off: every answer is a bypass."""

    @wraps(ask)
    async def answered(request: ProcessRequest, key: Key | None) -> Outcome[Answer]:
        return Outcome(await ask(request, key), "bypass", 0.0)

    return answered
