"""One request under way: its state, and where its time goes, stage by stage.

What runs on behalf of a request (policies' hooks, fan-out, attempts) finds it in a context variable, which child tasks
inherit; so nothing of it is passed through policies and clients. A refresh of the cache in the background runs in an
empty context and so leaves the request that set it off alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import TracebackType
from typing import NamedTuple

from server.lifecycle import Lifecycle, Population, State


class StageSeconds(NamedTuple):
    """The stages of ``Server-Timing``, in its order, in seconds. The first six sum to ``total``.

    ``queue``: waiting for a worker and for a bulkhead's place. ``validate``: reading and checking the body. ``cache``:
    looking up, and waiting for another request's call. ``gemini``: the fan-out, less ``backoff``, in which at least one
    leg was pausing before a retry. ``aggregate``: everything else, from replies to bytes.
    """

    queue: float
    validate: float
    cache: float
    gemini: float
    backoff: float
    aggregate: float
    total: float


class Progress(Lifecycle):
    """A request's lifecycle, with the marks that tell its stages apart and the attempts made on its behalf."""

    # Class attributes are defaults: a request that is answered from the cache sets only the first of them.
    validated_s = 0.0
    """When the body had been validated; 0 before."""
    answered_s = 0.0
    """When the pipeline had the answer; 0 before."""
    place_wait_s = 0.0
    """Seconds it has waited for a bulkhead's place."""
    fan_out_s = 0.0
    """Seconds of the fan-out."""
    aggregate_s = 0.0
    """Seconds of putting the legs' replies together."""
    _lap_s = 0.0
    attempts = 0
    """Gemini attempts of the leg that has made the most."""
    _backing_off = 0

    def __enter__(self) -> None:
        """A leg pauses before a retry: RETRY while at least one does."""
        self._backing_off += 1
        if self._backing_off == 1:
            self.move(State.RETRY)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._backing_off -= 1
        if self._backing_off == 0:
            self.move(State.PROCESSING)

    @contextmanager
    def waiting_for_a_place(self) -> Iterator[None]:
        """It stands in the bulkhead's queue."""
        since_s = self.clock()
        try:
            yield
        finally:
            self.place_wait_s += self.clock() - since_s

    def begin_fan_out(self) -> None:
        """It has its place."""
        self._lap_s = self.clock()

    def end_fan_out(self) -> None:
        """All legs have ended, or one has failed."""
        now = self.clock()
        self.fan_out_s += now - self._lap_s
        self._lap_s = now

    def end_aggregate(self) -> None:
        """The legs' replies are one answer."""
        self.aggregate_s += self.clock() - self._lap_s

    def stages(self) -> StageSeconds:
        """Where the time went, up to the latest move; to be asked for when the request has ended."""
        started_s, ended_s, waited_s = self.started_s, self.moved_s, self.seconds[State.QUEUED]
        validated_s, answered_s = self.validated_s or ended_s, self.answered_s or ended_s
        validate, asked_s = validated_s - started_s - waited_s, answered_s - validated_s
        if not self.seconds[State.PROCESSING]:
            # Answered from the cache before anything was awaited, or failed before that.
            return StageSeconds(waited_s, validate, asked_s, 0.0, 0.0, 0.0, ended_s - started_s)
        backoff = self.seconds[State.RETRY]
        aggregate = self.aggregate_s + ended_s - answered_s
        cache = asked_s - self.place_wait_s - self.fan_out_s - self.aggregate_s
        # Differences of equal clock readings may come out as -1e-17.
        return StageSeconds(
            waited_s + self.place_wait_s,
            validate,
            max(cache, 0.0),
            max(self.fan_out_s - backoff, 0.0),
            backoff,
            aggregate,
            ended_s - started_s,
        )


current_progress: ContextVar[Progress | None] = ContextVar("current_progress", default=None)
"""The request that the running code works for, if it works for one."""


def progress_in_background() -> Progress:
    """Make a progress, in PROCESSING, for work that no request waits for. No population counts it."""
    progress = Progress(Population())
    for state in (State.QUEUED, State.VALIDATING, State.PROCESSING):
        progress.move(state)
    current_progress.set(progress)
    return progress
