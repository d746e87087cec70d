"""Errors as ``application/problem+json`` (RFC 9457): the one place that renders them."""

from __future__ import annotations

import math
from typing import Any

import orjson

from server.errors import InvalidRequest, MethodNotAllowed, TailgateError, Unauthorized
from server.replies import Reply

PROBLEM_JSON = "application/problem+json"

_LONGEST_WAIT_S = 86_400


def problem_reply(error: TailgateError, request_id: str, *, headers: str = "") -> Reply:
    """``error`` as a reply. ``headers`` are more header lines, each with its CRLF.

    429 and 503 carry ``Retry-After`` in whole seconds, rounded up: what the error computed, or 1 s where it could not,
    at most a day.
    A connection whose body was not read to its end is closed.
    """
    members: dict[str, Any] = {
        "type": f"urn:tailgate:error:{error.problem}",
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "request_id": request_id,
    }
    if isinstance(error, InvalidRequest):
        members["errors"] = [field._asdict() for field in error.errors]
    elif error.status == 422:
        members["errors"] = [{"loc": "prompts", "msg": error.detail, "type": error.problem}]
    if error.status in (429, 503):
        headers += f"Retry-After: {_whole_seconds(error.retry_after_s)}\r\n"
    if isinstance(error, MethodNotAllowed):
        headers += f"Allow: {', '.join(error.allowed)}\r\n"
    if isinstance(error, Unauthorized):
        headers += 'WWW-Authenticate: ApiKey realm="tailgate"\r\n'
    body = orjson.dumps(members, default=str)
    return Reply(error.status, body, headers=headers, content_type=PROBLEM_JSON, close=error.status in (408, 413))


def _whole_seconds(wait_s: float | None) -> int:
    # Compared this way round, a NaN is 1 too: no reply fails for its Retry-After.
    return math.ceil(min(wait_s, _LONGEST_WAIT_S)) if wait_s is not None and wait_s > 1.0 else 1
