"""``POST /process``: one request from its first byte to its reply, through the states of its lifecycle."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from math import floor

import orjson
from aiohttp import web

from server.access import ApiKeys, Origins
from server.answers import Answer, Process
from server.errors import DeadlineExceeded, Draining, TailgateError
from server.execution import Execution, SyncExecution, Worker
from server.lifecycle import State
from server.metrics import NO_CACHE_OUTCOME, Metrics
from server.policies.cache import Outcome
from server.problems import problem_reply
from server.progress import Progress, StageSeconds, current_progress
from server.replies import Reply
from server.request_body import parse_request, read_body
from server.request_ids import request_id_source, traceparent

log = logging.getLogger("tailgate")

_TAIL_OF_BODY = (
    ',"cache":"{}","attempts":{},"timings_ms":{{"queue":{},"validate":{},"cache":{},"gemini":{},"backoff":{},'
    '"aggregate":{},"total":{}}},"degraded":{}}}'
)
_HEADERS = (
    "Server-Timing: queue;dur={}, validate;dur={}, cache;dur={}, gemini;dur={}, backoff;dur={}, aggregate;dur={},"
    " total;dur={}\r\nX-Attempts: {}\r\nX-Request-Id: {}\r\ntraceparent: {}\r\n"
)


class ProcessRoute:
    """The handler, with everything it needs made at the start.

    ``draining`` is set when the server shuts down: requests that come after that are answered 503.
    """

    def __init__(
        self,
        process: Process,
        execution: Execution,
        metrics: Metrics,
        *,
        api_keys: ApiKeys,
        origins: Origins,
        read_timeout_s: float,
        queue_timeout_s: float,
        request_id: Callable[[str | None], str] | None = None,
    ) -> None:
        self._process = process
        self._workers = execution if isinstance(execution, SyncExecution) else None
        self._metrics = metrics
        self._api_keys = api_keys
        self._origins = origins
        self._read_timeout_s = read_timeout_s
        self._queue_timeout_s = queue_timeout_s
        self._request_id = request_id or request_id_source()
        self.draining = False

    async def __call__(self, request: web.BaseRequest) -> Reply:
        """Answer, whatever happens, except when the client goes away first."""
        progress = Progress(self._metrics.population)
        current_progress.set(progress)
        headers = request.headers
        request_id = self._request_id(headers.get("X-Request-Id"))
        trace = traceparent(headers.get("traceparent"))
        worker = None
        try:
            progress.move(State.QUEUED)
            if self.draining:
                raise Draining("the server is shutting down", retry_after_s=1.0)
            if self._api_keys:
                self._api_keys.check(request)
            if self._workers is not None:
                worker = await self._take_worker(self._workers)
            progress.move(State.VALIDATING)
            body = await read_body(request, timeout_s=self._read_timeout_s)
            asked = parse_request(body)
            progress.validated_s = progress.clock()
            outcome = await self._process(asked, "no-cache" in headers.get("Cache-Control", ""))
            progress.move(State.COMPLETED)
        except (asyncio.CancelledError, ConnectionError):
            progress.move(State.FAILED)
            self._metrics.disconnected += 1
            raise
        except Exception as error:
            progress.move(State.FAILED)
            reply = self._failure(error, request, progress, request_id, trace)
        else:
            reply = self._success(outcome, request, progress, request_id, trace)
        finally:
            if worker is not None and self._workers is not None:
                self._workers.release(worker)
        return reply

    async def _take_worker(self, workers: SyncExecution) -> Worker:
        try:
            async with asyncio.timeout(self._queue_timeout_s):
                return await workers.hold()
        except TimeoutError:
            raise DeadlineExceeded(f"no worker was free within {self._queue_timeout_s:g} s") from None

    def _success(
        self, outcome: Outcome[Answer], request: web.BaseRequest, progress: Progress, request_id: str, trace: str
    ) -> Reply:
        answer, status, ttl_s = outcome
        stages = progress.stages()
        attempts = progress.attempts
        self._metrics.request_answered(200, status, stages, attempts)
        spent = _milliseconds(stages)
        body = b'{"request_id":%b,"state":"COMPLETED",%b%b' % (
            orjson.dumps(request_id),
            answer.json,
            _TAIL_OF_BODY.format(status, attempts, *spent, "true" if answer.degraded else "false").encode(),
        )
        headers = f"Cache-Status: {_cache_status(status, ttl_s)}\r\n" + self._headers(
            request, spent, attempts, request_id, trace
        )
        return Reply(200, body, headers=headers, close=self.draining)

    def _failure(
        self, error: Exception, request: web.BaseRequest, progress: Progress, request_id: str, trace: str
    ) -> Reply:
        if not isinstance(error, TailgateError):
            log.error("a request failed by a bug", exc_info=error, extra={"request_id": request_id})
            error = TailgateError("an error in the server; its log has the details under this request_id")
        stages = progress.stages()
        self._metrics.request_answered(error.status, NO_CACHE_OUTCOME, stages, progress.attempts)
        headers = self._headers(request, _milliseconds(stages), progress.attempts, request_id, trace)
        reply = problem_reply(error, request_id, headers=headers)
        if self.draining:
            reply.keep_alive = False
        return reply

    def _headers(
        self, request: web.BaseRequest, spent: tuple[str, ...], attempts: int, request_id: str, trace: str
    ) -> str:
        headers = _HEADERS.format(*spent, attempts, request_id, trace)
        return headers + self._origins.headers(request) if self._origins else headers


def _milliseconds(stages: StageSeconds) -> tuple[str, ...]:
    """Each stage in ms with three decimals, as header and body have it."""
    return tuple([f"{seconds * 1000:.3f}" if seconds > 0.0 else "0.000" for seconds in stages])


def _cache_status(status: str, ttl_s: float) -> str:
    """``Cache-Status`` as RFC 9211 writes it; a negative ttl is that of a stale answer."""
    match status:
        case "hit" | "stale":
            return f"tailgate; hit; ttl={floor(ttl_s)}"
        case "miss":
            return "tailgate; fwd=miss; stored"
        case "collapsed":
            return "tailgate; fwd=miss; collapsed"
        case _:
            return "tailgate; fwd=bypass"
