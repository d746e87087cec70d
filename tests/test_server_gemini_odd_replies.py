"""Answers of 200 that are not quite a reply: every client that speaks HTTP makes the same of them."""

import pytest
from pydantic import SecretStr

from server.errors import UpstreamBlocked, UpstreamError, UpstreamUnavailable
from server.gemini.clients import create_client
from server.gemini.protocol import GeminiReply, Usage
from tests.live_clients import MODEL, OVER_REST, SECRET, generate
from tests.raw_upstream import answering, http

pytestmark = [
    pytest.mark.filterwarnings("ignore:Inheritance class:DeprecationWarning"),
    pytest.mark.parametrize(("name", "way"), OVER_REST),
]


async def reply_to(name: str, way: str, body: bytes) -> GeminiReply:
    async with answering(http("200 OK", body, "Content-Type: application/json\r\n")) as (url, _):
        client = create_client(name, api_key=SecretStr(SECRET), base_url=url)
        try:
            return await generate(client, way)
        finally:
            await client.aclose()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[1,2]",
        b"{}",
        b'{"candidates": []}',
        b'{"usageMetadata": {"promptTokenCount": 3, "totalTokenCount": 3}}',
        b'{"candidates": [{"content": {"parts": [{"text": "\\ud800"}]}, "finishReason": "STOP"}]}',
        b'{"candidates": [{"content": {}}], "usageMetadata": {"promptTokenCount": 3.5, "totalTokenCount": 4}}',
    ],
)
async def test_what_is_no_reply_may_be_asked_for_again(name, way, body):
    with pytest.raises(UpstreamError) as caught:
        await reply_to(name, way, body)

    assert (type(caught.value), caught.value.upstream_status) == (UpstreamUnavailable, 200)


@pytest.mark.parametrize("feedback", [b'{"blockReason": "SAFETY"}', b"{}"])
async def test_feedback_without_candidates_is_a_refusal(name, way, feedback):
    with pytest.raises(UpstreamBlocked):
        await reply_to(name, way, b'{"promptFeedback": %b}' % feedback)


@pytest.mark.parametrize(
    ("first", "usage", "reply"),
    [
        (b'"content": {"parts": [{"text": "a"}]}, "finishReason": null', b"null", ("a", Usage(0, 0, 0))),
        (b'"content": null, "finishReason": "STOP"', b'{"promptTokenCount": null}', ("", Usage(0, 0, 0))),
        (b'"finishReason": "STOP", "content": {"parts": null}', b'{"totalTokenCount": null}', ("", Usage(0, 0, 0))),
    ],
)
async def test_null_is_as_good_as_absent(name, way, first, usage, reply):
    got = await reply_to(name, way, b'{"candidates": [{%b}], "usageMetadata": %b}' % (first, usage))

    assert (got.text, got.usage) == reply
    assert got.model == MODEL


async def test_thinking_counts_as_output(name, way):
    used = b'{"promptTokenCount": 3, "candidatesTokenCount": 1, "thoughtsTokenCount": 10, "totalTokenCount": 14}'
    body = b'{"candidates": [{"content": {"parts": [{"text": "a"}]}, "finishReason": "STOP"}], "usageMetadata": %b}'

    assert (await reply_to(name, way, body % used)).usage == Usage(3, 11, 14)
