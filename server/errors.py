"""Every error the server can answer with, as a type: its HTTP status, its problem name, whether a retry may help.

``TailgateError`` and below are the whole vocabulary; ``server.problems`` renders them to ``application/problem+json``,
in one place. Policies raise their own subclasses from here and know nothing of HTTP beyond the class attributes.

    TailgateError
    ├── RequestError        the client's fault, refused before any work
    │   ├── MalformedHttp 400, MalformedRequest 400, NoWebSocket 400, Unauthorized 401, ForbiddenOrigin 403
    │   ├── NotFound 404, MethodNotAllowed 405, SlowBody 408, BodyTooLarge 413, UnsupportedMediaType 415
    │   └── InvalidRequest 422
    ├── RateLimited 429, CircuitOpen 503, Overloaded 503, Draining 503, DeadlineExceeded 504
    └── UpstreamError 502
        ├── UpstreamUnavailable 502
        │   └── UpstreamTimeout 504
        └── UpstreamQuotaExhausted 503, UpstreamBlocked 422
"""

# ruff: noqa: N818  # these are named for what is the case; the reader meets them as problem names on the wire

from __future__ import annotations

from typing import ClassVar, NamedTuple


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


class RequestError(TailgateError):
    """The request itself is at fault; asking the same again gets the same answer."""

    status = 400
    problem = "bad-request"
    title = "Bad request"


class MalformedHttp(RequestError):
    """What came is not HTTP/1.1, or more of it than is taken."""

    problem = "malformed-http"
    title = "Malformed HTTP"


class MalformedRequest(RequestError):
    """The body is not JSON, or says one thing twice."""

    problem = "malformed-json"
    title = "Malformed JSON"


class NoWebSocket(RequestError):
    """The route is a WebSocket, and the request does not ask for one."""

    problem = "no-websocket"
    title = "WebSocket expected"


class Unauthorized(RequestError):
    """No API key, or not one of ours."""

    status = 401
    problem = "unauthorized"
    title = "API key required"


class ForbiddenOrigin(RequestError):
    """A browser page of an origin that the settings do not list asked for a WebSocket."""

    status = 403
    problem = "forbidden-origin"
    title = "Origin not allowed"


class NotFound(RequestError):
    """There is no such route."""

    status = 404
    problem = "not-found"
    title = "Not found"


class MethodNotAllowed(RequestError):
    """The route does not take this method; ``allowed`` are those it takes."""

    status = 405
    problem = "method-not-allowed"
    title = "Method not allowed"

    def __init__(self, detail: str, *, allowed: tuple[str, ...]) -> None:
        super().__init__(detail)
        self.allowed = allowed


class SlowBody(RequestError):
    """The body did not arrive within the read timeout."""

    status = 408
    problem = "slow-body"
    title = "Request body too slow"


class BodyTooLarge(RequestError):
    """The body is over the limit."""

    status = 413
    problem = "body-too-large"
    title = "Request body too large"


class UnsupportedMediaType(RequestError):
    """The body is not declared as plain ``application/json``."""

    status = 415
    problem = "unsupported-media-type"
    title = "Unsupported media type"


class FieldError(NamedTuple):
    """One thing wrong with one field: its dotted path, what is wrong, and pydantic's name for that."""

    loc: str
    msg: str
    type: str


class InvalidRequest(RequestError):
    """The body is JSON and not a request; ``errors`` says which fields."""

    status = 422
    problem = "invalid-request"
    title = "Invalid request"

    def __init__(self, detail: str, *, errors: tuple[FieldError, ...]) -> None:
        super().__init__(detail)
        self.errors = errors


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
    """Gemini answered with an error, or not at all. ``upstream_status`` is its HTTP status, 0 if there was no reply."""

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


class UpstreamTimeout(UpstreamUnavailable):
    """Gemini did not answer one attempt within its time."""

    status = 504
    problem = "upstream-timeout"
    title = "Gemini too slow"


class UpstreamQuotaExhausted(UpstreamError):
    """A per-day quota is used up: no retry helps today."""

    status = 503
    problem = "upstream-quota"
    title = "Gemini quota exhausted"


class UpstreamBlocked(UpstreamError):
    """Gemini refused the prompt: it returned ``promptFeedback`` and no candidate. Final."""

    status = 422
    problem = "prompt-blocked"
    title = "Prompt blocked by Gemini"
