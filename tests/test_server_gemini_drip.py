"""An upstream that sends a byte now and then is never silent for long, and yet has its time-out."""

import asyncio
import time

import pytest
from pydantic import SecretStr

from server.gemini.clients import create_client
from tests.live_clients import CALL, OVER_REST, SECRET, generate
from tests.raw_upstream import http, read_request, upstream

pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class:DeprecationWarning")

TIMEOUT_S = 0.3
DRIPS_S = 3.0

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
# What is sent at once, and the byte that then comes again and again.
DRIPS = {
    "status line": (b"HTTP/1.1 200 ", b"K"),
    "header": (HEAD + b"X-Long: ", b"a"),
    "hints": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "body with a length": (HEAD + b"Content-Length: 1000000\r\n\r\n", b" "),
    "body in chunks": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    "body to the end": (HEAD + b"Connection: close\r\n\r\n", b" "),
}

# Of the SDKs only the async calls: their blocking ones bound each wait on the socket, as docs/gemini.md says.
BOUNDED = [(name, way) for name, way in OVER_REST if way == "async" or not name.startswith("google-")]


@pytest.mark.parametrize(("name", "way"), BOUNDED)
@pytest.mark.parametrize("kind", DRIPS)
async def test_the_time_out_is_for_the_whole_answer(name, way, kind):
    begin, drip = DRIPS[kind]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(begin)
        ends_at = time.monotonic() + DRIPS_S
        while time.monotonic() < ends_at:
            writer.write(drip)
            await writer.drain()
            await asyncio.sleep(TIMEOUT_S / 10)

    async with upstream(serve) as url:
        client = create_client(name, api_key=SecretStr(SECRET), base_url=url)
        started_s = time.monotonic()
        with pytest.raises(TimeoutError):
            await generate(client, way, timeout_s=TIMEOUT_S)
        took_s = time.monotonic() - started_s
        await client.aclose()

    assert TIMEOUT_S * 0.9 <= took_s < DRIPS_S / 2


@pytest.mark.parametrize("name", ["aiohttp", "builtin"])
async def test_after_a_time_out_a_thread_begins_on_a_new_connection(name):
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        late = connections == 1
        await read_request(reader)
        if not late:
            writer.write(http("200 OK", b'{"candidates": [{"content": {"parts": [{"text": "a"}]}}]}'))
        await reader.read()

    def twice() -> str:
        with pytest.raises(TimeoutError):
            client.generate_blocking(CALL, timeout_s=TIMEOUT_S)
        return client.generate_blocking(CALL, timeout_s=20).text

    async with upstream(serve) as url:
        client = create_client(name, base_url=url)
        assert await asyncio.to_thread(twice) == "a"
        await client.aclose()
