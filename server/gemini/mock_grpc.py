"""The mock's gRPC face: what google-generativeai speaks in async code, and the refusals and counts of the HTTP face.

Needs the ``sdk`` extra, whose message types it serves. Faults of the wire (reset, truncated, malformed) have no shape
of their own in gRPC: the call ends as ``UNAVAILABLE``, a stream after what HTTP would have sent whole.
"""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib import import_module
from typing import Any, Final, NamedTuple, NoReturn

import orjson

from server.gemini.faults import FaultKind
from server.gemini.mock_bad_call import BadCallError
from server.gemini.mock_bodies import blocked_body, count_body, fault_answer, reply_body
from server.gemini.mock_chunks import STREAMED_FAULTS, chunks
from server.gemini.mock_refusals import refuse
from server.gemini.mock_requests import read_count, read_generate
from server.gemini.mock_stats import NO_ANSWER, Served
from server.gemini.reply_text import count_tokens
from server.gemini.simulation import Plan, Simulation

_SERVICE: Final = "google.ai.generativelanguage.v1beta.GenerativeService"
_VERSION: Final = "v1beta"
_RESPONSE_ID: Final = "mock"
_BROKEN: Final = b'{"error": {"code": 503, "message": "Connection lost", "status": "UNAVAILABLE"}}'


@asynccontextmanager
async def serving_grpc(
    simulation: Simulation, *, host: str = "127.0.0.1", port: int = 0, served: Served | None = None
) -> AsyncIterator[str]:
    """Serve ``simulation`` over plain gRPC in the running loop; yields the base URL that the client takes.

    Calls are counted in ``served``, as ``v1beta`` and under the names of their REST methods.
    """
    grpc: Any = import_module("grpc")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        types: Any = import_module("google.ai.generativelanguage")
    face = _GrpcFace(simulation, Served() if served is None else served, grpc, types)
    unary, stream = grpc.unary_unary_rpc_method_handler, grpc.unary_stream_rpc_method_handler
    generate, generated = types.GenerateContentRequest.pb(), types.GenerateContentResponse.pb()
    count, counted = types.CountTokensRequest.pb(), types.CountTokensResponse.pb()
    methods = {
        "GenerateContent": unary(face.generate, generate.FromString, generated.SerializeToString),
        "StreamGenerateContent": stream(face.stream, generate.FromString, generated.SerializeToString),
        "CountTokens": unary(face.count, count.FromString, counted.SerializeToString),
    }
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, methods),))
    name = f"[{host}]" if ":" in host else host
    bound = server.add_insecure_port(f"{name}:{port}")
    await server.start()
    try:
        yield f"http://{name}:{bound}"
    finally:
        await server.stop(grace=None)


class _Answer(NamedTuple):
    """What a call gets: messages (seconds to wait before each, its JSON), then ``error`` after ``error_wait_s``."""

    messages: list[tuple[float, bytes]]
    status: int = 200
    error: bytes | None = None
    error_wait_s: float = 0.0


class _GrpcFace:
    """The methods of the service. Each call is counted once, when it ends, with the HTTP status of what it got."""

    def __init__(self, simulation: Simulation, served: Served, grpc: Any, types: Any) -> None:
        self._simulation = simulation
        self._served = served
        self._grpc = grpc
        self._json: Any = import_module("google.protobuf.json_format")
        self._reply: Any = types.GenerateContentResponse.pb()
        self._counted: Any = types.CountTokensResponse.pb()

    async def generate(self, request: Any, context: Any) -> Any:
        sent: list[Any] = []

        async def keep(message: Any) -> None:
            sent.append(message)

        await self._run("generateContent", request, context, keep)
        return sent[0]

    async def stream(self, request: Any, context: Any) -> None:
        await self._run("streamGenerateContent", request, context, context.write)

    async def count(self, request: Any, context: Any) -> Any:
        model, body = await self._admit("countTokens", request, context)
        try:
            tokens = count_tokens(read_count(body))
        except BadCallError as error:
            await self._refuse("countTokens", model, 400, error.body, context)
        self._served.add(_VERSION, "countTokens", model, 200)
        return self._message(count_body(tokens), self._counted)

    async def _run(self, method: str, request: Any, context: Any, send: Callable[[Any], Awaitable[None]]) -> None:
        model, body = await self._admit(method, request, context)
        try:
            call = read_generate(body, model)
        except BadCallError as error:
            await self._refuse(method, model, 400, error.body, context)
        plan = self._simulation.begin(call._replace(traceparent=_metadata(context).get("traceparent")))
        answer = _streamed(plan) if method == "streamGenerateContent" else _whole(plan)
        status = NO_ANSWER
        try:
            for wait_s, message in answer.messages:
                await asyncio.sleep(wait_s)
                await send(self._message(message, self._reply))
            await asyncio.sleep(answer.error_wait_s)
            status = answer.status
        finally:
            self._simulation.end()
            self._served.add(_VERSION, method, model, status)
        if answer.error is not None:
            await self._abort(answer.error, context)

    async def _admit(self, method: str, request: Any, context: Any) -> tuple[str, bytes]:
        """The model that is asked, and the request as REST would carry it."""
        model = request.model.removeprefix("models/")
        refused = refuse(_metadata(context).get("x-goog-api-key", ""), _VERSION, model, method)
        if refused is not None:
            await self._refuse(method, model, *refused, context)
        return model, self._json.MessageToJson(request, indent=None).encode()

    async def _refuse(self, method: str, model: str, status: int, body: bytes, context: Any) -> NoReturn:
        self._served.add(_VERSION, method, model, status)
        await self._abort(body, context)

    async def _abort(self, body: bytes, context: Any) -> NoReturn:
        await context.abort_with_status(self._rpc_status(body))
        raise AssertionError("abort raises")

    def _message(self, body: bytes, kind: Any) -> Any:
        return self._json.Parse(body, kind(), ignore_unknown_fields=True)

    def _rpc_status(self, body: bytes) -> Any:
        """Google's JSON error as a gRPC status, its details packed as ``google.rpc`` messages."""
        error = orjson.loads(body)["error"]
        code = self._grpc.StatusCode[error["status"]]
        import_module("google.rpc.error_details_pb2")  # registers the messages that the details name
        status = import_module("google.rpc.status_pb2").Status(code=code.value[0], message=error["message"])
        for detail in error.get("details", ()):
            self._json.ParseDict(detail, status.details.add())
        return import_module("grpc_status.rpc_status").to_status(status)


def _metadata(context: Any) -> dict[str, str]:
    return dict(context.invocation_metadata())


def _whole(plan: Plan) -> _Answer:
    fault, model = plan.fault, plan.reply.model
    if fault is None or fault.kind is FaultKind.SLOW:
        return _Answer([(plan.delay_s, reply_body(plan.reply, _RESPONSE_ID))])
    if fault.kind is FaultKind.BLOCKED:
        return _Answer([(plan.delay_s, blocked_body(plan.reply.usage.prompt_tokens, model, _RESPONSE_ID))])
    unanswered = NO_ANSWER if fault.kind is FaultKind.HANG else 503
    status, error = fault_answer(fault, model) or (unanswered, _BROKEN)
    return _Answer([], status, error, plan.delay_s)


def _streamed(plan: Plan) -> _Answer:
    kind = plan.fault.kind if plan.fault is not None else None
    if kind is not None and kind not in STREAMED_FAULTS:
        return _whole(plan)
    messages = list(chunks(plan, plan.reply.model, _RESPONSE_ID))
    match kind:
        case FaultKind.RESET:
            return _Answer(messages[:1], 503, _BROKEN)
        case FaultKind.TRUNCATED | FaultKind.MALFORMED:
            return _Answer(messages[:-1], 503, _BROKEN, messages[-1][0])
        case _:
            return _Answer(messages)
