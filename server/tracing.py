"""OpenTelemetry traces, for who asks for them (``otel.enabled``): a span a request, and within it a span a leg.

A caller's ``traceparent`` is the parent of the request's span, which keeps its ``tracestate``; Gemini is sent a
``traceparent`` that names the leg's span. Where tracing is off, nothing of this is in the way.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any

from aiohttp import web

from server.answers import Leg, LegReply
from server.errors import TailgateError
from server.replies import Reply
from server.request_ids import RequestIds, is_traceparent
from server.settings import OtelSettings
from server.versions import server_version

if TYPE_CHECKING:
    from opentelemetry.trace import SpanContext, Tracer

# A collector that is down must not hold up the end of the server for long.
_EXPORT_TIMEOUT_S = 2.0

RunLeg = Callable[[Leg], Coroutine[Any, Any, LegReply]]
Answering = Callable[[web.BaseRequest], Awaitable[Reply]]


class Tracing:
    """Wraps what is to have a span. ``tracer`` comes from :func:`tracing_to`."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def request(self, handler: Answering) -> Answering:
        """A server span around a request, whose child is whatever it does."""
        from opentelemetry.trace import SpanKind, StatusCode
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        tracer, propagator = self._tracer, TraceContextTextMapPropagator()

        @wraps(handler)
        async def traced(request: web.BaseRequest) -> Reply:
            sent = request.headers.get("traceparent")
            parent = propagator.extract(_carried(sent, request)) if is_traceparent(sent) else None
            with tracer.start_as_current_span("POST /process", context=parent, kind=SpanKind.SERVER) as span:
                reply = await handler(request)
                span.set_attribute("http.response.status_code", reply.status)
                if reply.status >= 500:
                    span.set_status(StatusCode.ERROR)
                return reply

        return traced

    def leg(self, run_leg: RunLeg) -> RunLeg:
        """A client span around one leg, all its attempts included."""
        from opentelemetry.trace import SpanKind

        tracer = self._tracer

        @wraps(run_leg)
        async def traced(leg: Leg) -> LegReply:
            name = f"generate_content {leg.call.model}"
            attributes = {"gen_ai.operation.name": "generate_content", "gen_ai.request.model": leg.call.model}
            with tracer.start_as_current_span(name, kind=SpanKind.CLIENT, attributes=attributes) as span:
                leg.call = leg.call._replace(traceparent=_traceparent(span.get_span_context()))
                try:
                    done = await run_leg(leg)
                except TailgateError as error:
                    span.set_attribute("error.type", error.problem)
                    raise
                finally:
                    span.set_attribute("tailgate.attempts", leg.attempts)
                span.set_attribute("gen_ai.usage.input_tokens", done.reply.usage.prompt_tokens)
                span.set_attribute("gen_ai.usage.output_tokens", done.reply.usage.output_tokens)
                return done

        return traced


def _carried(traceparent: str | None, request: web.BaseRequest) -> dict[str, str]:
    """The caller's trace context; its ``tracestate`` may stand in several header lines."""
    state = ",".join(request.headers.getall("tracestate", ()))
    return {"traceparent": traceparent or "", "tracestate": state}


class TracedIds(RequestIds):
    """Where no ``traceparent`` was sent, the one to answer with names the span of the request."""

    __slots__ = ()

    def traceparent(self, sent: str | None) -> str:
        """Echoed if valid, else that of the running span."""
        from opentelemetry.trace import get_current_span

        context = get_current_span().get_span_context()
        if is_traceparent(sent) or not context.is_valid:
            return super().traceparent(sent)
        return _traceparent(context)


def _traceparent(context: SpanContext) -> str:
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


@asynccontextmanager
async def tracing_to(settings: OtelSettings) -> AsyncIterator[Tracing | None]:
    """Tracing as ``settings`` ask, ``None`` where they do not; on leaving, what is still queued is sent.

    Raises ``ValueError`` with one line for the user if OpenTelemetry is not installed.
    """
    if not settings.enabled:
        yield None
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        needed = f"pip install 'tailgate[otel]' ({error.name} is missing)"
        raise ValueError(f"otel.enabled needs OpenTelemetry: {needed}") from None
    resource = Resource.create({"service.name": settings.service_name, "service.version": server_version()})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(
        BatchSpanProcessor(OTLPSpanExporter(endpoint=settings.endpoint, timeout=_EXPORT_TIMEOUT_S))
    )
    try:
        yield Tracing(provider.get_tracer("tailgate"))
    finally:
        # In a thread: sending what is left must not hold up what else the loop has to end.
        await asyncio.to_thread(provider.shutdown)
