"""How policies read a failure when the caller does not say: by duck type, with no knowledge of HTTP or Gemini.

Each policy takes these as arguments, so a service with other error types passes its own functions instead.
"""

from __future__ import annotations

from server.errors import CircuitOpen, DeadlineExceeded, Overloaded, UpstreamQuotaExhausted


def is_retryable(error: Exception) -> bool:
    """Whether the same call may succeed a moment later.

    The error's own ``retryable`` attribute decides; without one, only timeouts and broken connections are retryable.
    """
    return bool(getattr(error, "retryable", isinstance(error, TimeoutError | ConnectionError)))


def asked_wait_s(error: Exception) -> float | None:
    """Seconds the failing side asked callers to stay away (``retry_after_s``), or ``None`` when it did not say."""
    wait_s = getattr(error, "retry_after_s", None)
    return float(wait_s) if wait_s is not None else None


def is_failure(error: Exception) -> bool:
    """Whether the upstream is to blame, so that more of these mean it is unwell.

    As :func:`is_retryable`, but an error that does not say counts: a breaker should open on what nobody foresaw.
    """
    return bool(getattr(error, "retryable", True))


def is_unavailable(error: Exception) -> bool:
    """Whether the answer could not be had for now, so that an older or a lesser one is better than none.

    True for whatever is retryable and for an open circuit, overload, a missed deadline and a spent quota. False for a
    refused prompt, a caller over its rate limit, and bugs: those must be seen.
    """
    return is_retryable(error) or isinstance(
        error, CircuitOpen | Overloaded | DeadlineExceeded | UpstreamQuotaExhausted
    )
