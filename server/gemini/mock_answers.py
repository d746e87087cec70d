"""From a request to the mock's answer: routes, keys, faults, whole replies and streams. No sockets, no sleeping."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import count
from typing import Final
from urllib.parse import parse_qs, unquote

import orjson

from server.gemini import mock_bodies as bodies
from server.gemini.faults import FaultKind
from server.gemini.mock_bad_call import BadCallError
from server.gemini.mock_chunks import STREAMED_FAULTS, chunks
from server.gemini.mock_http import Answer, End, Request
from server.gemini.mock_refusals import refuse
from server.gemini.mock_requests import read_count, read_generate
from server.gemini.mock_stats import NO_ANSWER, Served
from server.gemini.reply_text import count_tokens
from server.gemini.simulation import Plan, Simulation

_VERSIONS: Final = ("v1", "v1beta")
_METHODS: Final = ("generateContent", "streamGenerateContent", "countTokens")
_REASONS: Final = {
    200: "OK",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    429: "Too Many Requests",
    500: "Internal Server Error",
    503: "Service Unavailable",
}
_COMMON_HEAD: Final = "Vary: Origin, X-Origin, Referer\r\nServer: scaffolding on HTTPServer2\r\n"
_JSON_HEADS: Final = {
    status: f"HTTP/1.1 {status} {reason}\r\nContent-Type: application/json; charset=UTF-8\r\n{_COMMON_HEAD}".encode()
    for status, reason in _REASONS.items()
}
_SSE_HEAD: Final = f"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n{_COMMON_HEAD}".encode()
_NOT_FOUND_PAGE: Final = b"<!DOCTYPE html>\n<html lang=en><title>Error 404 (Not Found)!!1</title>\n"
_NOT_FOUND: Final = (
    b"HTTP/1.1 404 Not Found\r\nContent-Type: text/html; charset=UTF-8\r\nContent-Length: %d\r\n\r\n%b"
    % (len(_NOT_FOUND_PAGE), _NOT_FOUND_PAGE)
)


class MockApi:
    """Gemini's REST surface, and ``/stats``, on one simulation; what was answered is counted in ``served``."""

    def __init__(self, simulation: Simulation, served: Served) -> None:
        self._simulation = simulation
        self._served = served
        self._numbers = count(1)

    def answer(self, request: Request) -> Answer:
        """The answer to ``request``, timed from now."""
        path, _, query = request.target.partition("?")
        if path == "/stats":
            return Answer([(0.0, _json(200, orjson.dumps(self._stats(query))))])
        _, _, version_and_call = path.partition("/")
        version, _, call = version_and_call.partition("/models/")
        model, _, method = unquote(call).rpartition(":")
        if request.method != "POST" or version not in _VERSIONS or method not in _METHODS or "/" in model:
            return Answer([(0.0, _NOT_FOUND)])
        key = request.key or next(iter(parse_qs(query).get("key", [])), "")
        refused = refuse(key, version, model, method)
        if refused is not None:
            return self._at_once(version, method, model, *refused)
        try:
            if method == "countTokens":
                tokens = count_tokens(read_count(request.body))
                return self._at_once(version, method, model, 200, bodies.count_body(tokens))
            call_asked = read_generate(request.body, model)
        except BadCallError as error:
            return self._at_once(version, method, model, 400, error.body)
        plan = self._simulation.begin(call_asked)
        response_id = f"mock{next(self._numbers):016x}"
        if method == "streamGenerateContent" and (plan.fault is None or plan.fault.kind in STREAMED_FAULTS):
            return self._stream(plan, version, model, response_id, sse=parse_qs(query).get("alt") == ["sse"])
        return self._whole(plan, version, method, model, response_id)

    def _at_once(self, version: str, method: str, model: str, status: int, body: bytes) -> Answer:
        self._served.add(version, method, model, status)
        return Answer([(0.0, _json(status, body))])

    def _whole(self, plan: Plan, version: str, method: str, model: str, response_id: str) -> Answer:
        status, end = 200, End.KEEP
        fault = plan.fault
        if fault is None or fault.kind is FaultKind.SLOW:
            data = _json(200, bodies.reply_body(plan.reply, response_id))
        elif error := bodies.fault_answer(fault, model):
            status, data = error[0], _json(*error)
        else:
            match fault.kind:
                case FaultKind.BLOCKED:
                    data = _json(200, bodies.blocked_body(plan.reply.usage.prompt_tokens, model, response_id))
                case FaultKind.MALFORMED:
                    data = _json(200, bodies.reply_body(plan.reply, response_id).replace(b":", b"=", 3))
                case FaultKind.TRUNCATED:
                    data, end = _json(200, bodies.reply_body(plan.reply, response_id))[:-150], End.CLOSE
                case FaultKind.RESET:
                    status, data, end = NO_ANSWER, b"", End.RESET
                case _:
                    status, data, end = NO_ANSWER, b"", End.CLOSE
        ended = partial(self._ended, version, method, model, status)
        return Answer([(plan.delay_s, data)], end, ended)

    def _stream(self, plan: Plan, version: str, model: str, response_id: str, *, sse: bool) -> Answer:
        frames = _sse_frames if sse else _array_frames
        kind = plan.fault.kind if plan.fault is not None else None
        parts = list(chunks(plan, model, response_id))
        if kind is FaultKind.MALFORMED:
            # Within the JSON: a line that is no event's any more would be passed over, and the stream seem to end well.
            parts[-1] = (parts[-1][0], parts[-1][1].replace(b":", b"="))
        framed = list(frames(parts))
        head = (_SSE_HEAD if sse else _JSON_HEADS[200]) + b"Transfer-Encoding: chunked\r\n\r\n"
        steps = [(wait_s, b"%x\r\n%b\r\n" % (len(frame), frame)) for wait_s, frame in framed]
        steps[0] = (steps[0][0], head + steps[0][1])
        end = End.KEEP
        match kind:
            case FaultKind.RESET:
                steps, end = steps[:1], End.RESET
            case FaultKind.TRUNCATED:
                steps, end = [*steps[:-1], (steps[-1][0], steps[-1][1][:-20])], End.CLOSE
            case _:
                steps[-1] = (steps[-1][0], steps[-1][1] + b"0\r\n\r\n")
        return Answer(steps, end, partial(self._ended, version, "streamGenerateContent", model, 200))

    def _ended(self, version: str, method: str, model: str, status: int, complete: bool) -> None:
        self._simulation.end()
        self._served.add(version, method, model, status if complete else NO_ANSWER)

    def _stats(self, query: str) -> dict[str, object]:
        distinct, most = self._simulation.asked_prompts()
        report: dict[str, object] = self._served.report()
        report["in_flight"] = self._simulation.in_flight
        report["prompts"] = {"distinct": distinct, "most_calls_of_one": most}
        if asked := parse_qs(query).get("prompt"):
            report["prompt_calls"] = self._simulation.asked(asked[0])
        return report


def _json(status: int, body: bytes) -> bytes:
    return b"%bContent-Length: %d\r\n\r\n%b" % (_JSON_HEADS[status], len(body), body)


def _sse_frames(parts: list[tuple[float, bytes]]) -> Iterator[tuple[float, bytes]]:
    for wait_s, part in parts:
        yield wait_s, b"data: %b\r\n\r\n" % part


def _array_frames(parts: list[tuple[float, bytes]]) -> Iterator[tuple[float, bytes]]:
    """Without ``alt=sse`` a stream is one JSON array, an element at a time."""
    for number, (wait_s, part) in enumerate(parts):
        yield wait_s, (b",\r\n" if number else b"[") + part + (b"" if number + 1 < len(parts) else b"]")
