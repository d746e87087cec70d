"""One request under way: its state, and where its time goes, stage by stage.

What runs on behalf of a request (policies' hooks, fan-out, attempts) finds it in a context variable, which child tasks
inherit; so nothing of it is passed through policies and clients. A refresh of the cache in the background runs in an
empty context, finds none and leaves the request that set it off alone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from functools import wraps
from types import TracebackType
from typing import Literal, NamedTuple, ParamSpec, TypeVar

from server.lifecycle import Lifecycle, State
from server.policies.track import CallDetails

P = ParamSpec("P")
T = TypeVar("T")


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
    led_s = 0.0
    """Seconds spent inside the cache's miss: this request led."""
    placed_s = 0.0
    """Of those, seconds inside the bulkhead."""
    fan_out_s = 0.0
    """Of those, seconds of the fan-out."""
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

    def stages(self) -> StageSeconds:
        """Where the time went, up to the latest move; to be asked for when the request has ended."""
        ended_s = self.moved_s
        if not self.answered_s and self.validated_s:
            # Answered from the cache before anything was awaited, or failed there.
            waited_s, validated_s = self.seconds[State.QUEUED], self.validated_s
            validate = validated_s - self.started_s - waited_s
            return StageSeconds(waited_s, validate, ended_s - validated_s, 0.0, 0.0, 0.0, ended_s - self.started_s)
        waited_s = self.seconds[State.QUEUED]
        total = ended_s - self.started_s
        queue = waited_s + self.led_s - self.placed_s
        validated_s = self.validated_s or ended_s
        validate = validated_s - self.started_s - waited_s
        cache = (self.answered_s or ended_s) - validated_s - self.led_s
        backoff = self.seconds[State.RETRY]
        gemini = self.fan_out_s - backoff
        rest = total - queue - validate - cache - gemini - backoff
        # Differences of equal clock readings may come out as -1e-17.
        return StageSeconds(
            queue, validate, max(cache, 0.0), max(gemini, 0.0), backoff, rest if rest > 0.0 else 0.0, total
        )


current_progress: ContextVar[Progress | None] = ContextVar("current_progress", default=None)
"""The request that the running code works for, if it works for one."""


def begin_processing() -> None:
    """Take the current request from VALIDATING to PROCESSING, if it is not there yet."""
    progress = current_progress.get()
    if progress is not None and progress.state is State.VALIDATING:
        progress.move(State.PROCESSING)


def mark_answered(details: CallDetails) -> None:
    """Note when the pipeline was done with the current request; the hook of ``track`` around it."""
    progress = current_progress.get()
    if progress is not None:
        progress.answered_s = details.started_s + details.duration_s


def spent_s() -> float:
    """Seconds since the current request came; 0 where there is none."""
    progress = current_progress.get()
    return progress.clock() - progress.started_s if progress is not None else 0.0


def timed(
    part: Literal["led_s", "placed_s", "fan_out_s"],
) -> Callable[[Callable[P, Awaitable[T]]], Callable[P, Awaitable[T]]]:
    """Add the seconds a call takes, however it ends, to that part of the current request's time."""

    def decorate(call: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
        @wraps(call)
        async def timing(*args: P.args, **kwargs: P.kwargs) -> T:
            progress = current_progress.get()
            if progress is None:
                return await call(*args, **kwargs)
            started_s = progress.clock()
            try:
                return await call(*args, **kwargs)
            finally:
                setattr(progress, part, getattr(progress, part) + progress.clock() - started_s)

        return timing

    return decorate
