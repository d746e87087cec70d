"""The reply to ``POST /process``: kept bytes in the middle, this request's own members and headers around them."""

from __future__ import annotations

from math import floor

import orjson

from server.answers import Answer
from server.policies.cache import Outcome
from server.progress import StageSeconds
from server.replies import Reply

_SEVEN = "%.3f %.3f %.3f %.3f %.3f %.3f %.3f"


def completed_reply(
    outcome: Outcome[Answer], stages: StageSeconds, attempts: int, request_id: str, trace: str, more_headers: str
) -> Reply:
    """Status 200. ``more_headers`` are header lines, each with its CRLF."""
    answer, status, ttl_s = outcome
    queue, validate, cache, gemini, backoff, aggregate, total = in_milliseconds(stages)
    end = (
        f',"cache":"{status}","attempts":{attempts},"timings_ms":{{"queue":{queue},"validate":{validate},"cache":{cache},'
        f'"gemini":{gemini},"backoff":{backoff},"aggregate":{aggregate},"total":{total}}},'
        f'"degraded":{"true" if answer.degraded else "false"}}}'
    )
    body = b'{"request_id":%b,"state":"COMPLETED",%b%b' % (orjson.dumps(request_id), answer.json, end.encode())
    headers = (
        f"Cache-Status: {_cache_status(status, ttl_s)}\r\n"
        f"Server-Timing: queue;dur={queue}, validate;dur={validate}, cache;dur={cache}, gemini;dur={gemini},"
        f" backoff;dur={backoff}, aggregate;dur={aggregate}, total;dur={total}\r\n"
        f"X-Attempts: {attempts}\r\nX-Request-Id: {request_id}\r\ntraceparent: {trace}\r\n{more_headers}"
    )
    return Reply(200, body, headers=headers)


def request_headers(stages: StageSeconds, attempts: int, request_id: str, trace: str) -> str:
    """The header lines that errors have too."""
    timing = ", ".join(f"{stage};dur={ms}" for stage, ms in zip(stages._fields, in_milliseconds(stages), strict=True))
    return (
        f"Server-Timing: {timing}\r\nX-Attempts: {attempts}\r\nX-Request-Id: {request_id}\r\ntraceparent: {trace}\r\n"
    )


def in_milliseconds(stages: StageSeconds) -> list[str]:
    """Each stage with three decimals, as header and body have it: formatted at one go, which takes half the time."""
    return (_SEVEN % tuple([seconds * 1000 for seconds in stages])).split(" ")


def _cache_status(status: str, ttl_s: float) -> str:
    """``Cache-Status`` as RFC 9211 writes it; a negative ttl is that of a stale answer."""
    if status in ("hit", "stale"):
        return f"tailgate; hit; ttl={floor(ttl_s)}"
    if status == "bypass":
        return "tailgate; fwd=bypass"
    return "tailgate; fwd=miss; stored" if status == "miss" else "tailgate; fwd=miss; collapsed"
