"""What the pipeline answers: the legs' replies put together once, as the bytes that go out and into the cache."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple

import orjson

from server.gemini.protocol import GeminiCall, GeminiReply, Parameters
from server.models import DEFAULT_PARAMETERS, ProcessRequest
from server.policies.cache import Outcome
from server.policies.cache_key import cache_key


class Leg:
    """One prompt of a request on its way through Gemini, and how many attempts were made for it so far."""

    __slots__ = ("agent_id", "attempts", "call")

    def __init__(self, agent_id: str, call: GeminiCall) -> None:
        self.agent_id = agent_id
        self.call = call
        self.attempts = 0


class LegReply(NamedTuple):
    """A leg's reply, the attempts it took and the milliseconds from its start to its end, pauses included."""

    reply: GeminiReply
    attempts: int
    latency_ms: float


class Answer(NamedTuple):
    """An answer as it is kept and sent. ``json`` holds the members ``results``, ``text`` and ``usage``, no braces."""

    json: bytes
    degraded: bool = False


def aggregate(replies: Sequence[LegReply], *, degraded: bool = False) -> Answer:
    """Put the legs' replies together in their order: texts joined by an empty line, tokens summed."""
    results, texts = [], []
    prompt_tokens = output_tokens = total_tokens = 0
    for (text, model, finish_reason, usage), attempts, latency_ms in replies:
        prompt_tokens += usage[0]
        output_tokens += usage[1]
        total_tokens += usage[2]
        texts.append(text)
        results.append(
            {
                "text": text,
                "model": model,
                "finish_reason": finish_reason,
                "usage": _members(usage),
                "attempts": attempts,
                "latency_ms": round(latency_ms, 3),
            }
        )
    whole = {
        "results": results,
        "text": "\n\n".join(texts),
        "usage": _members((prompt_tokens, output_tokens, total_tokens)),
    }
    return Answer(orjson.dumps(whole)[1:-1], degraded)


def _members(usage: tuple[int, int, int]) -> dict[str, int]:
    return {"prompt_tokens": usage[0], "output_tokens": usage[1], "total_tokens": usage[2]}


Key = tuple[str, bytes]
"""What the cache knows a request by. ``None`` in its place: the cache is to be left alone."""

Identity = Callable[[ProcessRequest], Key]
"""From a validated request to its key."""

Ask = Callable[[ProcessRequest, Key | None], Awaitable[Answer]]
"""From a validated request and its key to its answer."""

Process = Callable[[ProcessRequest, Key | None], Awaitable[Outcome[Answer]]]
"""The same, saying how the answer was come by."""


_DEFAULTS: Final = Parameters()
_NOTHING_GIVEN: Final = (None, None, None, ())


def identity_of(default_model: str, *, shared: bool) -> Identity:
    """Everything that changes the answer, and whose it is; ``shared`` answers belong to nobody."""

    def identity(request: ProcessRequest) -> Key:
        # Reading an attribute of a pydantic model takes as long as five of a plain object.
        given = request.parameters
        sampling = (
            _NOTHING_GIVEN
            if given is DEFAULT_PARAMETERS
            else (given.temperature, given.top_p, given.max_output_tokens, given.stop_sequences)
        )
        return cache_key(
            "" if shared else request.agent_id,
            request.prompts,
            request.model or default_model,
            sampling,
        )

    return identity


def legs_of(request: ProcessRequest, default_model: str) -> list[Leg]:
    """One leg a prompt, in the prompts' order."""
    given = request.parameters
    parameters = (
        _DEFAULTS
        if given is DEFAULT_PARAMETERS
        else Parameters(given.temperature, given.top_p, given.max_output_tokens, given.stop_sequences)
    )
    model = request.model or default_model
    return [Leg(request.agent_id, GeminiCall(prompt, model, parameters)) for prompt in request.prompts]
