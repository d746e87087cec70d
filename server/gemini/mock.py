"""Gemini in this process: the default client, a real implementation of the protocol on the shared simulation."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from server.errors import UpstreamBlocked, UpstreamUnavailable
from server.gemini.faults import NO_FAULTS, FaultKind, FaultScript, FaultWindow
from server.gemini.mock_bodies import fault_answer
from server.gemini.protocol import GeminiCall, GeminiReply
from server.gemini.simulation import Simulation
from server.gemini.upstream_errors import error_from_body


class MockGemini:
    """A :class:`server.gemini.protocol.GeminiClient` that waits as Gemini would and answers what was simulated.

    ``profile`` names a latency profile (``lesson``: 150 to 300 ms a call); the same ``seed`` gives the same answers.
    ``faults`` run on ``clock`` (seconds) from construction. Raises ``ValueError`` for an unknown profile.
    """

    name = "mock"

    def __init__(
        self,
        profile: str = "lesson",
        *,
        seed: int = 0,
        faults: FaultScript = NO_FAULTS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._faults = faults
        self._simulation = Simulation(profile, seed=seed, faults=faults, clock=clock)

    def __repr__(self) -> str:
        return f"MockGemini(profile={self._simulation.profile.name!r}, seed={self._simulation.seed})"

    async def generate(self, call: GeminiCall, *, timeout_s: float | None = None) -> GeminiReply:
        """Answer after the planned delay, held by a timer of the event loop."""
        plan = self._simulation.begin(call)
        try:
            if timeout_s is not None and plan.delay_s > timeout_s:
                await asyncio.sleep(timeout_s)
                raise _timed_out(timeout_s)
            if plan.delay_s:
                await asyncio.sleep(plan.delay_s)
        finally:
            self._simulation.end()
        if plan.fault is not None:
            _raise(plan.fault, call.model)
        return plan.reply

    def generate_blocking(self, call: GeminiCall, *, timeout_s: float | None = None) -> GeminiReply:
        """Answer after the planned delay, sleeping in the calling thread."""
        plan = self._simulation.begin(call)
        try:
            if timeout_s is not None and plan.delay_s > timeout_s:
                time.sleep(timeout_s)
                raise _timed_out(timeout_s)
            if plan.delay_s:
                time.sleep(plan.delay_s)
        finally:
            self._simulation.end()
        if plan.fault is not None:
            _raise(plan.fault, call.model)
        return plan.reply

    def restart_faults(self) -> FaultScript:
        """Run the script of faults from its beginning again; returns the script."""
        self._simulation.restart_faults()
        return self._faults

    async def aclose(self) -> None:
        """Nothing to release."""


def _timed_out(timeout_s: float) -> TimeoutError:
    return TimeoutError(f"Gemini did not answer within {timeout_s:g} s")


def _raise(fault: FaultWindow, model: str) -> None:
    """Raise what a client on the wire would for ``fault``; nothing for one that only delays."""
    if answer := fault_answer(fault, model):
        raise error_from_body(*answer)
    match fault.kind:
        case FaultKind.BLOCKED:
            raise UpstreamBlocked("Gemini blocked the prompt: PROHIBITED_CONTENT", upstream_status=200)
        case FaultKind.HANG | FaultKind.RESET:
            raise UpstreamUnavailable("Gemini closed the connection without an answer")
        case FaultKind.TRUNCATED:
            raise UpstreamUnavailable("Gemini's answer was cut short", upstream_status=200)
        case FaultKind.MALFORMED:
            raise UpstreamUnavailable("Gemini's answer is not JSON", upstream_status=200)
