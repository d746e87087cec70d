"""Reads a Gemini REST request as strictly as Google does: unknown fields, no contents and wild values are a 400."""

from __future__ import annotations

from typing import Any, Final

import orjson

from server.gemini.mock_bodies import bad_request
from server.gemini.protocol import GeminiCall, Parameters

_REQUEST_FIELDS: Final = frozenset(
    {
        "model",
        "contents",
        "tools",
        "toolConfig",
        "safetySettings",
        "systemInstruction",
        "generationConfig",
        "cachedContent",
        "store",
        "serviceTier",
    }
)
_CONFIG_FIELDS: Final = frozenset(
    {
        "stopSequences",
        "responseMimeType",
        "responseSchema",
        "responseJsonSchema",
        "responseModalities",
        "candidateCount",
        "maxOutputTokens",
        "temperature",
        "topP",
        "topK",
        "seed",
        "presencePenalty",
        "frequencyPenalty",
        "responseLogprobs",
        "logprobs",
        "enableEnhancedCivicAnswers",
        "speechConfig",
        "thinkingConfig",
        "imageConfig",
        "mediaResolution",
    }
)


class BadCallError(Exception):
    """A request that Gemini refuses with a 400; ``body`` is the answer."""

    def __init__(self, body: bytes) -> None:
        super().__init__("bad Gemini request")
        self.body = body


def read_generate(body: bytes, model: str) -> GeminiCall:
    """The call that a ``generateContent`` or ``streamGenerateContent`` body asks for. Raises :class:`BadCallError`."""
    request = _object(body)
    _refuse_unknown(request, _REQUEST_FIELDS, "")
    config = request.get("generationConfig") or {}
    if not isinstance(config, dict):
        raise BadCallError(bad_request("Invalid value at 'generation_config'", "generation_config"))
    _refuse_unknown(config, _CONFIG_FIELDS, "generation_config")
    if _number(config, "candidateCount", 1, 8, whole=True) not in (None, 1):
        raise BadCallError(bad_request("Multiple candidates is not enabled for this model"))
    tokens = _number(config, "maxOutputTokens", 1, 2**31 - 1, whole=True)
    parameters = Parameters(
        temperature=_number(config, "temperature", 0, 2),
        top_p=_number(config, "topP", 0, 1),
        max_output_tokens=None if tokens is None else int(tokens),
        stop_sequences=_stop_sequences(config),
    )
    return GeminiCall(_prompt(request, "GenerateContentRequest"), model, parameters)


def read_count(body: bytes) -> str:
    """The prompt whose tokens a ``countTokens`` body asks for. Raises :class:`BadCallError`."""
    request = _object(body)
    nested = request.get("generateContentRequest")
    return _prompt(nested if isinstance(nested, dict) else request, "CountTokensRequest")


def _object(body: bytes) -> dict[str, Any]:
    try:
        request = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadCallError(bad_request(f"Invalid JSON payload received. {error.msg}")) from None
    if not isinstance(request, dict):
        raise BadCallError(bad_request("Invalid JSON payload received. Unexpected token; expected an object"))
    # Google takes both spellings of a field.
    return {_camel(name): value for name, value in request.items()}


def _camel(name: str) -> str:
    head, *tail = name.split("_")
    return head + "".join(word.capitalize() for word in tail)


def _refuse_unknown(fields: dict[str, Any], known: frozenset[str], place: str) -> None:
    for name in fields:
        if name not in known and _camel(name) not in known:
            where = f" at '{place}'" if place else ""
            message = f'Invalid JSON payload received. Unknown name "{name}"{where}: Cannot find field.'
            raise BadCallError(bad_request(message, place))


def _prompt(request: dict[str, Any], message: str) -> str:
    contents = request.get("contents")
    if not contents:
        place = f"{message}.contents"
        raise BadCallError(bad_request(f"* {place}: contents is not specified\n", place))
    try:
        texts = [part["text"] for content in contents for part in content["parts"] if "text" in part]
        return "\n".join(texts)
    except (TypeError, KeyError):
        raise BadCallError(bad_request("Invalid value at 'contents' (oneof), text expected", "contents")) from None


def _number(config: dict[str, Any], name: str, low: float, high: float, *, whole: bool = False) -> float | None:
    value = config.get(name, config.get(_snake(name)))
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or (whole and value != int(value)):
        raise BadCallError(bad_request(f"Invalid value at 'generation_config.{_snake(name)}'", "generation_config"))
    if not low <= value <= high:
        message = f"* GenerateContentRequest.generation_config.{_snake(name)}: must be in the range [{low}, {high}]\n"
        raise BadCallError(bad_request(message, f"generation_config.{_snake(name)}"))
    return value


def _snake(name: str) -> str:
    return "".join(f"_{char.lower()}" if char.isupper() else char for char in name)


def _stop_sequences(config: dict[str, Any]) -> tuple[str, ...]:
    stops = config.get("stopSequences", config.get("stop_sequences")) or []
    if not isinstance(stops, list) or not all(isinstance(stop, str) for stop in stops):
        raise BadCallError(bad_request("Invalid value at 'generation_config.stop_sequences'", "generation_config"))
    if len(stops) > 5:
        raise BadCallError(bad_request("* GenerateContentRequest.generation_config.stop_sequences: at most 5\n"))
    return tuple(stops)
