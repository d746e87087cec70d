"""Every error the server can answer with, as a type: its HTTP status, its problem name, whether a retry may help.

``TailgateError`` and below are the whole vocabulary; ``server.app`` renders them to ``application/problem+json`` in one
place. Policies raise their own subclasses from here and know nothing of HTTP beyond the class attributes.
"""

from __future__ import annotations

from typing import ClassVar


class TailgateError(Exception):
    """Base of all typed errors. ``retry_after_s`` is when a caller may come back, where that is known."""

    status: ClassVar[int] = 500
    problem: ClassVar[str] = "internal"
    title: ClassVar[str] = "Internal error"
    retryable: ClassVar[bool] = False

    def __init__(self, detail: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.retry_after_s = retry_after_s


class RateLimited(TailgateError):
    """A rate limit of ours refused the call."""

    status = 429
    problem = "rate-limited"
    title = "Rate limit exceeded"


class CircuitOpen(TailgateError):
    """The circuit breaker is open: Gemini is not called for now."""

    status = 503
    problem = "circuit-open"
    title = "Circuit open"


class Overloaded(TailgateError):
    """The bulkhead's places and its queue are full."""

    status = 503
    problem = "overloaded"
    title = "Overloaded"


class Draining(TailgateError):
    """The server is shutting down and takes no new work."""

    status = 503
    problem = "draining"
    title = "Draining"


class DeadlineExceeded(TailgateError):
    """The request's time budget ran out."""

    status = 504
    problem = "deadline-exceeded"
    title = "Deadline exceeded"


class UpstreamError(TailgateError):
    """Gemini answered with an error, or not at all. ``upstream_status`` is its HTTP status, 0 when there was no reply."""

    status = 502
    problem = "upstream-error"
    title = "Gemini failed"

    def __init__(self, detail: str, *, upstream_status: int = 0, retry_after_s: float | None = None) -> None:
        super().__init__(detail, retry_after_s=retry_after_s)
        self.upstream_status = upstream_status


class UpstreamUnavailable(UpstreamError):
    """A failure that may pass: 408, 429, 500, 502, 503, 504, a reset, a timeout, a body cut short."""

    problem = "upstream-unavailable"
    retryable = True


class UpstreamQuotaExhausted(UpstreamError):
    """A per-day quota is used up: no retry helps today."""

    status = 503
    problem = "upstream-quota"
    title = "Gemini quota exhausted"


class UpstreamBlocked(UpstreamError):
    """Gemini refused the prompt (``promptFeedback.blockReason``) or returned no candidate. Final."""

    status = 422
    problem = "prompt-blocked"
    title = "Prompt blocked by Gemini"
