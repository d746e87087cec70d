"""Makes the Gemini client that settings ask for. An SDK is imported only when it is the one chosen."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import SecretStr

from server.gemini.endpoint import Endpoint, GeminiSetupError
from server.gemini.faults import NO_FAULTS, FaultScript
from server.gemini.protocol import GeminiClient

ClientName = Literal["mock", "builtin", "aiohttp", "google-genai", "google-generativeai"]


def create_client(
    name: ClientName,
    *,
    api_key: SecretStr | None = None,
    base_url: str | None = None,
    profile: str = "lesson",
    seed: int = 0,
    faults: Path | None = None,
    max_connections: int = 0,
) -> GeminiClient:
    """The client called ``name``.

    ``profile``, ``seed`` and ``faults`` (a TOML script, see docs/gemini.md) are the mock's; ``api_key``, ``base_url``
    (Google's own when ``None``) and ``max_connections`` (0: no limit; the REST clients only) are the live clients'.

    Raises :class:`server.gemini.endpoint.GeminiSetupError` or another ``ValueError`` whose text is one line for the
    user: no key for the real endpoint, an SDK that is not installed, an unknown profile, a fault script with a mistake.
    """
    if name == "mock":
        from server.gemini.mock import MockGemini

        script = FaultScript.load(faults) if faults else NO_FAULTS
        return MockGemini(profile, seed=seed, faults=script)
    endpoint = Endpoint.parse(base_url, api_key)
    match name:
        case "builtin":
            from server.gemini.builtin_client import BuiltinGemini

            return BuiltinGemini(endpoint, max_connections=max_connections)
        case "aiohttp":
            from server.gemini.aiohttp_client import AiohttpGemini

            return AiohttpGemini(endpoint, max_connections=max_connections)
        case "google-genai":
            from server.gemini.google_genai_client import GoogleGenaiGemini

            return GoogleGenaiGemini(endpoint)
        case "google-generativeai":
            from server.gemini.google_generativeai_client import GoogleGenerativeaiGemini

            return GoogleGenerativeaiGemini(endpoint)
    raise GeminiSetupError(f"unknown Gemini client {name!r}")
