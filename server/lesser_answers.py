"""What a fallback has to offer when Gemini cannot be had: an old answer, another model's, a fixed text."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from server.answers import Answer, Identity, Key, LegReply, Process, aggregate
from server.gemini.protocol import GeminiReply, Usage
from server.models import ProcessRequest
from server.policies.cache import CacheStore, Outcome
from server.policies.deadline import deadline
from server.policies.fallback import FallbackDetails
from server.settings import FallbackSettings

Alternative = Callable[[ProcessRequest, Key | None], Awaitable[Outcome[Answer] | None]]


def lesser_answers(
    chosen: FallbackSettings, ask: Process, store: CacheStore[Answer] | None, identity: Identity
) -> tuple[Alternative, ...] | None:
    """The alternatives that ``chosen`` names, best first; ``None`` where fallback is switched off."""
    if not chosen.enabled:
        return None
    found: list[Alternative] = []
    if chosen.stale and store is not None:
        found.append(_stale(store))
    if chosen.model is not None:
        found.append(_other_model(ask, identity, chosen.model, chosen.model_ms / 1000))
    if chosen.text is not None:
        found.append(_fixed_text(chosen.text))
    return tuple(found) or None


def mark_degraded(outcome: Outcome[Answer], details: FallbackDetails) -> Outcome[Answer]:
    """The same outcome, saying that it is a lesser one."""
    return outcome._replace(value=outcome.value._replace(degraded=True))


def _stale(store: CacheStore[Answer]) -> Alternative:
    async def stale(request: ProcessRequest, key: Key | None) -> Outcome[Answer] | None:
        return store.peek(key) if key is not None else None

    return stale


def _other_model(ask: Process, identity: Identity, model: str, budget_s: float) -> Alternative:
    async def other_model(request: ProcessRequest, key: Key | None) -> Outcome[Answer] | None:
        if request.model == model:
            return None
        other = request.model_copy(update={"model": model})
        return await bounded(other, identity(other) if key is not None else None)

    # Its own budget: that of the request may be what has just run out.
    within_budget: Callable[[Process], Process] = deadline(default_s=budget_s)
    bounded = within_budget(ask)
    return other_model


def _fixed_text(text: str) -> Alternative:
    async def fixed_text(request: ProcessRequest, key: Key | None) -> Outcome[Answer] | None:
        reply = GeminiReply(text, "none", "OTHER", Usage(0, 0, 0))
        return Outcome(aggregate([LegReply(reply, 0, 0.0) for _ in request.prompts]), "bypass", 0.0)

    return fixed_text
