"""Every live client, with the face of the mock that it speaks to."""

import asyncio
from contextlib import asynccontextmanager

from pydantic import SecretStr

from server.gemini.clients import create_client
from server.gemini.mock_grpc import serving_grpc
from server.gemini.mock_server import serving
from server.gemini.protocol import GeminiCall, GeminiClient, GeminiReply, Parameters
from server.gemini.simulation import Simulation

MODEL = "gemini-2.5-flash"
SECRET = "AIzaSy-a-very-secret-key-indeed"
CALL = GeminiCall("why is the sky blue?", MODEL, Parameters(0.5, 0.9, 200, ("never said",)))

WAYS = [
    (name, way)
    for name in ("aiohttp", "builtin", "google-genai", "google-generativeai")
    for way in ("async", "blocking")
]

OVER_REST = [way for way in WAYS if way != ("google-generativeai", "async")]
"""The ways that speak HTTP: the other one is gRPC."""


@asynccontextmanager
async def client_of(name: str, way: str, simulation: Simulation, key: str = SECRET):
    """The client called ``name``, with the face of the mock that it speaks to when used this ``way``."""
    over_grpc = (name, way) == ("google-generativeai", "async")
    async with serving_grpc(simulation) if over_grpc else serving(simulation) as url:
        client = create_client(name, api_key=SecretStr(key), base_url=url)
        try:
            yield client
        finally:
            await client.aclose()


async def generate(
    client: GeminiClient, way: str, call: GeminiCall = CALL, timeout_s: float | None = 20
) -> GeminiReply:
    if way == "async":
        return await client.generate(call, timeout_s=timeout_s)
    return await asyncio.to_thread(client.generate_blocking, call, timeout_s=timeout_s)
