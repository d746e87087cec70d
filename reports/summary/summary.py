"""What ``summary.json`` says of a run: every figure with its unit in its name, its sample count beside it.

Computed by ``reports.summary.summarise`` from the samples and the manifest alone. A figure that could not be had is
None, never zero: a percentile with too few samples beyond it, a server's CPU that nobody could read.
"""

from __future__ import annotations

from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from reports.records.schema import SCHEMA_VERSION, Population

PERCENTILES: Final[dict[str, float]] = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999}
"""The percentiles that every report prints, by name, as fractions."""

LatencyKind = Literal["intended", "sent"]
LATENCY_KINDS: Final[tuple[LatencyKind, ...]] = ("intended", "sent")
"""From the intended start (what a user waits, coordinated omission included); from the send (what the server takes)."""

Verdict = Literal["VALID", "GENERATOR-BOUND", "NOISY"]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Latency(_Model):
    """Exact percentiles of one population, in ms, with 95% block-bootstrap intervals where there are blocks enough.

    ``percentiles`` holds None where fewer than 10 samples lie beyond; ``intervals`` lacks what it could not say.
    """

    count: int
    mean_ms: float | None = None
    min_ms: float | None = None
    max_ms: float | None = None
    percentiles: dict[str, float | None] = Field(default_factory=dict)
    intervals: dict[str, tuple[float, float]] = Field(default_factory=dict)


class Stage(_Model):
    """Time in one server stage over one population, in ms, of the ``count`` replies that said it."""

    count: int
    mean_ms: float | None = None
    p50_ms: float | None = None
    p99_ms: float | None = None


class CacheOutcomes(_Model):
    """Successful requests by what the cache did.

    ``hit_share`` is (hit + stale) of all that said; None if none did. ``served_share`` counts those that shared a call
    too (collapsed), and ``expected_share`` is what it should be in steady state (``reports.statistics.popularity``);
    None unless the manifest knows both the catalogue and the cache.
    """

    hit: int = 0
    stale: int = 0
    collapsed: int = 0
    miss: int = 0
    bypass: int = 0
    unknown: int = 0
    hit_share: float | None = None
    served_share: float | None = None
    expected_share: float | None = None


class Attempts(_Model):
    """Gemini attempts of the slowest leg, over the ``count`` requests that reached Gemini (hits and refusals did not).

    ``distribution``: requests by attempts. ``per_success``: all attempts, those of failures too, by successful
    requests. ``amplification``: attempts by requests; 1.0 is no retry at all.
    """

    count: int = 0
    distribution: dict[int, int] = Field(default_factory=dict)
    per_success: float | None = None
    amplification: float | None = None


class Cpu(_Model):
    """CPU microseconds a request: CPU seconds inside the measured windows by the requests completed inside them."""

    completed: int = 0
    server_us: float | None = None
    generator_us: float | None = None


class Reconciliation(_Model):
    """Replies recorded against requests the server counted, over whole blocks, warm-up included.

    ``unanswered``: samples without a reply (status 0), which the server may or may not have counted. ``differences``:
    ``status/cache`` to (recorded, counted) where they differ. ``matches`` is None where the server counted nothing.
    """

    recorded: int = 0
    counted: int | None = None
    unanswered: int = 0
    differences: dict[str, tuple[int, int]] = Field(default_factory=dict)
    matches: bool | None = None


class Window(_Model):
    """What was measured: seconds and blocks, and what was cut and why."""

    measured_s: float
    blocks: int
    warmup_s: float
    samples_outside: int
    rule: str


class WarmUp(_Model):
    """MSER-5 on the measured window, of the block and population whose start differs most from what follows.

    ``cut_s``: seconds of a clear transient at its start, 0 if there is none, ``of_s`` its measured seconds; ``ratio``:
    latency in that time by latency after it (geometric means).
    """

    cut_s: float
    settled: bool
    block: int = 0
    of_s: float = 0.0
    population: Population = "miss"
    ratio: float = 1.0


class Little(_Model):
    """Little's law: requests in flight by throughput x mean latency, against the mean counted from the samples."""

    expected: float
    observed: float


class Phase(_Model):
    """A part of the measured time that differs from the rest by design: in its users, or in its faults.

    Parts by users: ``begin_s`` to ``end_s`` seconds after the start of each block's window; ``users`` at its start and
    at its end, which differ while they come or go. Parts by faults, pooled: ``faults`` says whether a fault script
    disturbed calls to Gemini at a request's intended start. ``measured_s`` is over all blocks, ``latency`` from the
    intended start.
    """

    users: tuple[int, int] | None = None
    begin_s: float | None = None
    end_s: float | None = None
    faults: bool | None = None
    measured_s: float
    requests: int
    failures: int
    throughput_rps: float | None
    latency: dict[Population, Latency]


class Reason(_Model):
    """Why a run is not VALID, or what else to know of it, and what to do about it."""

    what: str
    advice: str


class Validity(_Model):
    """Whether the figures are the server's. Anything but VALID never yields a verdict.

    ``left_out``: blocks that count nowhere, and so not in the verdict either, with what spoiled them.
    ``notes`` limit what the figures mean without spoiling a verdict.
    """

    verdict: Verdict
    reasons: list[Reason] = Field(default_factory=list)
    left_out: list[Reason] = Field(default_factory=list)
    notes: list[Reason] = Field(default_factory=list)

    @property
    def remarks(self) -> list[Reason]:
        """All of them, the gravest first."""
        return [*self.reasons, *self.left_out, *self.notes]


class Tokens(_Model):
    """Tokens of successful replies; ``prompt_cached`` and ``output_cached`` are those that the cache answered."""

    prompt: int = 0
    output: int = 0
    prompt_cached: int = 0
    output_cached: int = 0


class Summary(_Model):
    """``summary.json``. Rates are by measured second; ``goodput_rps`` counts successes, within ``slo_ms`` if given."""

    schema_version: int = SCHEMA_VERSION
    run_id: str
    requests: int
    successes: int
    failures: int
    throughput_rps: float | None
    goodput_rps: float | None
    slo_ms: float | None = None
    failed_share: float | None
    failures_by_reason: dict[str, int] = Field(default_factory=dict)
    latency: dict[Population, dict[LatencyKind, Latency]]
    cache: CacheOutcomes
    attempts: Attempts
    stages: dict[Population, dict[str, Stage]]
    cpu: Cpu
    tokens: Tokens
    reconciliation: Reconciliation
    window: Window
    warmup: WarmUp | None = None
    little: Little | None = None
    phases: list[Phase] = Field(default_factory=list)
    validity: Validity
