"""What can be set, with its default and its meaning. Read once at the start (``server.settings_sources``), then frozen.

Each group is the settings of one thing; ``enabled = false`` takes a policy out of the pipeline altogether.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

from server.gemini.clients import ClientName
from server.models import MODEL_NAME

Mode = Literal["async", "sync", "blocking"]

_GROUP = ConfigDict(frozen=True, extra="forbid")
# Beyond any use, and within what JSON, timers and sleeps can take.
_MOST: Final = 10**9


def _sha256_hex(given: str) -> str:
    if re.fullmatch(r"[0-9a-fA-F]{64}", given.strip()) is None:
        raise ValueError("SHA-256 in hex is wanted, e.g. of printf %s KEY | sha256sum")
    return given.strip().lower()


def _one_or_many(given: object) -> object:
    return given.split(",") if isinstance(given, str) else given


Seconds = Annotated[float, Field(ge=0, le=_MOST)]
PositiveSeconds = Annotated[float, Field(gt=0, le=_MOST)]
Share = Annotated[float, Field(gt=0, le=1)]
PositiveRate = Annotated[float, Field(gt=0, le=_MOST)]
ShareFromZero = Annotated[float, Field(ge=0, le=_MOST)]
Count = Annotated[int, Field(ge=1, le=_MOST)]
CountFromZero = Annotated[int, Field(ge=0, le=_MOST)]
Sha256Hex = Annotated[str, AfterValidator(_sha256_hex)]
Origin = Annotated[str, StringConstraints(pattern=r"^(https?://[^/\s]+|\*)$")]


class CacheSettings(BaseModel):
    """Answers kept, per agent unless shared; identical requests in flight share one call."""

    model_config = _GROUP

    enabled: bool = Field(True, description="keep answers and share calls in flight")
    ttl_s: PositiveSeconds = Field(300.0, description="seconds an answer stays fresh")
    max_entries: Count = Field(2048, description="answers kept; the least recently used goes first")
    stale_while_revalidate_s: Seconds = Field(
        0.0, description="seconds after the ttl in which the old answer is served while a new one is fetched"
    )
    stale_if_error_s: Seconds = Field(
        0.0, description="seconds after the ttl in which the old answer is served when Gemini fails"
    )
    share_between_agents: bool = Field(False, description="let one agent be answered from what another one asked")


class RetrySettings(BaseModel):
    """Failed Gemini calls tried again: exponential backoff with full jitter, within a budget."""

    model_config = _GROUP

    enabled: bool = Field(True, description="try failed calls again")
    attempts: Annotated[int, Field(ge=1, le=10)] = Field(3, description="attempts a call, the first included")
    base_s: Seconds = Field(0.1, description="longest pause before the second attempt, doubled for each one after")
    max_wait_s: Seconds = Field(60.0, description="longest pause; a longer one that Gemini asks for is a failure")
    budget_share: ShareFromZero = Field(0.2, description="retries allowed as a share of calls")
    budget_min_per_s: Seconds = Field(10.0, description="retries a second allowed in any case")


class RateLimitSettings(BaseModel):
    """Gemini calls a second, over all agents and for each one."""

    model_config = _GROUP

    enabled: bool = Field(True, description="limit the rate of Gemini calls")
    per_s: PositiveRate = Field(5000.0, description="calls a second over all agents")
    burst: Count = Field(5000, description="calls at once over all agents")
    agent_per_s: PositiveRate = Field(1000.0, description="calls a second for one agent")
    agent_burst: Count = Field(1000, description="calls at once for one agent")
    max_wait_s: Seconds = Field(5.0, description="longest wait for a turn before the answer is 429")


class CircuitBreakerSettings(BaseModel):
    """Gemini is left alone for a while when too many calls fail or are slow."""

    model_config = _GROUP

    enabled: bool = Field(True, description="stop calling a Gemini that fails")
    window_s: PositiveSeconds = Field(10.0, description="seconds of calls that are judged")
    min_calls: Count = Field(50, description="calls in the window before it is judged at all")
    failure_share: Share = Field(0.5, description="share of failed calls that opens the circuit")
    slow_call_s: PositiveSeconds = Field(10.0, description="seconds from which a call counts as slow")
    slow_share: Share = Field(0.8, description="share of slow calls that opens the circuit")
    open_s: PositiveSeconds = Field(5.0, description="seconds the circuit stays open before probes go through")
    probes: Count = Field(3, description="calls let through to find out whether Gemini is back")


class BulkheadSettings(BaseModel):
    """Requests that work on Gemini's answers at once, and those that may wait for a place."""

    model_config = _GROUP

    enabled: bool = Field(True, description="bound the requests in progress")
    max_in_flight: Count = Field(10_000, description="requests in progress at once")
    max_queue: CountFromZero = Field(2_000, description="requests that may wait for a place")
    adaptive: bool = Field(False, description="let the number of places follow the latency (AIMD)")
    adaptive_target_s: PositiveSeconds = Field(2.0, description="seconds that a request may hold a place")


class DeadlineSettings(BaseModel):
    """One time budget a request, for queue, retries and every leg."""

    model_config = _GROUP

    enabled: bool = Field(True, description="end requests that take too long with 504")
    default_ms: Annotated[int, Field(ge=1, le=600_000)] = Field(
        30_000, description="budget in ms of a request that names none"
    )
    attempt_ms: Annotated[int, Field(ge=1, le=600_000)] = Field(15_000, description="budget in ms of one Gemini call")


class HedgeSettings(BaseModel):
    """A second call when the first one is slower than nearly all before it; the loser is cancelled."""

    model_config = _GROUP

    enabled: bool = Field(False, description="make a second call when the first one is slow")
    quantile: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.95, description="share of calls that are faster than the moment of hedging"
    )
    budget_share: ShareFromZero = Field(0.1, description="second calls allowed as a share of calls")


class FallbackSettings(BaseModel):
    """A lesser answer, marked degraded, when Gemini cannot be had: an old one, another model's, a fixed text."""

    model_config = _GROUP

    enabled: bool = Field(False, description="answer with something lesser rather than with an error")
    stale: bool = Field(True, description="answer with what is still in the cache, however old")
    model: Annotated[str, Field(pattern=MODEL_NAME)] | None = Field(None, description="model to ask instead")
    model_ms: Annotated[int, Field(ge=1, le=600_000)] = Field(5_000, description="budget in ms of asking that model")
    text: str | None = Field(None, description="text to answer when nothing else is left")

    @model_validator(mode="after")
    def _has_something_to_offer(self) -> Self:
        if self.enabled and not (self.stale or self.model or self.text):
            raise ValueError("a fallback needs stale, model or text")
        return self


class TrackSettings(BaseModel):
    """Gemini calls timed and counted, with their tokens, for /metrics."""

    model_config = _GROUP

    enabled: bool = Field(True, description="time and count Gemini calls")


class MockSettings(BaseModel):
    """The Gemini in this process, for when no real one is called."""

    model_config = _GROUP

    profile: str = Field("lesson", description="latency profile: lesson, flash, pro, congested, zero, or e.g. 200ms")
    seed: CountFromZero = Field(0, description="the same seed gives the same answers and latencies")
    faults: Path | None = Field(None, description="TOML script of faults by time")


class LiveSettings(BaseModel):
    """The real Gemini, or a server that speaks like it. Its key is read from GEMINI_API_KEY only."""

    model_config = _GROUP

    base_url: Annotated[str, Field(pattern=r"^https?://\S+$")] | None = Field(
        None, description="where Gemini's API is, when not at Google"
    )
    max_connections: CountFromZero = Field(
        8000, description="connections at once of the REST clients, more calls wait for one; 0: no limit"
    )


class OtelSettings(BaseModel):
    """OpenTelemetry traces: a span a request and a span a leg. Needs the extra `otel`; costs about 60 us a request."""

    model_config = _GROUP

    enabled: bool = Field(False, description="send traces")
    endpoint: Annotated[str, Field(pattern=r"^https?://\S+$")] = Field(
        "http://127.0.0.1:4318/v1/traces", description="OTLP over HTTP: where to"
    )
    service_name: Annotated[str, Field(min_length=1)] = Field("tailgate", description="name of this service in them")


class Settings(BaseModel):
    """Tailgate's reference server: a validated, decorated, concurrent Gemini pipeline behind HTTP."""

    model_config = _GROUP

    host: str = Field("127.0.0.1", description="address to listen on; other than loopback needs api_keys_sha256")
    port: Annotated[int, Field(ge=0, le=65_535)] = Field(8080, description="port to listen on; 0 takes a free one")
    mode: Mode = Field("async", description="how a request's calls are made: concurrently; in a thread; on the loop")
    sync_threads: Annotated[int, Field(ge=1, le=4096)] = Field(40, description="worker threads in mode sync")
    gemini_client: ClientName = Field(
        "mock", description="which Gemini client is used; builtin is the one for the real Gemini"
    )
    default_model: Annotated[str, Field(pattern=MODEL_NAME)] = Field(
        "gemini-2.5-flash", description="model of a request that names none"
    )
    cors_origins: Annotated[tuple[Origin, ...], BeforeValidator(_one_or_many)] = Field(
        (), description="origins whose pages may call, or *; none by default"
    )
    api_keys_sha256: Annotated[tuple[Sha256Hex, ...], BeforeValidator(_one_or_many)] = Field(
        (), description="SHA-256 (hex) of each accepted X-API-Key; none: no key is asked for"
    )
    read_timeout_s: PositiveSeconds = Field(10.0, description="seconds a request's body may take to arrive")
    drain_timeout_s: Seconds = Field(30.0, description="seconds that requests in flight are given on SIGTERM")
    log_level: Literal["debug", "info", "warning", "error"] = Field("warning", description="least level of the log")
    cache: CacheSettings = CacheSettings()
    retry: RetrySettings = RetrySettings()
    rate_limit: RateLimitSettings = RateLimitSettings()
    circuit_breaker: CircuitBreakerSettings = CircuitBreakerSettings()
    bulkhead: BulkheadSettings = BulkheadSettings()
    deadline: DeadlineSettings = DeadlineSettings()
    hedge: HedgeSettings = HedgeSettings()
    fallback: FallbackSettings = FallbackSettings()
    track: TrackSettings = TrackSettings()
    mock: MockSettings = MockSettings()
    live: LiveSettings = LiveSettings()
    otel: OtelSettings = OtelSettings()

    @model_validator(mode="after")
    def _asks_for_a_key_where_others_can_reach_it(self) -> Self:
        if not self.api_keys_sha256 and not _is_loopback(self.host):
            raise ValueError(f"host {self.host} is not loopback: set api_keys_sha256 too, or listen on 127.0.0.1")
        return self


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return host.lower() == "localhost"
