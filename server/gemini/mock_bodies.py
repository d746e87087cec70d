"""The JSON that Gemini's REST surface answers with, as bytes: replies, stream chunks, token counts and errors."""

from __future__ import annotations

from typing import Any, Final

import orjson

from server.gemini.faults import FaultKind, FaultWindow
from server.gemini.protocol import GeminiReply, Usage

INVALID_KEY: Final = "invalid"
"""The one API key that the mock refuses; every other one is as good as the next."""

_RPC: Final = "type.googleapis.com/google.rpc."
_LIMITS_PAGE: Final = "https://ai.google.dev/gemini-api/docs/rate-limits"
_STATUS_CODES: Final = {
    400: "INVALID_ARGUMENT",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
}


def reply_body(reply: GeminiReply, response_id: str) -> bytes:
    """A whole ``GenerateContentResponse``, laid out over lines as Google does."""
    return _RAW_REPLY % (
        orjson.dumps(reply.text),
        reply.finish_reason.encode(),
        reply.usage.prompt_tokens,
        reply.usage.output_tokens,
        reply.usage.total_tokens,
        reply.usage.prompt_tokens,
        reply.usage.output_tokens,
        orjson.dumps(reply.model),
        response_id.encode(),
    )


_RAW_REPLY: Final = b"""{
  "candidates": [
    {
      "content": {
        "parts": [
          {
            "text": %b
          }
        ],
        "role": "model"
      },
      "finishReason": "%b",
      "index": 0
    }
  ],
  "usageMetadata": {
    "promptTokenCount": %d,
    "candidatesTokenCount": %d,
    "totalTokenCount": %d,
    "promptTokensDetails": [
      {
        "modality": "TEXT",
        "tokenCount": %d
      }
    ],
    "candidatesTokensDetails": [
      {
        "modality": "TEXT",
        "tokenCount": %d
      }
    ]
  },
  "modelVersion": %b,
  "responseId": "%b"
}
"""


def chunk_body(text: str, finish_reason: str | None, usage: Usage, model: str, response_id: str) -> bytes:
    """One chunk of a stream: ``text`` is what is new, ``usage`` so far; only the last has a finish reason."""
    candidate: dict[str, Any] = {"content": {"parts": [{"text": text}], "role": "model"}}
    if finish_reason:
        candidate["finishReason"] = finish_reason
    candidate["index"] = 0
    return orjson.dumps(
        {
            "candidates": [candidate],
            "usageMetadata": {
                "promptTokenCount": usage.prompt_tokens,
                "candidatesTokenCount": usage.output_tokens,
                "totalTokenCount": usage.total_tokens,
                "promptTokensDetails": [{"modality": "TEXT", "tokenCount": usage.prompt_tokens}],
            },
            "modelVersion": model,
            "responseId": response_id,
        }
    )


def blocked_body(prompt_tokens: int, model: str, response_id: str, *, lines: bool = True) -> bytes:
    """The answer to a prompt that is not let through: status 200, no candidates; in one line for a stream."""
    answer = {
        "promptFeedback": {"blockReason": "PROHIBITED_CONTENT"},
        "usageMetadata": {
            "promptTokenCount": prompt_tokens,
            "totalTokenCount": prompt_tokens,
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": prompt_tokens}],
        },
        "modelVersion": model,
        "responseId": response_id,
    }
    return _lines(answer) if lines else orjson.dumps(answer)


def count_body(tokens: int) -> bytes:
    """A ``CountTokensResponse``."""
    return _lines({"totalTokens": tokens, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": tokens}]})


def error_body(status: int, message: str, details: list[dict[str, Any]] | None = None) -> bytes:
    """Google's error envelope for an HTTP ``status``."""
    error: dict[str, Any] = {"code": status, "message": message, "status": _STATUS_CODES[status]}
    if details:
        error["details"] = details
    return _lines({"error": error})


def bad_request(message: str, field: str | None = None) -> bytes:
    """A 400, with the field violation that Google adds when a field is at fault."""
    violations = [{"field": field, "description": message}] if field is not None else []
    details = [{"@type": _RPC + "BadRequest", "fieldViolations": violations}] if violations else None
    return error_body(400, message, details)


def no_key() -> bytes:
    """The 403 that a call without an API key gets."""
    return error_body(
        403,
        "Method doesn't allow unregistered callers (callers without established identity). Please use API Key or other "
        "form of API consumer identity to call this API.",
    )


def invalid_key() -> bytes:
    """The 400 that a wrong API key gets."""
    message = "API key not valid. Please pass a valid API key."
    details: list[dict[str, Any]] = [
        {
            "@type": _RPC + "ErrorInfo",
            "reason": "API_KEY_INVALID",
            "domain": "googleapis.com",
            "metadata": {"service": "generativelanguage.googleapis.com"},
        },
        {"@type": _RPC + "LocalizedMessage", "locale": "en-US", "message": message},
    ]
    return error_body(400, message, details)


def fault_answer(fault: FaultWindow, model: str) -> tuple[int, bytes] | None:
    """Status and body of a fault that Gemini answers as an error; ``None`` for one that is not an error body."""
    match fault.kind:
        case FaultKind.RATE_LIMIT:
            return 429, _quota_body("GenerateRequestsPerMinutePerProjectPerModel", model, "1000", fault.retry_after_s)
        case FaultKind.QUOTA:
            return 429, _quota_body("GenerateRequestsPerDayPerProjectPerModel-FreeTier", model, "250", None)
        case FaultKind.UNAVAILABLE:
            return 503, error_body(503, "The model is overloaded. Please try again later.")
        case FaultKind.INTERNAL:
            return 500, error_body(
                500, "An internal error has occurred. Please retry or report in the developer forum."
            )
        case _:
            return None


def _quota_body(quota_id: str, model: str, value: str, retry_after_s: float | None) -> bytes:
    metric = "generativelanguage.googleapis.com/generate_content_requests"
    violation = {
        "quotaMetric": metric,
        "quotaId": quota_id,
        "quotaDimensions": {"location": "global", "model": model},
        "quotaValue": value,
    }
    help_link = {"description": "Learn more about Gemini API quotas", "url": _LIMITS_PAGE}
    message = (
        "You exceeded your current quota, please check your plan and billing details. For more information on this "
        f"error, head to: {_LIMITS_PAGE}.\n* Quota exceeded for metric: {metric}, limit: {value}, model: {model}"
    )
    details: list[dict[str, Any]] = [
        {"@type": _RPC + "QuotaFailure", "violations": [violation]},
        {"@type": _RPC + "Help", "links": [help_link]},
    ]
    if retry_after_s is not None:
        message += f"\nPlease retry in {retry_after_s:.9f}s."
        details.append({"@type": _RPC + "RetryInfo", "retryDelay": f"{retry_after_s:.9f}s"})
    return error_body(429, message, details)


def _lines(value: dict[str, Any]) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
