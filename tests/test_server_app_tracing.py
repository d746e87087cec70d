import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from server.settings import OtelSettings
from server.tracing import tracing_to
from tests.server_process import ask, listening_app, local_server

pytest.importorskip("opentelemetry.sdk", reason="the extra otel is not installed")
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@asynccontextmanager
async def collector() -> AsyncIterator[tuple[str, list]]:
    """An OTLP collector over HTTP; the spans it got."""
    spans: list = []

    async def receive(request: web.Request) -> web.Response:
        export = ExportTraceServiceRequest.FromString(await request.read())
        for resource in export.resource_spans:
            for scope in resource.scope_spans:
                spans.extend(scope.spans)
        return web.Response()

    app = web.Application()
    app.router.add_post("/v1/traces", receive)
    async with listening_app(app) as url:
        yield f"{url}/v1/traces", spans


async def test_a_span_for_the_request_in_the_callers_trace_and_one_for_each_leg_within_it():
    async with collector() as (url, spans), local_server(otel={"enabled": True, "endpoint": url}) as server:
        async with server.post(ask("a", "p", "q"), traceparent=f"00-{TRACE}-{PARENT}-01") as reply:
            assert reply.status == 200
            assert reply.headers["traceparent"] == f"00-{TRACE}-{PARENT}-01"
        async with server.post(ask("a", "p", "q")) as hit:
            made = hit.headers["traceparent"]
        async with server.post({}) as refused:
            assert refused.status == 422

    by_trace = [span for span in spans if span.trace_id.hex() == TRACE]
    (request,) = [span for span in by_trace if span.name == "POST /process"]
    legs = [span for span in by_trace if span is not request]
    assert request.parent_span_id.hex() == PARENT
    assert [leg.name for leg in legs] == ["generate_content gemini-2.5-flash"] * 2
    assert {leg.parent_span_id for leg in legs} == {request.span_id}
    attributes = {each.key: each.value for each in legs[0].attributes}
    assert attributes["tailgate.attempts"].int_value == 1
    assert attributes["gen_ai.usage.output_tokens"].int_value > 0
    _, trace_id, span_id, _ = made.split("-")
    (of_hit,) = [span for span in spans if span.trace_id.hex() == trace_id]
    assert of_hit.span_id.hex() == span_id
    statuses = {each.value.int_value for span in spans for each in span.attributes if "status_code" in each.key}
    assert statuses == {200, 422}


@pytest.mark.parametrize("version", ["00", "01"])
async def test_a_callers_trace_state_is_kept_whatever_version_of_the_standard_it_speaks(version: str):
    headers = [("traceparent", f"{version}-{TRACE}-{PARENT}-01"), ("tracestate", "a=1"), ("tracestate", "b=2")]
    async with (
        collector() as (url, spans),
        local_server(otel={"enabled": True, "endpoint": url}) as server,
        server.session.post(f"{server.url}/process", json=ask(), headers=headers) as reply,
    ):
        assert reply.status == 200

    assert {span.trace_id.hex() for span in spans} == {TRACE}
    assert {span.trace_state for span in spans} == {"a=1,b=2"}


@pytest.mark.parametrize("mode", ["async", "sync"])
async def test_gemini_is_told_the_leg_that_calls_it(mode: str):
    traces = []

    async def generate(request: web.Request) -> web.Response:
        traces.append(request.headers.get("traceparent"))
        return web.json_response({"candidates": [{"content": {"parts": [{"text": "yes"}]}}]})

    gemini = web.Application()
    gemini.router.add_post("/{path:.*}", generate)
    async with collector() as (url, spans), listening_app(gemini) as upstream:
        live = {"gemini_client": "builtin", "live": {"base_url": upstream}, "mode": mode}
        async with (
            local_server(otel={"enabled": True, "endpoint": url}, **live) as server,
            server.post(ask("a", "p", "q"), traceparent=f"00-{TRACE}-{PARENT}-01") as reply,
        ):
            assert reply.status == 200
        async with local_server(**live) as server, server.post(ask("a", "p")) as untraced:
            assert untraced.status == 200

    legs = [span.span_id.hex() for span in spans if span.name.startswith("generate_content")]
    assert sorted(traces[:2]) == sorted(f"00-{TRACE}-{leg}-01" for leg in legs)
    assert traces[2:] == [None]


async def test_a_leg_that_fails_says_why(tmp_path):
    faults = tmp_path / "faults.toml"
    faults.write_text('[[fault]]\nat_s = 0\nkind = "unavailable"\n')
    settings = {"mock": {"profile": "zero", "faults": str(faults)}, "retry": {"attempts": 2, "base_s": 0}}
    async with (
        collector() as (url, spans),
        local_server(otel={"enabled": True, "endpoint": url}, **settings) as server,
        server.post(ask()) as reply,
    ):
        assert reply.status == 502

    (leg,) = [span for span in spans if span.name.startswith("generate_content")]
    attributes = {each.key: each.value for each in leg.attributes}
    assert attributes["error.type"].string_value == "upstream-unavailable"
    assert attributes["tailgate.attempts"].int_value == 2


async def test_a_collector_that_is_down_costs_no_request_and_little_time_at_the_end():
    async with asyncio.timeout(20):
        async with (
            local_server(otel={"enabled": True, "endpoint": "http://127.0.0.1:9/v1/traces"}) as server,
            server.post(ask()) as reply,
        ):
            assert reply.status == 200


async def test_tracing_is_not_there_where_it_is_off():
    async with tracing_to(OtelSettings()) as tracing:
        assert tracing is None
