"""The mock's gRPC face, ``GenerativeService.GenerateContent`` only: what google-generativeai speaks in async code.

Needs the ``sdk`` extra, whose message types it serves. Faults of the wire (reset, truncated, malformed) have no shape
of their own in gRPC: the call ends as ``UNAVAILABLE``.
"""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from typing import Any, Final

import orjson

from server.gemini.faults import FaultKind
from server.gemini.mock_bodies import INVALID_KEY, blocked_body, fault_answer, invalid_key, no_key, reply_body
from server.gemini.protocol import GeminiCall, Parameters
from server.gemini.simulation import Plan, Simulation

_SERVICE: Final = "google.ai.generativelanguage.v1beta.GenerativeService"


@asynccontextmanager
async def serving_grpc(simulation: Simulation, *, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """Serve ``simulation`` over plain gRPC in the running loop; yields the base URL that the client takes."""
    grpc: Any = import_module("grpc")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        types: Any = import_module("google.ai.generativelanguage")

    async def generate(request: Any, context: Any) -> Any:
        metadata = dict(context.invocation_metadata())
        key = metadata.get("x-goog-api-key")
        if not key or key == INVALID_KEY:
            await context.abort_with_status(_rpc_status(grpc, invalid_key() if key else no_key()))
        plan = simulation.begin(_call(request, metadata.get("traceparent")))
        try:
            await asyncio.sleep(plan.delay_s)
        finally:
            simulation.end()
        status, answer = _json_answer(plan)
        if status != 200:
            await context.abort_with_status(_rpc_status(grpc, answer))
        return types.GenerateContentResponse.from_json(answer, ignore_unknown_fields=True)

    server = grpc.aio.server()
    handler = grpc.unary_unary_rpc_method_handler(
        generate,
        request_deserializer=types.GenerateContentRequest.deserialize,
        response_serializer=types.GenerateContentResponse.serialize,
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, {"GenerateContent": handler}),))
    bound = server.add_insecure_port(f"{host}:{port}")
    await server.start()
    try:
        yield f"http://{host}:{bound}"
    finally:
        await server.stop(grace=None)


def _call(request: Any, traceparent: str | None) -> GeminiCall:
    config = request.generation_config
    prompt = "\n".join(part.text for content in request.contents for part in content.parts)
    return GeminiCall(
        prompt,
        request.model.removeprefix("models/"),
        Parameters(
            temperature=config.temperature,
            top_p=config.top_p,
            max_output_tokens=config.max_output_tokens or None,
            stop_sequences=tuple(config.stop_sequences),
        ),
        traceparent,
    )


def _json_answer(plan: Plan) -> tuple[int, bytes]:
    fault, model = plan.fault, plan.reply.model
    if fault is None or fault.kind is FaultKind.SLOW:
        return 200, reply_body(plan.reply, "mock")
    if fault.kind is FaultKind.BLOCKED:
        return 200, blocked_body(plan.reply.usage.prompt_tokens, model, "mock")
    broken = b'{"error": {"code": 503, "message": "Connection lost", "status": "UNAVAILABLE"}}'
    return fault_answer(fault, model) or (503, broken)


def _rpc_status(grpc: Any, body: bytes) -> Any:
    """Google's JSON error as a gRPC status, its details packed as ``google.rpc`` messages."""
    error = orjson.loads(body)["error"]
    code = grpc.StatusCode[error["status"]]
    json_format: Any = import_module("google.protobuf.json_format")
    import_module("google.rpc.error_details_pb2")  # registers the messages that the details name
    status = import_module("google.rpc.status_pb2").Status(code=code.value[0], message=error["message"])
    for detail in error.get("details", ()):
        json_format.ParseDict(detail, status.details.add())
    return import_module("grpc_status.rpc_status").to_status(status)
