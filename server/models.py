"""What is said on the wire: the request, the reply and the problem, as pydantic models.

Requests are validated with :class:`ProcessRequest`. Replies are written as bytes by ``server.replies``, not by these
models, because a cached reply is kept as bytes; the models tell ``/openapi.json`` and the tests what those bytes are.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

MODEL_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
"""A Gemini model's name. It becomes part of an upstream URL's path, so nothing that could leave that place is taken."""

CacheOutcome = Literal["hit", "stale", "miss", "collapsed", "bypass"]


def _whole(value: object) -> object:
    """``8.0`` is an integer to JSON and to JSON Schema."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


# Last in an Annotated: before the bounds it would hide them from the JSON schema.
_Whole = BeforeValidator(_whole)

_REQUEST = ConfigDict(extra="forbid", frozen=True, strict=True)
_REPLY = ConfigDict(extra="forbid", frozen=True)


class GenerationParameters(BaseModel):
    """How Gemini is to generate; what is left out is the model's own default."""

    model_config = _REQUEST

    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    max_output_tokens: Annotated[int, Field(ge=1, le=65_536), _Whole] | None = None
    stop_sequences: Annotated[tuple[Annotated[str, Field(min_length=1, max_length=256)], ...], Field(max_length=5)] = ()


DEFAULT_PARAMETERS = GenerationParameters()


class ProcessRequest(BaseModel):
    """The body of ``POST /process``: prompts of one agent, each answered by one Gemini call."""

    model_config = _REQUEST

    agent_id: Annotated[str, Field(min_length=1, max_length=128)]
    prompts: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1, max_length=8)]
    model: Annotated[str, Field(pattern=MODEL_NAME)] | None = None
    parameters: GenerationParameters = DEFAULT_PARAMETERS
    deadline_ms: (
        Annotated[int, Field(ge=1, le=600_000, description="time budget of the whole request"), _Whole] | None
    ) = None
    metadata: Annotated[dict[str, str], Field(max_length=64, description="carried, never read")] | None = None


class TokenUsage(BaseModel):
    """Tokens as Gemini counts them."""

    model_config = _REPLY

    prompt_tokens: Annotated[int, Field(ge=0)]
    output_tokens: Annotated[int, Field(ge=0)]
    total_tokens: Annotated[int, Field(ge=0)]


class PromptResult(BaseModel):
    """One prompt's answer; ``attempts`` and ``latency_ms`` are those of the call that made it, also on a cache hit."""

    model_config = _REPLY

    text: str
    model: str
    finish_reason: str
    usage: TokenUsage
    attempts: Annotated[int, Field(ge=0)]
    latency_ms: Annotated[float, Field(ge=0)]


class StageTimings(BaseModel):
    """Where the request's time went, in milliseconds. The six parts sum to ``total``."""

    model_config = _REPLY

    queue: float
    validate_: Annotated[float, Field(alias="validate")]
    cache: float
    gemini: float
    backoff: float
    aggregate: float
    total: float


class ProcessReply(BaseModel):
    """The answer to ``POST /process``: ``results`` in the order of ``prompts``, ``text`` all of them together."""

    model_config = _REPLY

    request_id: str
    state: Literal["COMPLETED"]
    results: list[PromptResult]
    text: str
    usage: TokenUsage
    cache: CacheOutcome
    attempts: Annotated[int, Field(ge=0, description="Gemini attempts of the slowest leg for this request; 0 on a hit")]
    timings_ms: StageTimings
    degraded: bool


class FieldProblem(BaseModel):
    """One field that is wrong, by its dotted path."""

    model_config = _REPLY

    loc: str
    msg: str
    type: str


class Problem(BaseModel):
    """An error as RFC 9457 writes it; ``errors`` only with status 422."""

    model_config = _REPLY

    type: Annotated[str, Field(pattern=r"^urn:tailgate:error:[a-z-]+$")]
    title: str
    status: Annotated[int, Field(ge=400, le=599)]
    detail: str
    request_id: str
    errors: list[FieldProblem] | None = None
