"""Gemini in this process: the default client, a real implementation of the protocol on the shared simulation."""

from __future__ import annotations

import asyncio
import time

from server.gemini.protocol import GeminiCall, GeminiReply
from server.gemini.simulation import Simulation


class MockGemini:
    """A :class:`server.gemini.protocol.GeminiClient` that waits as Gemini would and answers what ``simulation`` plans.

    ``profile`` names a latency profile (``lesson``: 150 to 300 ms a call); the same ``seed`` gives the same answers.
    """

    name = "mock"

    def __init__(self, profile: str = "lesson", *, seed: int = 0) -> None:
        self._simulation = Simulation(profile, seed=seed)

    def __repr__(self) -> str:
        return f"MockGemini(profile={self._simulation.profile.name!r}, seed={self._simulation.seed})"

    async def generate(self, call: GeminiCall, *, timeout_s: float | None = None) -> GeminiReply:
        """Answer after the planned delay, held by a timer of the event loop."""
        simulation = self._simulation
        plan = simulation.begin(call)
        try:
            if timeout_s is not None and plan.delay_s > timeout_s:
                await asyncio.sleep(timeout_s)
                raise TimeoutError(f"mock Gemini did not answer within {timeout_s:g} s")
            if plan.delay_s:
                await asyncio.sleep(plan.delay_s)
        finally:
            simulation.end()
        return plan.reply

    def generate_blocking(self, call: GeminiCall, *, timeout_s: float | None = None) -> GeminiReply:
        """Answer after the planned delay, sleeping in the calling thread."""
        simulation = self._simulation
        plan = simulation.begin(call)
        try:
            if timeout_s is not None and plan.delay_s > timeout_s:
                time.sleep(timeout_s)
                raise TimeoutError(f"mock Gemini did not answer within {timeout_s:g} s")
            if plan.delay_s:
                time.sleep(plan.delay_s)
        finally:
            simulation.end()
        return plan.reply

    async def aclose(self) -> None:
        """Nothing to release."""
