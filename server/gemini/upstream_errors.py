"""From what Gemini answered to the typed error that says so: one mapping for every client and for the mock.

Gemini's errors are ``{"error": {"code", "message", "status", "details": [...]}}``. A 429 may carry ``QuotaFailure``
(a per-day ``quotaId`` is final) and ``RetryInfo.retryDelay``, mostly without a ``Retry-After`` header.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

import orjson

from server.errors import UpstreamError, UpstreamQuotaExhausted, UpstreamUnavailable

RETRYABLE_STATUSES: Final = frozenset({408, 429, 500, 502, 503, 504})
LONGEST_WAIT_S: Final = 86_400.0
"""No wait that an upstream asks for is taken for longer: a day."""

QUOTA_WAIT_S: Final = 3600.0
"""The least wait when a per-day quota is used up: an hour. Google begins the day at midnight in its own time zone."""

_MOST_MESSAGE_CHARS: Final = 240


def error_from_body(status: int, body: bytes, *, retry_after: str | None = None, key: str = "") -> UpstreamError:
    """The error for an HTTP answer other than 200: its ``status``, raw ``body`` and ``Retry-After`` header.

    ``key`` is struck out of the text: Google repeats it in some messages. A body that is no Gemini error is ignored.
    """
    try:
        error = orjson.loads(body)["error"]
        message, code, details = error.get("message", ""), error.get("status", ""), error.get("details", [])
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError, IndexError):
        message, code, details = "", "", []
    return error_from_parts(status, code, message, details, retry_after=retry_after, key=key)


def error_from_parts(
    status: int, code: object, message: object, details: object, *, retry_after: str | None = None, key: str = ""
) -> UpstreamError:
    """The error for HTTP ``status``, Google's ``code`` (``RESOURCE_EXHAUSTED``), ``message`` and JSON ``details``."""
    known = [detail for detail in details if isinstance(detail, dict)] if isinstance(details, list) else []
    words = strike_out(" ".join(f"{message}".split()), key)[:_MOST_MESSAGE_CHARS]
    text = f"Gemini answered {status} {code}".rstrip() + (f": {words}" if words else "")
    wait_s = _retry_delay_s(known)
    if wait_s is None:
        wait_s = retry_after_s(retry_after)
    if status == 429 and _is_per_day(known):
        # What comes with it is for the per-minute quota: waiting so long gets the same answer.
        return UpstreamQuotaExhausted(text, upstream_status=status, retry_after_s=max(wait_s or 0.0, QUOTA_WAIT_S))
    kind = UpstreamUnavailable if status in RETRYABLE_STATUSES else UpstreamError
    return kind(text, upstream_status=status, retry_after_s=wait_s)


def strike_out(text: str, key: str) -> str:
    """``text`` without the API ``key``."""
    return text.replace(key, "[key]") if key else text


def retry_after_s(header: str | None) -> float | None:
    """Seconds to wait by a ``Retry-After`` header (RFC 9110: seconds or a date), at most :data:`LONGEST_WAIT_S`.

    ``None`` if it is absent or unreadable, or a number that no clock knows.
    """
    if not header:
        return None
    if header.strip().isdecimal():
        seconds = float(header)
        return min(seconds, LONGEST_WAIT_S) if math.isfinite(seconds) else None
    try:
        then = parsedate_to_datetime(header)
        seconds = (then.replace(tzinfo=then.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    except (ValueError, OverflowError):  # the latter for a year that does not fit, or does not with its time zone
        return None
    return min(max(0.0, seconds), LONGEST_WAIT_S)


def duration_s(text: object) -> float | None:
    """Seconds of a protobuf duration in JSON (``"45.837906927s"``); ``None`` if it is none."""
    if not isinstance(text, str) or not text.endswith("s"):
        return None
    try:
        seconds = float(text[:-1])
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def _retry_delay_s(details: Sequence[dict[str, Any]]) -> float | None:
    for detail in details:
        if f"{detail.get('@type')}".endswith("google.rpc.RetryInfo"):
            wait_s = duration_s(detail.get("retryDelay"))
            return min(wait_s, LONGEST_WAIT_S) if wait_s is not None else None
    return None


def _is_per_day(details: Sequence[dict[str, Any]]) -> bool:
    for detail in details:
        if f"{detail.get('@type')}".endswith("google.rpc.QuotaFailure"):
            violations = detail.get("violations")
            return isinstance(violations, list) and any("PerDay" in f"{violation}" for violation in violations)
    return False
