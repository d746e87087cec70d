"""What the server counts about itself: plain integers and lists that only grow, cheap to add to.

How they are shown is the business of ``server.prometheus`` and ``server.live_frames``.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import Final, Literal

from server.gemini.protocol import GeminiReply
from server.lifecycle import Population
from server.log_histogram import LogHistogram
from server.policies.fallback import FallbackDetails
from server.progress import StageSeconds

AttemptOutcome = Literal["ok", "error", "cancelled"]

NO_CACHE_OUTCOME: Final = "none"
"""Stands for the cache's outcome where there is none: errors."""


class Metrics:
    """Counters since the start. ``population`` is who is in flight.

    ``latency`` has the durations of all answered ``POST /process``, errors too, by status and cache outcome, so its
    counts are also how many there were; ``stage_s`` has the sums of their stages; ``attempts_spent`` how many requests
    cost how many attempts, those that cost none left out. ``degraded`` counts lesser answers by their source;
    ``disconnected`` requests lost their client before the answer.
    """

    __slots__ = (
        "attempt_duration",
        "attempts_cancelled",
        "attempts_failed",
        "attempts_spent",
        "degraded",
        "disconnected",
        "latency",
        "output_tokens",
        "population",
        "prompt_tokens",
        "retries",
        "stage_s",
    )

    def __init__(self) -> None:
        self.population = Population()
        self.latency: defaultdict[tuple[int, str], LogHistogram] = defaultdict(LogHistogram)
        self.stage_s = [0.0] * len(StageSeconds._fields)
        self.attempts_spent: defaultdict[int, int] = defaultdict(int)
        self.attempt_duration = LogHistogram()
        self.attempts_failed = 0
        self.attempts_cancelled = 0
        self.prompt_tokens = 0
        self.output_tokens = 0
        self.retries = 0
        self.degraded: defaultdict[str, int] = defaultdict(int)
        self.disconnected = 0

    def requests(self) -> dict[tuple[int, str], int]:
        """Answered ``POST /process`` by status and cache outcome."""
        return {outcome: histogram.count for outcome, histogram in self.latency.items()}

    def gemini_attempts(self) -> dict[AttemptOutcome, int]:
        """Ended Gemini attempts by outcome. Those that went well are the rest of all: nothing is counted twice."""
        failed, cancelled = self.attempts_failed, self.attempts_cancelled
        return {"ok": self.attempt_duration.count - failed - cancelled, "error": failed, "cancelled": cancelled}

    def request_answered(self, status: int, cache: str, stages: StageSeconds, attempts: int) -> None:
        """Count one answered ``POST /process``."""
        # Unrolled: a loop over seven stages takes three times as long.
        sums = self.stage_s
        queue, validate, cache_s, gemini, backoff, aggregate, total = stages
        sums[0] += queue
        sums[1] += validate
        sums[2] += cache_s
        sums[3] += gemini
        sums[4] += backoff
        sums[5] += aggregate
        sums[6] += total
        self.latency[status, cache].add(total)
        if attempts:
            self.attempts_spent[attempts] += 1

    def attempt_ended(
        self, name: str, duration_s: float, reply: GeminiReply | None, error: BaseException | None
    ) -> None:
        """Count one Gemini attempt; the hook of ``track`` around it."""
        if reply is not None:
            prompt_tokens, output_tokens, _ = reply.usage
            self.prompt_tokens += prompt_tokens
            self.output_tokens += output_tokens
        elif isinstance(error, asyncio.CancelledError):
            self.attempts_cancelled += 1
        else:
            self.attempts_failed += 1
        self.attempt_duration.add(duration_s)

    def reply_came_late(self, reply: GeminiReply) -> None:
        """Count the tokens of an attempt that had been counted as cancelled; the hook of mode sync."""
        self.prompt_tokens += reply.usage.prompt_tokens
        self.output_tokens += reply.usage.output_tokens

    def fell_back(self, details: FallbackDetails) -> None:
        """Count one lesser answer; the hook of ``fallback``."""
        self.degraded[details.source.rpartition(".")[2]] += 1
