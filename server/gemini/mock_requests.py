"""Reads a Gemini REST request as strictly as Google does: unknown fields, no contents and wild values are a 400."""

from __future__ import annotations

from typing import Annotated, Any, Final, Required

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, with_config
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails
from typing_extensions import TypedDict  # the standard one is not good enough for pydantic before Python 3.12

from server.gemini.mock_bodies import bad_request
from server.gemini.protocol import GeminiCall, Parameters


class BadCallError(Exception):
    """A request that Gemini refuses with a 400; ``body`` is the answer."""

    def __init__(self, body: bytes) -> None:
        super().__init__("bad Gemini request")
        self.body = body


# Google takes both spellings of a field, camelCase and snake_case, and refuses what it does not know.
_STRICT = ConfigDict(extra="forbid", alias_generator=to_camel, validate_by_name=True, validate_by_alias=True)


@with_config(ConfigDict(extra="ignore"))
class _Part(TypedDict, total=False):
    text: str


@with_config(_STRICT)
class _Content(TypedDict, total=False):
    parts: Required[list[_Part]]
    role: str


@with_config(_STRICT)
class _GenerationConfig(TypedDict, total=False):
    temperature: Annotated[float, Field(ge=0, le=2)]
    top_p: Annotated[float, Field(ge=0, le=1)]
    max_output_tokens: Annotated[int, Field(ge=1)]
    stop_sequences: Annotated[list[Annotated[str, Field(min_length=1)]], Field(max_length=5)]
    candidate_count: Annotated[int, Field(ge=1, le=1)]
    # Known to Google, of no consequence here.
    top_k: float
    seed: int
    presence_penalty: float
    frequency_penalty: float
    response_mime_type: str
    response_schema: Any
    response_json_schema: Any
    response_modalities: Any
    response_logprobs: bool
    logprobs: int
    enable_enhanced_civic_answers: bool
    speech_config: Any
    thinking_config: Any
    image_config: Any
    media_resolution: Any


@with_config(_STRICT)
class _GenerateRequest(TypedDict, total=False):
    contents: Required[Annotated[list[_Content], Field(min_length=1)]]
    generation_config: _GenerationConfig
    # Known to Google, of no consequence here.
    model: str
    tools: Any
    tool_config: Any
    safety_settings: Any
    system_instruction: Any
    cached_content: str


@with_config(_STRICT)
class _CountRequest(TypedDict, total=False):
    model: str
    contents: list[_Content]
    generate_content_request: _GenerateRequest


# TypedDicts, not models: most fields are absent, and a model would fill in each one's default on every call.
_GENERATE: Final = TypeAdapter(_GenerateRequest)
_COUNT: Final = TypeAdapter(_CountRequest)
_DEFAULTS: Final = Parameters()


def read_generate(body: bytes, model: str) -> GeminiCall:
    """The call that a ``generateContent`` or ``streamGenerateContent`` body asks for. Raises :class:`BadCallError`."""
    try:
        request = _GENERATE.validate_json(body)
    except ValidationError as error:
        raise _refusal(error, "GenerateContentRequest") from None
    parameters = _DEFAULTS
    if config := request.get("generation_config"):
        parameters = Parameters(
            temperature=config.get("temperature"),
            top_p=config.get("top_p"),
            max_output_tokens=config.get("max_output_tokens"),
            stop_sequences=tuple(config.get("stop_sequences", ())),
        )
    return GeminiCall(_prompt(request["contents"]), model, parameters)


def read_count(body: bytes) -> str:
    """The prompt whose tokens a ``countTokens`` body asks for. Raises :class:`BadCallError`."""
    try:
        request = _COUNT.validate_json(body)
    except ValidationError as error:
        raise _refusal(error, "CountTokensRequest") from None
    nested = request.get("generate_content_request")
    return _prompt(nested["contents"] if nested else request.get("contents", []))


def _prompt(contents: list[_Content]) -> str:
    return "\n".join([part.get("text", "") for content in contents for part in content["parts"]])


def _refusal(error: ValidationError, message: str) -> BadCallError:
    first: ErrorDetails = error.errors(include_url=False)[0]
    *place, name = [f"{part}" for part in first["loc"]] or [""]
    if first["type"] == "json_invalid":
        return BadCallError(bad_request(f"Invalid JSON payload received. {first['msg']}"))
    if first["type"] == "extra_forbidden":
        where = f" at '{'.'.join(place)}'" if place else ""
        text = f'Invalid JSON payload received. Unknown name "{name}"{where}: Cannot find field.'
        return BadCallError(bad_request(text, ".".join(place)))
    if name == "contents" and first["type"] in ("missing", "too_short"):
        text = f"* {message}.contents: contents is not specified\n"
        return BadCallError(bad_request(text, f"{message}.contents"))
    field = ".".join([*place, name])
    return BadCallError(bad_request(f"Invalid value at '{field}': {first['msg']}", field))
