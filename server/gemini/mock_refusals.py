"""Whom Gemini turns away before it reads a request: callers without a good key, and models that it does not have."""

from __future__ import annotations

from typing import Final

from server.gemini import mock_bodies as bodies

_MODELS: Final = ("gemini-", "gemma-")


def refuse(key: str, version: str, model: str, method: str) -> tuple[int, bytes] | None:
    """Status and body of the refusal, or ``None`` for a call that may be read. ``key`` is empty when none was sent.

    ``version`` and ``method`` (``v1beta``, ``generateContent``) only enter the text.
    """
    if not key:
        return 403, bodies.no_key()
    if key == bodies.INVALID_KEY:
        return 400, bodies.invalid_key()
    if not model.startswith(_MODELS):
        message = (
            f"models/{model} is not found for API version {version}, or is not supported for {method}. Call "
            "ListModels to see the list of available models and their supported methods."
        )
        return 404, bodies.error_body(404, message)
    return None
