"""``POST /process``: one request from its first byte to its reply, through the states of its lifecycle."""

from __future__ import annotations

import asyncio
import logging

from aiohttp import hdrs, web
from multidict import istr

from server.access import ApiKeys, Origins
from server.errors import DeadlineExceeded, Draining, TailgateError
from server.execution import Execution, SyncExecution, Worker
from server.lifecycle import State
from server.metrics import NO_CACHE_OUTCOME, Metrics
from server.models import ProcessRequest
from server.pipeline import Pipeline
from server.problems import problem_reply
from server.process_reply import completed_reply, request_headers
from server.progress import Progress, current_progress
from server.replies import Reply
from server.request_body import read_body, understanding
from server.request_ids import RequestIds

log = logging.getLogger("tailgate")

# istr: looked up without folding its case first.
_REQUEST_ID = istr("X-Request-Id")
_TRACEPARENT = istr("traceparent")


class ProcessRoute:
    """The handler, with everything it needs made at the start.

    ``default_deadline_ms``: the time of requests that bring none, ``None`` where deadlines are off. ``draining`` is set
    when the server shuts down: requests that come after that are answered 503.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        execution: Execution,
        metrics: Metrics,
        *,
        api_keys: ApiKeys,
        origins: Origins,
        ids: RequestIds,
        read_timeout_s: float,
        default_deadline_ms: int | None,
    ) -> None:
        self._lookup, self._process = pipeline.lookup, pipeline.process
        self._understand = understanding(pipeline.identity)
        self._workers = execution if isinstance(execution, SyncExecution) else None
        self._metrics = metrics
        self._api_keys = api_keys
        self._origins = origins
        self._ids = ids
        self._read_timeout_s = read_timeout_s
        self._default_deadline_ms = default_deadline_ms
        self.draining = False

    async def __call__(self, request: web.BaseRequest) -> Reply:
        """Answer, whatever happens, except when the client goes away first."""
        progress = Progress(self._metrics.population)
        headers = request.headers
        request_id = self._ids.request_id(headers.get(_REQUEST_ID))
        trace = self._ids.traceparent(headers.get(_TRACEPARENT))
        worker = None
        try:
            progress.move(State.QUEUED)
            if self.draining:
                raise Draining("the server is shutting down", retry_after_s=1.0)
            if self._api_keys:
                self._api_keys.check(request)
            if self._workers is None:
                progress.move(State.VALIDATING)
            asked, key = self._understand(await read_body(request, timeout_s=self._read_timeout_s))
            if self._workers is not None:
                # Not before: how long it may wait for a worker is in the body.
                worker = await self._take_worker(self._workers, asked, progress)
                progress.move(State.VALIDATING)
            progress.validated_s = progress.clock()
            no_cache = hdrs.CACHE_CONTROL in headers and "no-cache" in headers[hdrs.CACHE_CONTROL].lower()
            outcome = None if no_cache or self._lookup is None else self._lookup(key)
            if outcome is None:
                progress.move(State.PROCESSING)
                current_progress.set(progress)
                outcome = await self._process(asked, None if no_cache else key)
                progress.answered_s = progress.clock()
            progress.move(State.COMPLETED)
        except (asyncio.CancelledError, ConnectionError):
            progress.move(State.FAILED)
            self._metrics.disconnected += 1
            raise
        except Exception as error:
            progress.move(State.FAILED)
            return self._refusal(error, request, progress, request_id, trace)
        finally:
            if worker is not None:
                worker.give_back()
        stages = progress.stages()
        self._metrics.request_answered(200, outcome.status, stages, progress.attempts)
        more = self._origins.headers(request) if self._origins else ""
        return self._last(completed_reply(outcome, stages, progress.attempts, request_id, trace, more))

    async def _take_worker(self, workers: SyncExecution, asked: ProcessRequest, progress: Progress) -> Worker:
        deadline_ms = None
        if self._default_deadline_ms is not None:
            deadline_ms = asked.deadline_ms or self._default_deadline_ms
        spent_s = progress.clock() - progress.started_s
        try:
            async with asyncio.timeout(deadline_ms / 1000 - spent_s if deadline_ms is not None else None):
                return await workers.hold()
        except TimeoutError:
            raise DeadlineExceeded(f"no worker was free within {deadline_ms} ms") from None

    def _refusal(
        self, error: Exception, request: web.BaseRequest, progress: Progress, request_id: str, trace: str
    ) -> Reply:
        if not isinstance(error, TailgateError):
            log.error("a request failed by a bug", exc_info=error, extra={"request_id": request_id})
            error = TailgateError("an error in the server; its log has the details under this request_id")
        stages = progress.stages()
        self._metrics.request_answered(error.status, NO_CACHE_OUTCOME, stages, progress.attempts)
        headers = request_headers(stages, progress.attempts, request_id, trace)
        if self._origins:
            headers += self._origins.headers(request)
        return self._last(problem_reply(error, request_id, headers=headers))

    def _last(self, reply: Reply) -> Reply:
        """While draining, the last one on its connection."""
        if self.draining:
            reply.keep_alive = False
        return reply
