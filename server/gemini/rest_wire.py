"""Gemini's REST wire as a client sees it: a call to a URL and a body, an answer to a reply or a typed error."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final
from urllib.parse import quote

import orjson

from server.errors import UpstreamBlocked, UpstreamUnavailable
from server.gemini.protocol import GeminiCall, GeminiReply, Parameters, Usage
from server.gemini.upstream_errors import error_from_body

REAL_BASE_URL: Final = "https://generativelanguage.googleapis.com"
"""Where Google serves the Gemini API."""

NO_REPLY: Final = "Gemini's answer has neither a candidate nor feedback on the prompt"
"""What is said of a 200 that is not a reply."""

NO_KEY: Final = "no-key"
"""Sent in place of an API key to an endpoint that needs none, such as the mock."""


@lru_cache(maxsize=256)
def call_path(model: str) -> str:
    """The path of ``generateContent`` for ``model``; no character of a model's name can leave its segment."""
    return f"/v1beta/models/{quote(model, safe='')}:generateContent"


def encode_call(call: GeminiCall) -> bytes:
    """The JSON body of a call."""
    return b'{"contents":[{"role":"user","parts":[{"text":%b}]}]%b}' % (
        orjson.dumps(call.prompt),
        _generation_config(call.parameters),
    )


@lru_cache(maxsize=256)
def _generation_config(parameters: Parameters) -> bytes:
    config = {
        "temperature": parameters.temperature,
        "topP": parameters.top_p,
        "maxOutputTokens": parameters.max_output_tokens,
        "stopSequences": list(parameters.stop_sequences) or None,
    }
    given = {name: value for name, value in config.items() if value is not None}
    return b',"generationConfig":' + orjson.dumps(given) if given else b""


def decode_answer(
    call: GeminiCall, status: int, body: bytes, *, retry_after: str | None = None, key: str = ""
) -> GeminiReply:
    """The reply in a whole HTTP answer to ``call``, or the typed error that it means. ``key`` never enters a text."""
    if status != 200:
        raise error_from_body(status, body, retry_after=retry_after, key=key)
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise UpstreamUnavailable("Gemini's answer is not JSON", upstream_status=200) from None
    try:
        return read_reply(answer, call)
    except (AttributeError, KeyError, TypeError, IndexError):
        raise UpstreamUnavailable("Gemini's answer has another shape than it should", upstream_status=200) from None


def read_reply(answer: dict[str, Any], call: GeminiCall) -> GeminiReply:
    """The reply in a ``GenerateContentResponse``. Raises :class:`server.errors.UpstreamBlocked` when it has none.

    Thinking tokens count as output: they are billed as such. ``null`` is as good as absent. Raises
    :class:`server.errors.UpstreamUnavailable` for neither candidates nor feedback on the prompt, ``TypeError`` and its
    like for a wrong shape.
    """
    candidates = answer.get("candidates")
    if not candidates:
        feedback = answer.get("promptFeedback")
        if feedback is None:
            raise UpstreamUnavailable(NO_REPLY, upstream_status=200)
        reason = feedback.get("blockReason")
        text = f"Gemini blocked the prompt: {reason}" if reason else "Gemini returned no candidate"
        raise UpstreamBlocked(text, upstream_status=200)
    first = candidates[0]
    parts = (first.get("content") or {}).get("parts") or []
    if len(parts) == 1 and "thought" not in parts[0]:
        text = parts[0].get("text", "")
    else:
        text = "".join(part.get("text", "") for part in parts if not part.get("thought"))
    used = answer.get("usageMetadata") or {}
    prompt_tokens = used.get("promptTokenCount") or 0
    output_tokens = (used.get("candidatesTokenCount") or 0) + (used.get("thoughtsTokenCount") or 0)
    total_tokens = used.get("totalTokenCount") or prompt_tokens + output_tokens
    model, finish = answer.get("modelVersion") or call.model, first.get("finishReason") or "STOP"
    if type(text) is not str or type(model) is not str or type(finish) is not str:
        raise TypeError("a text of the reply has another type than it should")
    if type(prompt_tokens) is not int or type(output_tokens) is not int or type(total_tokens) is not int:
        raise TypeError("a count of the reply has another type than it should")
    return GeminiReply(text, model, finish, Usage(prompt_tokens, output_tokens, total_tokens))
