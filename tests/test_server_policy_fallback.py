"""Fallback: which failures get a lesser answer, from whom, and that it always says what it is."""

from __future__ import annotations

import pytest

from server.errors import (
    CircuitOpen,
    DeadlineExceeded,
    Overloaded,
    RateLimited,
    TailgateError,
    UpstreamBlocked,
    UpstreamQuotaExhausted,
    UpstreamUnavailable,
)
from server.policies.fallback import FallbackDetails, fallback


def mark(answer: str, details: FallbackDetails) -> str:
    return f"{answer} (degraded by {type(details.error).__name__}, from {details.source.rpartition('.')[2]})"


async def nothing(prompt: str) -> str | None:
    return None


async def failing(prompt: str) -> str:
    raise UpstreamUnavailable("down as well")


async def canned(prompt: str) -> str:
    return f"canned {prompt}"


async def buggy(prompt: str) -> str:
    raise KeyError("bug")


def failing_with(error: Exception, *alternatives: object, told: list[FallbackDetails] | None = None):
    @fallback(*alternatives, mark=mark, on_fallback=told.append if told is not None else None)  # type: ignore[arg-type]
    async def call(prompt: str) -> str:
        raise error

    return call


async def test_an_answer_that_can_be_had_is_left_alone() -> None:
    @fallback(canned, mark=mark)
    async def call(prompt: str) -> str:
        return f"full {prompt}"

    assert await call("p") == "full p"


@pytest.mark.parametrize(
    "error_type", [UpstreamUnavailable, UpstreamQuotaExhausted, CircuitOpen, Overloaded, DeadlineExceeded]
)
async def test_what_is_unavailable_gets_the_lesser_answer_marked(error_type: type[TailgateError]) -> None:
    told: list[FallbackDetails] = []
    error = error_type("not now")
    answer = await failing_with(error, canned, told=told)("p")
    assert answer == f"canned p (degraded by {error_type.__name__}, from canned)"
    assert [(details.source, details.error) for details in told] == [("canned", error)]


@pytest.mark.parametrize("error", [UpstreamBlocked("refused"), RateLimited("yours"), KeyError("bug")])
async def test_refusals_and_bugs_are_seen(error: Exception) -> None:
    with pytest.raises(type(error)) as raised:
        await failing_with(error, canned)("p")
    assert raised.value is error


async def test_alternatives_are_asked_in_turn() -> None:
    answer = await failing_with(CircuitOpen("open"), nothing, failing, canned)("p")
    assert answer == "canned p (degraded by CircuitOpen, from canned)"


async def test_with_no_lesser_answer_the_calls_own_error_is_raised() -> None:
    error = CircuitOpen("open", retry_after_s=3.0)
    with pytest.raises(CircuitOpen) as raised:
        await failing_with(error, nothing, failing)("p")
    assert raised.value is error


async def test_a_bug_in_an_alternative_is_not_hidden_by_the_next_one() -> None:
    with pytest.raises(KeyError):
        await failing_with(CircuitOpen("open"), buggy, canned)("p")


def test_a_fallback_onto_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        fallback(mark=mark)
