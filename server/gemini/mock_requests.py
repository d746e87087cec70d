"""Reads a Gemini REST request as strictly as Google does: unknown fields, no contents and wild values are a 400."""

from __future__ import annotations

from typing import Annotated, Any, Final, Required

from pydantic import Field, TypeAdapter, ValidationError, with_config
from pydantic_core import ErrorDetails
from typing_extensions import TypedDict  # the standard one is not good enough for pydantic before Python 3.12

from server.gemini.mock_bad_call import BadCallError, unknown_name
from server.gemini.mock_bodies import bad_request
from server.gemini.mock_contents import STRICT, Content, Repeated, check, check_system, prompt_of
from server.gemini.protocol import GeminiCall, Parameters


@with_config(STRICT)
class _GenerationConfig(TypedDict, total=False):
    temperature: Annotated[float, Field(ge=0, le=2)]
    top_p: Annotated[float, Field(ge=0, le=1)]
    max_output_tokens: Annotated[int, Field(ge=1)]
    stop_sequences: Annotated[Repeated[Annotated[str, Field(min_length=1)]], Field(max_length=5)]
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
    audio_transcription_config: Any


@with_config(STRICT)
class _GenerateRequest(TypedDict, total=False):
    contents: Required[Annotated[Repeated[Content], Field(min_length=1)]]
    system_instruction: Content
    generation_config: _GenerationConfig
    # Known to Google, of no consequence here.
    model: str
    tools: Any
    tool_config: Any
    safety_settings: Any
    cached_content: str
    service_tier: str
    store: bool
    continuation_token: Any


@with_config(STRICT)
class _CountRequest(TypedDict, total=False):
    model: str
    contents: Repeated[Content]
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
    contents = _checked(request, "GenerateContentRequest")
    parameters = _DEFAULTS
    if config := request.get("generation_config"):
        parameters = Parameters(
            temperature=config.get("temperature"),
            top_p=config.get("top_p"),
            max_output_tokens=config.get("max_output_tokens"),
            stop_sequences=tuple(config.get("stop_sequences", ())),
        )
    return GeminiCall(prompt_of(contents), model, parameters)


def read_count(body: bytes) -> str:
    """The prompt whose tokens a ``countTokens`` body asks for. Raises :class:`BadCallError`."""
    try:
        request = _COUNT.validate_json(body)
    except ValidationError as error:
        raise _refusal(error, "CountTokensRequest") from None
    nested = request.get("generate_content_request")
    if nested is not None:
        return prompt_of(_checked(nested, "CountTokensRequest.generate_content_request"))
    return prompt_of(_checked({"contents": request.get("contents", [])}, "CountTokensRequest"))


def _checked(request: _GenerateRequest, message: str) -> list[Content]:
    """The contents of ``request``. Raises :class:`BadCallError` for those that Google refuses."""
    contents = request["contents"]
    check(contents, message)
    if "system_instruction" in request:
        check_system(request["system_instruction"], message)
    return contents


def _refusal(error: ValidationError, message: str) -> BadCallError:
    first: ErrorDetails = error.errors(include_url=False)[0]
    *place, name = first["loc"] or ("",)
    if first["type"] == "json_invalid":
        return BadCallError(bad_request(f"Invalid JSON payload received. {first['msg']}"))
    if first["type"] == "extra_forbidden":
        return unknown_name(f"{name}", _path(place))
    if name == "contents" and first["type"] in ("missing", "too_short"):
        text = f"* {message}.contents: contents is not specified\n"
        return BadCallError(bad_request(text, f"{message}.contents"))
    field = _path([*place, name])
    return BadCallError(bad_request(f"Invalid value at '{field}': {first['msg']}", field))


def _path(place: list[str | int]) -> str:
    """As Google writes it: ``contents[0].parts[0]``."""
    return "".join([f"[{step}]" if isinstance(step, int) else f".{step}" for step in place]).removeprefix(".")
