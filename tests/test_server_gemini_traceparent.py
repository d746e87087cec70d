"""The trace of a call goes with it to Gemini, by the bytes on the wire."""

import asyncio
import contextlib
from contextlib import asynccontextmanager

import pytest
from pydantic import SecretStr

from server.gemini.clients import create_client
from server.gemini.mock_server import serving
from server.gemini.protocol import GeminiCall
from server.gemini.simulation import Plan, Simulation
from tests.live_clients import CALL, SECRET, WAYS, client_of, generate

# google-genai inherits from aiohttp's session, which aiohttp discourages.
pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class:DeprecationWarning")

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@asynccontextmanager
async def tapped(url: str):
    """A way to ``url`` that notes every byte sent there."""
    sent = bytearray()
    port = int(url.rpartition(":")[2])
    served: set[asyncio.Task] = set()

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, note: bool) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65_536):
                if note:
                    sent.extend(data)
                writer.write(data)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.add(asyncio.current_task())
        onward = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pass_on(reader, onward[1], note=True), pass_on(onward[0], writer, note=False))

    async with await asyncio.start_server(connect, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", sent
        if served:
            await asyncio.wait(served, timeout=5)


@pytest.mark.parametrize(("name", "way"), [way for way in WAYS if way != ("google-generativeai", "async")])
async def test_a_traceparent_goes_with_its_call_and_with_no_other(name, way):
    async with serving(Simulation("zero")) as url, tapped(url) as (tap, sent):
        client = create_client(name, api_key=SecretStr(SECRET), base_url=tap)
        plain = await generate(client, way)
        assert plain.text.startswith(CALL.prompt)
        assert b"traceparent" not in sent.lower()
        sent.clear()
        traced = await generate(client, way, CALL._replace(traceparent=TRACEPARENT))
        await client.aclose()

    assert traced.text.startswith(CALL.prompt)
    assert sent.lower().count(b"\r\ntraceparent: %b\r\n" % TRACEPARENT.encode()) == 1


async def test_a_traceparent_goes_over_grpc_too():
    class Noting(Simulation):
        def begin(self, call: GeminiCall) -> Plan:
            traces.append(call.traceparent)
            return super().begin(call)

    traces: list[str | None] = []
    async with client_of("google-generativeai", "async", Noting("zero")) as client:
        await generate(client, "async")
        await generate(client, "async", CALL._replace(traceparent=TRACEPARENT))

    assert traces == [None, TRACEPARENT]
