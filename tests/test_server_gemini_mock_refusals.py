"""What the mock's HTTP face refuses, as Google does: bad requests, keys, models. And what it takes all the same."""

import json

import aiohttp
import pytest

from server.gemini.mock_server import serving
from server.gemini.simulation import Simulation
from tests.http_mock import ASK, mock, path


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{", "Invalid JSON"),
        (b"", "Invalid JSON"),
        (b"[]", "Invalid value"),
        (b"{}", "contents is not specified"),
        (b'{"contents": []}', "contents is not specified"),
        (b'{"contents": [{"parts": [{"text": 1}]}]}', "contents[0].parts[0].text"),
        (json.dumps(ASK | {"prompt": "x"}).encode(), 'Unknown name "prompt"'),
        (json.dumps(ASK | {"generationConfig": {"max_tokens": 5}}).encode(), 'Unknown name "max_tokens"'),
        (json.dumps(ASK | {"generationConfig": {"temperature": 2.1}}).encode(), "temperature"),
        (json.dumps(ASK | {"generationConfig": {"maxOutputTokens": 0}}).encode(), "maxOutputTokens"),
        (json.dumps(ASK | {"generationConfig": {"stopSequences": ["a"] * 6}}).encode(), "stopSequences"),
        (json.dumps(ASK | {"generationConfig": {"candidateCount": 2}}).encode(), "candidateCount"),
    ],
)
async def test_bad_requests_are_googles_400(body, said):
    async with mock() as session, session.post(path(), data=body) as response:
        error = (await response.json())["error"]

    assert (response.status, error["code"], error["status"]) == (400, 400, "INVALID_ARGUMENT")
    assert said in error["message"]


def turn(*parts: object, **more: object) -> bytes:
    return json.dumps({"contents": [ASK["contents"][0], {"parts": parts, **more}]}).encode()


IMAGE = {"inlineData": {"mimeType": "image/png", "data": "MTIz"}}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (turn({"txt": "x"}), "Unknown name \"txt\" at 'contents[1].parts[0]'"),
        (turn({"text": "x", "txt": "x"}), "Unknown name \"txt\" at 'contents[1].parts[0]'"),
        (turn(), "contents[1].parts: contents.parts must not be empty"),
        (b'{"contents": [{"role": "user"}]}', "contents[0].parts: contents.parts must not be empty"),
        (turn({"text": "x"}, {}), "contents[1].parts[1].data: required oneof field 'data'"),
        (turn({"thought": True}), "contents[1].parts[0].data: required oneof field 'data'"),
        (turn({"text": "x", **IMAGE}), "oneof field 'data' is already set"),
        (turn({"text": "x"}, role="bogus"), "valid role: user, model"),
        (turn({"text": "x"}, role="function"), "valid role: user, model"),
        (
            json.dumps(ASK | {"systemInstruction": {"parts": [{}]}}).encode(),
            "system_instruction.parts[0].data: required",
        ),
        (json.dumps(ASK | {"systemInstruction": {"text": "x"}}).encode(), 'Unknown name "text"'),
    ],
)
@pytest.mark.parametrize("method", ["generateContent", "countTokens"])
async def test_contents_that_cannot_be_are_googles_400(body, said, method):
    if method == "countTokens" and b"systemInstruction" in body:
        body = b'{"generateContentRequest": %b}' % body
    async with mock() as session, session.post(path(method), data=body) as response:
        error = (await response.json())["error"]

    assert (response.status, error["status"]) == (400, "INVALID_ARGUMENT")
    assert said in error["message"]


@pytest.mark.parametrize(
    "body",
    [
        {"contents": {"parts": {"text": "why is the sky blue?"}}},
        {"contents": {"parts": [{"text": "why is the sky blue?"}]}},
        ASK | {"system_instruction": {"parts": {"text": "You are a cat."}}, "generationConfig": {"stopSequences": "!"}},
    ],
)
async def test_a_single_value_is_taken_for_a_list_of_it(body):
    async with mock() as session:
        async with session.post(path(), json=body) as response:
            answer = await response.json()
        async with session.post(path("countTokens"), json={"contents": body["contents"]}) as response:
            assert (await response.json())["totalTokens"] == 5

    assert answer["usageMetadata"]["promptTokenCount"] == 5


@pytest.mark.parametrize(
    "part",
    [
        IMAGE,
        {"file_data": {"fileUri": "x"}},
        {"functionCall": {"name": "f"}, "thoughtSignature": "MTIz"},
        {"function_response": {"name": "f", "response": {}}},
        {"text": "x", "thought": True},
        {"text": ""},
    ],
)
@pytest.mark.parametrize("role", ["user", "model", ""])
async def test_every_kind_of_part_goes(part, role):
    async with mock() as session, session.post(path(), data=turn(part, role=role)) as response:
        assert response.status == 200


@pytest.mark.parametrize(
    ("headers", "query", "status", "code"),
    [
        ({}, "", 403, "PERMISSION_DENIED"),
        ({"x-goog-api-key": "invalid"}, "", 400, "INVALID_ARGUMENT"),
        ({}, "?key=invalid", 400, "INVALID_ARGUMENT"),
        ({}, "?key=good", 200, None),
        ({"X-Goog-Api-Key": "good"}, "", 200, None),
    ],
)
async def test_keys(headers, query, status, code):
    async with (
        serving(Simulation("zero")) as url,
        aiohttp.ClientSession(url, headers=headers) as session,
        session.post(path() + query, json=ASK) as response,
    ):
        answer = await response.json()

    assert response.status == status
    assert answer.get("error", {}).get("status") == code
    assert ("API_KEY_INVALID" in str(answer)) is (status == 400)


async def test_unknown_models_methods_and_paths_are_404():
    async with mock() as session:
        async with session.post(path(model="gpt-5"), json=ASK) as response:
            error = (await response.json())["error"]
            assert (response.status, error["status"]) == (404, "NOT_FOUND")
        for unknown in (path("embed"), path(version="v2"), "/", "/v1beta/models", "/v1beta/models/a/b:countTokens"):
            async with session.post(unknown, json=ASK) as response:
                assert response.status == 404
                assert response.content_type == "text/html"
        async with session.get(path()) as response:
            assert response.status == 404
