"""How a request's calls are made: the three modes that Tailgate compares. Policies, models and handlers are the same.

``async``: the legs run concurrently, each awaiting the client. ``sync``: what a thread-per-request server does: a
request holds one of N workers from its start to its end and makes its calls one after another, blocking, in that
worker's thread. ``blocking``: the classic mistake, the same blocking calls on the event loop itself.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from typing import Any, Protocol, TypeVar

from server.gemini.protocol import GeminiCall, GeminiClient, GeminiReply
from server.policies.deadline import remaining_s
from server.settings import Mode

A = TypeVar("A")
R = TypeVar("R")
LateReplyHook = Callable[[GeminiReply], object]


class Execution(Protocol):
    """A mode: how one call is made, and how the legs of a request are run."""

    def call(self, call: GeminiCall, timeout_s: float) -> Awaitable[GeminiReply]:
        """Make one Gemini call; raise what the client raises, ``TimeoutError`` after ``timeout_s``.

        A call that the deadline cannot cancel is not given more time than the deadline leaves either.
        """
        ...

    async def fan_out(self, run: Callable[[A], Coroutine[Any, Any, R]], legs: Sequence[A]) -> list[R]:
        """Run all legs and return their results in order, or raise the first failure and run no further."""
        ...

    def close(self) -> None:
        """Let go of threads. No request may be in flight."""
        ...


class AsyncExecution:
    """All legs at once, in a TaskGroup: the first failure cancels the others and is raised."""

    def __init__(self, client: GeminiClient) -> None:
        self._client = client

    def call(self, call: GeminiCall, timeout_s: float) -> Awaitable[GeminiReply]:
        """Hand over to the client."""
        return self._client.generate(call, timeout_s=timeout_s)

    async def fan_out(self, run: Callable[[A], Coroutine[Any, Any, R]], legs: Sequence[A]) -> list[R]:
        """The first leg in the request's own task, one more task for each other leg."""
        if len(legs) == 1:
            return [await run(legs[0])]
        try:
            async with asyncio.TaskGroup() as group:
                others = [group.create_task(run(leg)) for leg in legs[1:]]
                first = await run(legs[0])
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
        return [first, *[task.result() for task in others]]

    def close(self) -> None:
        """Nothing to let go of."""


class BlockingExecution:
    """One leg after another, each call holding up the event loop and with it every other request."""

    def __init__(self, client: GeminiClient) -> None:
        self._client = client

    async def call(self, call: GeminiCall, timeout_s: float) -> GeminiReply:
        """Call the client and let the loop wait."""
        timeout_s = min(timeout_s, remaining_s())
        return self._client.generate_blocking(call, timeout_s=timeout_s)

    async def fan_out(self, run: Callable[[A], Coroutine[Any, Any, R]], legs: Sequence[A]) -> list[R]:
        """In order."""
        return [await run(leg) for leg in legs]

    def close(self) -> None:
        """Nothing to let go of."""


class Worker:
    """A worker of mode sync. It is free again when it has been given back and its thread is out of all its calls."""

    __slots__ = ("_calls", "_free", "_given_back")

    def __init__(self, free: asyncio.Semaphore) -> None:
        self._free = free
        self._calls = 0
        self._given_back = False

    def runs(self, call: asyncio.Future[GeminiReply]) -> None:
        """It makes a call."""
        self._calls += 1
        call.add_done_callback(self._ended)

    def give_back(self) -> None:
        """Its request has ended, or given up on it."""
        self._given_back = True
        if self._calls == 0:
            self._free.release()

    def _ended(self, call: asyncio.Future[GeminiReply]) -> None:
        if not call.cancelled():
            call.exception()  # taken note of: where the request is gone there is nobody to raise it to
        self._calls -= 1
        if self._given_back and self._calls == 0:
            self._free.release()


class SyncExecution:
    """``threads`` workers. A request holds one (:meth:`hold`) and makes its calls in it, one leg after another.

    A call cannot be taken from a thread: when its request is cancelled, the worker stays taken until the call returns,
    as it does in any thread-per-request server. A reply that comes then was paid for: ``on_late_reply`` is told of it,
    on the loop. A call that still waits for a thread (a hedged request has two in one worker) is not made any more.
    """

    def __init__(self, client: GeminiClient, threads: int, *, on_late_reply: LateReplyHook | None = None) -> None:
        self._client = client
        self._free = asyncio.Semaphore(threads)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="worker")
        self._held: ContextVar[Worker | None] = ContextVar("worker", default=None)
        self._on_late_reply = on_late_reply

    async def hold(self) -> Worker:
        """Wait for a free worker and take it, for the running task and its children, until it is given back."""
        await self._free.acquire()
        worker = Worker(self._free)
        self._held.set(worker)
        return worker

    async def call(self, call: GeminiCall, timeout_s: float) -> GeminiReply:
        """Call the client in the worker's thread; a background refresh, which holds none, takes one for the call."""
        held = self._held.get()
        worker = held or await self.hold()
        try:
            client, ends_at = self._client, time.monotonic() + min(timeout_s, remaining_s())

            def in_thread() -> GeminiReply:
                left_s = ends_at - time.monotonic()
                if left_s <= 0.0:
                    raise TimeoutError("no thread was free in time")
                return client.generate_blocking(call, timeout_s=left_s)

            job = self._pool.submit(in_thread)
            running = asyncio.wrap_future(job)
            worker.runs(running)
            try:
                # Shielded: cancelling the future of an executor marks it done while its thread still works.
                return await asyncio.shield(running)
            except asyncio.CancelledError:
                if not job.cancel() and self._on_late_reply is not None:
                    running.add_done_callback(self._came_late)
                raise
        finally:
            if held is None:
                self._held.set(None)
                worker.give_back()

    def _came_late(self, call: asyncio.Future[GeminiReply]) -> None:
        if self._on_late_reply is not None and not call.cancelled() and call.exception() is None:
            self._on_late_reply(call.result())

    async def fan_out(self, run: Callable[[A], Coroutine[Any, Any, R]], legs: Sequence[A]) -> list[R]:
        """In order."""
        return [await run(leg) for leg in legs]

    def close(self) -> None:
        """End the threads, waiting for the calls they are in."""
        self._pool.shutdown(cancel_futures=True)


def execution_for(
    mode: Mode, client: GeminiClient, *, sync_threads: int, on_late_reply: LateReplyHook | None = None
) -> Execution:
    """The execution of ``mode``. ``on_late_reply`` is for mode sync, the only one in which a reply can come late."""
    match mode:
        case "async":
            return AsyncExecution(client)
        case "sync":
            return SyncExecution(client, sync_threads, on_late_reply=on_late_reply)
        case "blocking":
            return BlockingExecution(client)
