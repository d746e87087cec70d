"""A reply cut into the parts of a stream, each with its time: the same over HTTP and gRPC."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from server.gemini import mock_bodies as bodies
from server.gemini.faults import FaultKind
from server.gemini.protocol import Usage
from server.gemini.simulation import Plan

_MOST_CHUNKS: Final = 8

STREAMED_FAULTS: Final = frozenset(
    {FaultKind.SLOW, FaultKind.RESET, FaultKind.TRUNCATED, FaultKind.MALFORMED, FaultKind.BLOCKED}
)
"""The faults that a stream meets once it has begun; the others come in its place."""


def chunks(plan: Plan, model: str, response_id: str) -> Iterator[tuple[float, bytes]]:
    """The reply in up to eight parts: seconds after the part before, and its JSON."""
    text, tokens, usage = plan.reply.text, plan.reply.usage.output_tokens, plan.reply.usage
    if plan.fault is not None and plan.fault.kind is FaultKind.BLOCKED:
        yield plan.delay_s, bodies.blocked_body(usage.prompt_tokens, model, response_id, lines=False)
        return
    parts = max(1, min(_MOST_CHUNKS, tokens))
    said_chars, said_ms = 0, 0.0
    for part in range(1, parts + 1):
        so_far = tokens * part // parts
        upto_chars, upto_ms = len(text) * part // parts, plan.draw.total_ms(so_far)
        used = Usage(usage.prompt_tokens, so_far, usage.prompt_tokens + so_far)
        finish = plan.reply.finish_reason if part == parts else None
        yield (
            (upto_ms - said_ms) / 1000,
            bodies.chunk_body(text[said_chars:upto_chars], finish, used, model, response_id),
        )
        said_chars, said_ms = upto_chars, upto_ms
