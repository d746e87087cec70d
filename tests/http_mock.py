"""The mock's HTTP face for tests: a session on a mock, the path of a call, and a call as bytes."""

import json
from contextlib import asynccontextmanager

import aiohttp

from server.gemini.faults import FaultScript
from server.gemini.mock_server import serving
from server.gemini.simulation import Simulation

MODEL = "gemini-2.5-flash"
KEY = {"x-goog-api-key": "any"}
ASK = {"contents": [{"role": "user", "parts": [{"text": "why is the sky blue?"}]}]}


@asynccontextmanager
async def mock(faults: str = "", profile: str = "zero", seed: int = 0):
    simulation = Simulation(profile, seed=seed, faults=FaultScript.parse(faults))
    async with serving(simulation) as url, aiohttp.ClientSession(url, headers=KEY) as session:
        yield session


def path(method: str = "generateContent", version: str = "v1beta", model: str = MODEL) -> str:
    return f"/{version}/models/{model}:{method}"


def request_bytes(body: bytes = json.dumps(ASK).encode(), extra: str = "") -> bytes:
    head = f"POST {path()} HTTP/1.1\r\nHost: a\r\nx-goog-api-key: a\r\n{extra}Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body
