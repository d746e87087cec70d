"""What a Gemini client is: one call in, one reply out, failures as typed errors.

Everything that speaks to Gemini, the mock too, implements :class:`GeminiClient`; the pipeline knows nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol


@dataclass(frozen=True, slots=True)
class Parameters:
    """Generation parameters; ``None`` leaves the model's default."""

    temperature: float | None = None
    top_p: float | None = None
    max_output_tokens: int | None = None
    stop_sequences: tuple[str, ...] = ()


# What follows is made for each call: as named tuples, in half the time of frozen dataclasses.


class GeminiCall(NamedTuple):
    """One ``generateContent`` call: one prompt to one model. ``traceparent`` (W3C) goes with it as a header."""

    prompt: str
    model: str
    parameters: Parameters = Parameters()
    traceparent: str | None = None


class Usage(NamedTuple):
    """Tokens of one reply, as Gemini's ``usageMetadata`` counts them."""

    prompt_tokens: int
    output_tokens: int
    total_tokens: int


class GeminiReply(NamedTuple):
    """The text of the first candidate, why it ended (``STOP``, ``MAX_TOKENS``, ...) and what it used."""

    text: str
    model: str
    finish_reason: str
    usage: Usage


class GeminiClient(Protocol):
    """A way to call Gemini. Implementations retry nothing: policies decide.

    Both methods raise :class:`server.errors.UpstreamError` (or a subclass) for whatever goes wrong on the wire,
    ``TimeoutError`` when ``timeout_s`` runs out, and nothing else.
    """

    name: str

    async def generate(self, call: GeminiCall, *, timeout_s: float | None = None) -> GeminiReply:
        """Make one call without blocking the event loop."""
        ...

    def generate_blocking(self, call: GeminiCall, *, timeout_s: float | None = None) -> GeminiReply:
        """Make one call, holding the calling thread until the reply is there."""
        ...

    async def aclose(self) -> None:
        """Release connections. The client is of no use afterwards."""
        ...
