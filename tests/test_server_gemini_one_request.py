"""One call is one request to one host: no client follows a redirect, or asks again by itself."""

import asyncio

import pytest
from pydantic import SecretStr

from server.errors import UpstreamError
from server.gemini.clients import create_client
from server.gemini.protocol import GeminiCall
from tests.live_clients import CALL, MODEL, OVER_REST, SECRET, generate
from tests.raw_upstream import answering, http, upstream

pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class:DeprecationWarning")

over_rest = pytest.mark.parametrize(("name", "way"), OVER_REST)


async def refused(name: str, way: str, url: str) -> UpstreamError:
    client = create_client(name, api_key=SecretStr(SECRET), base_url=url)
    try:
        with pytest.raises(UpstreamError) as caught:
            await generate(client, way)
    finally:
        await client.aclose()
    return caught.value


@over_rest
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_an_error_and_nobody_else_sees_the_key(name, way, status):
    connected: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.append(await reader.read(1 << 16))

    async with upstream(listen) as elsewhere:
        location = f"Location: {elsewhere}/steal\r\n".replace("127.0.0.1", "localhost")
        async with answering(http(f"{status} Elsewhere", b"", location)) as (url, seen):
            error = await refused(name, way, url)

    assert not connected
    assert len(seen) == 1
    assert (type(error), error.upstream_status) == (UpstreamError, status)


@over_rest
@pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
async def test_an_error_is_not_asked_for_again(name, way, status):
    body = b'{"error": {"code": %d, "message": "no", "status": "NO"}}' % status
    async with answering(*[http(f"{status} No", body, "Content-Type: application/json\r\n")] * 5) as (url, seen):
        error = await refused(name, way, url)

    assert error.upstream_status == status
    assert len(seen) == 1


@over_rest
@pytest.mark.parametrize("kind", ["application/json", "text/html"])
async def test_an_error_whose_body_is_no_json_keeps_its_status(name, way, kind):
    async with answering(http("502 Bad Gateway", b"<html>bad</html>", f"Content-Type: {kind}\r\n")) as (url, _):
        error = await refused(name, way, url)

    assert error.upstream_status == 502
    assert error.retryable


@over_rest
@pytest.mark.parametrize("call", [CALL, GeminiCall("without parameters", MODEL)])
async def test_an_answer_broken_off_is_not_asked_for_further(name, way, call):
    first = b'{"content": {"parts": [{"text": "a"}]}, "finishReason": "CONTINUATION", "continuationToken": "YQ=="}'
    answer = http("200 OK", b'{"candidates": [%b]}' % first, "Content-Type: application/json\r\n")
    async with answering(*[answer] * 3) as (url, seen):
        client = create_client(name, api_key=SecretStr(SECRET), base_url=url)
        reply = await generate(client, way, call)
        await client.aclose()

    assert reply.text == "a"
    assert reply.finish_reason == "CONTINUATION" or name == "google-generativeai"  # which does not know that reason
    assert len(seen) == 1
