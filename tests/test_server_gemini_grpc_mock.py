"""The mock's gRPC face, as the older SDK's async calls use it: streams, tokens, refusals, faults, `/stats`."""

import asyncio
import warnings
from contextlib import asynccontextmanager
from importlib import import_module

import aiohttp
import pytest

from server.gemini.faults import FaultScript
from server.gemini.mock_grpc import serving_grpc
from server.gemini.mock_server import serving
from server.gemini.mock_stats import Served
from server.gemini.protocol import GeminiCall
from server.gemini.simulation import Simulation

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import google.generativeai as generativeai
    from google.ai import generativelanguage
    from google.api_core import exceptions

MODEL = "gemini-2.5-flash"
PROMPT = "Why is the sky blue?"
EXPECTED = Simulation("zero").begin(GeminiCall(PROMPT, MODEL)).reply


@asynccontextmanager
async def both_faces(simulation: Simulation):
    """A way to a model of the SDK over gRPC, and to what the HTTP face tells in `/stats`."""
    served = Served()
    async with (
        serving(simulation, served=served) as url,
        serving_grpc(simulation, served=served) as grpc_url,
        import_module("grpc.aio").insecure_channel(grpc_url.removeprefix("http://")) as channel,
        aiohttp.ClientSession(url) as session,
    ):
        services = generativelanguage.GenerativeServiceAsyncClient
        client = services(transport=services.get_transport_class("grpc_asyncio")(channel=channel))

        def model(name: str = MODEL):
            made = generativeai.GenerativeModel(name)
            made._async_client = client
            return made

        async def stats() -> dict:
            async with session.get("/stats") as response:
                return await response.json()

        yield model, stats


def options(key: str | None = "any") -> dict:
    return {"retry": None, "timeout": 20, "metadata": [("x-goog-api-key", key)] if key else []}


async def texts_of(model, seen: list[str] | None = None) -> list[str]:
    """The texts of a stream's chunks; in ``seen`` also those before an error."""
    seen = [] if seen is None else seen
    stream = await model.generate_content_async(PROMPT, stream=True, request_options=options())
    async for chunk in stream:
        seen.append(chunk.text)
    return seen


def failing(fault: str) -> Simulation:
    return Simulation("zero", faults=FaultScript.parse(f"[[fault]]\n{fault}"))


async def test_a_stream_comes_in_chunks_that_make_the_reply():
    async with both_faces(Simulation("zero")) as (model, stats):
        stream = await model().generate_content_async(PROMPT, stream=True, request_options=options())
        chunks = [chunk async for chunk in stream]
        report = await stats()

    assert len(chunks) > 2
    assert "".join(chunk.text for chunk in chunks) == EXPECTED.text
    assert [bool(chunk.candidates[0].finish_reason) for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert chunks[-1].usage_metadata.total_token_count == EXPECTED.usage.total_tokens
    assert report["in_flight"] == 0


async def test_a_stream_takes_the_time_of_its_profile():
    async with both_faces(Simulation("lesson")) as (model, _):
        loop = asyncio.get_running_loop()
        started = loop.time()
        stream = await model().generate_content_async(PROMPT, stream=True, request_options=options())
        arrivals = [loop.time() - started async for _ in stream]

    assert arrivals[0] >= 0.149
    assert arrivals[-1] > arrivals[0]


async def test_tokens_are_counted_as_over_http_and_without_a_fault():
    async with both_faces(failing('kind = "unavailable"')) as (model, _):
        counted = await model().count_tokens_async(PROMPT, request_options=options())

    assert counted.total_tokens == EXPECTED.usage.prompt_tokens


async def test_calls_are_counted_in_stats():
    async with both_faces(Simulation("zero")) as (model, stats):
        await model().generate_content_async(PROMPT, request_options=options())
        await texts_of(model())
        await model().count_tokens_async(PROMPT, request_options=options())
        with pytest.raises(exceptions.PermissionDenied):
            await model().generate_content_async(PROMPT, request_options=options(key=None))
        report = await stats()

    assert (report["total"], report["by_status"]) == (4, {"200": 3, "403": 1})
    row = {"version": "v1beta", "method": "streamGenerateContent", "model": MODEL, "status": 200, "calls": 1}
    assert row in report["calls"]


async def test_callers_who_leave_are_counted_without_an_answer():
    async with both_faces(Simulation("60000ms")) as (model, stats):
        for stream in (False, True):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await model().generate_content_async(PROMPT, stream=stream, request_options=options())
        for _ in range(500):
            report = await stats()
            if report["total"] == 2:
                break
            await asyncio.sleep(0.01)

    assert (report["in_flight"], report["by_status"]) == (0, {"0": 2})


# Refusals


@pytest.mark.parametrize(
    ("name", "config", "error", "status"),
    [
        ("gpt-4", {}, exceptions.NotFound, "404"),
        (MODEL, {"temperature": 9.0}, exceptions.InvalidArgument, "400"),
        (MODEL, {"top_p": -0.5}, exceptions.InvalidArgument, "400"),
        (MODEL, {"candidate_count": 2}, exceptions.InvalidArgument, "400"),
        (MODEL, {"stop_sequences": list("abcdef")}, exceptions.InvalidArgument, "400"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_what_http_refuses_grpc_refuses_too(name, config, error, status, stream):
    async with both_faces(Simulation("zero")) as (model, stats):
        with pytest.raises(error):
            await model(name).generate_content_async(
                PROMPT, generation_config=config, stream=stream, request_options=options()
            )
        report = await stats()

    assert report["by_status"] == {status: 1}
    assert report["prompts"]["distinct"] == 0


async def test_an_unknown_model_has_no_tokens_either():
    async with both_faces(Simulation("zero")) as (model, _):
        with pytest.raises(exceptions.NotFound):
            await model("gpt-4").count_tokens_async(PROMPT, request_options=options())


# Faults


@pytest.mark.parametrize(
    ("kind", "error", "status"),
    [
        ("rate-limit", exceptions.ResourceExhausted, "429"),
        ("unavailable", exceptions.ServiceUnavailable, "503"),
        ("internal", exceptions.InternalServerError, "500"),
    ],
)
async def test_a_stream_that_is_refused_has_no_chunk(kind, error, status):
    async with both_faces(failing(f'kind = "{kind}"')) as (model, stats):
        with pytest.raises(error):
            await texts_of(model())
        report = await stats()

    assert (report["in_flight"], report["by_status"]) == (0, {status: 1})


@pytest.mark.parametrize(("kind", "whole"), [("reset", 1), ("truncated", -1), ("malformed", -1)])
async def test_a_stream_breaks_after_its_whole_chunks(kind, whole):
    async with both_faces(Simulation("zero")) as (model, _):
        chunks = await texts_of(model())

    seen: list[str] = []
    async with both_faces(failing(f'kind = "{kind}"')) as (model, stats):
        with pytest.raises(exceptions.ServiceUnavailable):
            await texts_of(model(), seen)
        report = await stats()

    assert seen == chunks[:whole]
    assert report["by_status"] == {"503": 1}


async def test_a_blocked_prompt_streams_its_reason():
    async with both_faces(failing('kind = "blocked"')) as (model, _):
        stream = await model().generate_content_async(PROMPT, stream=True, request_options=options())
        with pytest.raises(generativeai.types.BlockedPromptException) as caught:
            await anext(aiter(stream))

    [feedback] = caught.value.args
    assert feedback.prompt_feedback.block_reason.name == "PROHIBITED_CONTENT"
