"""Google's own SDKs, unpatched and used as their documentation says, against the mock server."""

import asyncio
import warnings
from contextlib import asynccontextmanager

import pytest

from server.gemini.faults import FaultScript
from server.gemini.mock_server import serving
from server.gemini.protocol import GeminiCall, Parameters
from server.gemini.simulation import Simulation

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # both announce what they will not support
    import google.generativeai as generativeai
    from google import genai
    from google.api_core import exceptions

MODEL = "gemini-2.5-flash"
PROMPT = "Why is the sky blue?"
EXPECTED = Simulation("zero").begin(GeminiCall(PROMPT, MODEL)).reply

pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class:DeprecationWarning")


def failing(kind: str) -> Simulation:
    return Simulation("zero", faults=FaultScript.parse(f'[[fault]]\nkind = "{kind}"'))


@asynccontextmanager
async def genai_client(simulation: Simulation, **options):
    async with serving(simulation) as url:
        client = genai.Client(api_key="any", http_options=genai.types.HttpOptions(base_url=url, **options))
        yield client
        await client.aio.aclose()
        client.close()


@asynccontextmanager
async def generativeai_model(simulation: Simulation):
    async with serving(simulation) as url:
        generativeai.configure(api_key="any", transport="rest", client_options={"api_endpoint": url})
        yield generativeai.GenerativeModel(MODEL)


@pytest.mark.parametrize("version", [None, "v1", "v1beta"])
async def test_genai_async(version):
    async with genai_client(Simulation("zero"), api_version=version) as client:
        response = await client.aio.models.generate_content(model=MODEL, contents=PROMPT)

    assert response.text == EXPECTED.text
    assert response.candidates[0].finish_reason.name == "STOP"
    assert response.usage_metadata.total_token_count == EXPECTED.usage.total_tokens
    assert response.model_version == MODEL


async def test_genai_blocking_with_a_config():
    expected = Simulation("zero").begin(GeminiCall(PROMPT, MODEL, Parameters(max_output_tokens=3))).reply
    config = {"temperature": 0.2, "top_p": 0.9, "top_k": 40, "seed": 1, "max_output_tokens": 3, "stop_sequences": ["!"]}
    async with genai_client(Simulation("zero")) as client:
        response = await asyncio.to_thread(
            client.models.generate_content,
            model=MODEL,
            contents=PROMPT,
            config=config | {"system_instruction": "Rhyme."},
        )

    assert response.text == expected.text
    assert response.candidates[0].finish_reason.name == "MAX_TOKENS"


async def test_genai_sends_images_tools_and_the_history_of_a_chat():
    def weather(place: str) -> str:
        """The weather at a place."""
        return place

    picture = genai.types.Part.from_bytes(data=b"123", mime_type="image/png")
    called = genai.types.Part.from_function_call(name="weather", args={"place": "Rome"})
    answered = genai.types.Part.from_function_response(name="weather", response={"result": "Rome"})
    turns = [
        genai.types.UserContent([PROMPT, picture]),
        genai.types.ModelContent([called]),
        genai.types.UserContent([answered]),
    ]
    config = genai.types.GenerateContentConfig(tools=[weather], system_instruction="Rhyme.")
    async with genai_client(Simulation("zero")) as client:
        chat = client.aio.chats.create(model=MODEL, history=turns[:2], config=config)
        response = await chat.send_message([answered])
        whole = await client.aio.models.generate_content(model=MODEL, contents=turns, config=config)

    assert response.text.strip()
    assert whole.text.startswith(PROMPT)


async def test_genai_streams():
    async with genai_client(Simulation("zero")) as client:
        stream = await client.aio.models.generate_content_stream(model=MODEL, contents=PROMPT)
        chunks = [chunk async for chunk in stream]

    assert len(chunks) > 2
    assert "".join(chunk.text for chunk in chunks) == EXPECTED.text
    assert chunks[-1].candidates[0].finish_reason.name == "STOP"


async def test_genai_counts_tokens():
    async with genai_client(Simulation("zero")) as client:
        counted = await client.aio.models.count_tokens(model=MODEL, contents=PROMPT)

    assert counted.total_tokens == EXPECTED.usage.prompt_tokens


async def test_genai_sees_googles_errors():
    for kind, code, status in (("rate-limit", 429, "RESOURCE_EXHAUSTED"), ("unavailable", 503, "UNAVAILABLE")):
        async with genai_client(failing(kind)) as client:
            with pytest.raises(genai.errors.APIError) as caught:
                await client.aio.models.generate_content(model=MODEL, contents=PROMPT)
        assert (caught.value.code, caught.value.status) == (code, status)


async def test_genai_sees_a_blocked_prompt():
    async with genai_client(failing("blocked")) as client:
        response = await client.aio.models.generate_content(model=MODEL, contents=PROMPT)

    assert response.prompt_feedback.block_reason.name == "PROHIBITED_CONTENT"
    assert response.text is None


async def test_generativeai_blocking():
    async with generativeai_model(Simulation("zero")) as model:
        response = await asyncio.to_thread(model.generate_content, PROMPT)

    assert response.text == EXPECTED.text
    assert response.usage_metadata.total_token_count == EXPECTED.usage.total_tokens


@pytest.mark.parametrize("method", ["generate_content", "count_tokens"])
async def test_generativeai_sends_images_tools_and_the_history_of_a_chat(method):
    def weather(place: str) -> str:
        """The weather at a place."""
        return place

    turns = [
        {"role": "user", "parts": [PROMPT, {"mime_type": "image/png", "data": b"123"}]},
        {"role": "model", "parts": [{"function_call": {"name": "weather", "args": {"place": "Rome"}}}]},
        {"role": "user", "parts": [{"function_response": {"name": "weather", "response": {"result": "Rome"}}}]},
    ]
    async with generativeai_model(Simulation("zero")):
        model = generativeai.GenerativeModel(MODEL, tools=[weather], system_instruction="Rhyme.")
        assert await asyncio.to_thread(getattr(model, method), turns)


async def test_generativeai_streams_and_counts():
    def stream_and_count(model):
        return [chunk.text for chunk in model.generate_content(PROMPT, stream=True)], model.count_tokens(PROMPT)

    async with generativeai_model(Simulation("zero")) as model:
        texts, counted = await asyncio.to_thread(stream_and_count, model)

    assert len(texts) > 2
    assert "".join(texts) == EXPECTED.text
    assert counted.total_tokens == EXPECTED.usage.prompt_tokens


async def test_generativeai_sees_googles_errors():
    async with generativeai_model(failing("rate-limit")) as model:
        with pytest.raises(exceptions.TooManyRequests):
            await asyncio.to_thread(model.generate_content, PROMPT)


async def test_generativeai_sees_a_blocked_prompt():
    async with generativeai_model(failing("blocked")) as model:
        response = await asyncio.to_thread(model.generate_content, PROMPT)

    assert response.prompt_feedback.block_reason.name == "PROHIBITED_CONTENT"
    assert not response.candidates
