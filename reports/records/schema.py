"""What a run on disk is made of: the sample and aggregate columns, and the models behind ``run.json``.

Version history of the schema (``schema_version`` in run.json and summary.json):

* 1 (2026-11): first.

docs/run-format.md is this module in prose; the two change together.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, Self

import orjson
import pyarrow as pa
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

SCHEMA_VERSION: Final = 1

STAGES: Final = ("queue", "validate", "cache", "gemini", "backoff", "aggregate", "total")
"""The ``Server-Timing`` stages, in the order of the wire; sample columns are ``<stage>_ms``."""

HIT_CACHES: Final = ("hit", "stale")
"""``cache`` values of the hit population: answered from the cache."""

MISS_CACHES: Final = ("miss", "collapsed", "bypass", "none")
"""``cache`` values of the miss population: the caller waited for Gemini, or the server says nothing of a cache."""

Population = Literal["hit", "miss"]
POPULATIONS: Final[dict[Population, tuple[str, ...]]] = {"hit": HIT_CACHES, "miss": MISS_CACHES}
"""Latency is told per population and never pooled. Only successful samples belong to one."""

_CATEGORY: Final = pa.dictionary(pa.int32(), pa.string())

SAMPLE_SCHEMA: Final = pa.schema(
    [
        ("scheduled_at", pa.int64()),
        ("sent_at", pa.int64()),
        ("latency_ns", pa.int64()),
        ("status", pa.int16()),
        ("error", _CATEGORY),
        ("scenario", _CATEGORY),
        ("block", pa.int16()),
        ("cache", _CATEGORY),
        ("attempts", pa.int16()),
        *((f"{stage}_ms", pa.float32()) for stage in STAGES),
        ("bytes", pa.int32()),
        ("user", pa.int32()),
        ("item", pa.int32()),
        ("prompt_tokens", pa.int32()),
        ("output_tokens", pa.int32()),
    ]
)
"""One request. Times are ns since the epoch, stages ms; see docs/run-format.md."""

AGGREGATE_SCHEMA: Final = pa.schema(
    [
        ("second", pa.int32()),
        ("block", pa.int16()),
        ("scenario", pa.string()),
        ("cache", pa.string()),
        ("attempts", pa.int16()),
        ("status", pa.int16()),
        ("error", pa.string()),
        ("measured", pa.bool_()),
        ("bin", pa.int16()),
        ("count", pa.int64()),
    ]
)
"""Counts of samples; ``second`` is of the intended start, ``bin`` of the latency from it (``reports.records.bins``)."""

BARE_MODE: Final = "bare"
"""``mode`` of a run against the bare handler, by which servers on different machines are compared."""

Status = Literal["running", "complete", "aborted", "failed"]
Arm = Literal["A", "B"]


class _Model(BaseModel):
    """Immutable and closed: a misspelt field is an error, not a silent loss."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Target(_Model):
    """The server under test. ``owned``: the bench started it and could count what it served."""

    url: str
    owned: bool


class Workload(_Model):
    """What was asked for. Only runs with equal digests are compared, so it covers all that was sent, and when."""

    parameters: dict[str, Any]
    digest: str

    @classmethod
    def of(cls, parameters: dict[str, Any]) -> Self:
        """A workload that its parameters determine: the digest is the first 16 hex digits of their JSON's SHA-256."""
        canonical = orjson.dumps(parameters, option=orjson.OPT_SORT_KEYS)
        return cls(parameters=parameters, digest=hashlib.sha256(canonical).hexdigest()[:16])


class Server(_Model):
    """The server as it ran: ``config`` is what ``/config`` served, ``argv`` how it was started."""

    config: dict[str, Any] = Field(default_factory=dict)
    argv: list[str] = Field(default_factory=list)


class Environment(_Model):
    """Where it ran. ``machine_id`` is an opaque, stable token; runs of different machines are not compared."""

    python: str
    platform: str
    cpu_model: str
    cpu_count: int
    affinity: dict[str, list[int]] = Field(default_factory=dict)
    """CPU numbers by role, e.g. ``{"server": [0], "generator": [1]}``; empty when nothing was pinned."""
    memory_bytes: int
    machine_id: str
    packages: dict[str, str] = Field(default_factory=dict)


class Block(_Model):
    """A stretch of time in which one arm ran under load. Times are ns since the epoch.

    ``measure_from_ns`` is None until the warm-up's end is known: until then nothing counts as measured. Set it while
    it still lies in the future, or ticks and aggregate will disagree. ``measure_until_ns`` None means "still going".
    Figures measured over the window are None where they could not be taken (a server that is not ours). ``left_out``
    says why nothing of the block counts as measured; None where it does. ``faults``: from when until when a fault
    script disturbed calls to Gemini, up to the window's end.
    """

    index: int
    arm: Arm | None = None
    started_ns: int
    measure_from_ns: int | None = None
    measure_until_ns: int | None = None
    ended_ns: int | None = None
    server_counted: dict[str, int] | None = None
    recorded: int | None = None
    server_cpu_s: float | None = None
    generator_cpu_s: float | None = None
    server_rss_bytes: int | None = None
    generator_lag_ms: float | None = None
    generator_cpu: float | None = None
    steal: float | None = None
    left_out: str | None = None
    faults: list[tuple[int, int]] = Field(default_factory=list)

    @property
    def measured_s(self) -> float:
        """Length of the measured window in seconds; 0 when there is none, it has not ended, or is left out."""
        if self.left_out is not None or self.measure_from_ns is None or self.measure_until_ns is None:
            return 0.0
        return max(0, self.measure_until_ns - self.measure_from_ns) / 1e9

    @property
    def warmup_s(self) -> float:
        """Seconds of load before the measured window; 0 when nothing was measured."""
        return 0.0 if self.measure_from_ns is None else max(0, self.measure_from_ns - self.started_ns) / 1e9


class Manifest(_Model):
    """``run.json``. ``id`` is given by the store when the run is created."""

    schema_version: int = SCHEMA_VERSION
    id: str = ""
    status: Status = "running"
    reason: str | None = None
    experiment: str | None = None
    arm: Arm | None = None
    label: str = ""
    scenario: str
    mode: str
    seed: int
    users: int
    duration_s: float
    started_at: AwareDatetime
    ended_at: AwareDatetime | None = None
    commit: str = ""
    dirty: bool = False
    command: list[str] = Field(default_factory=list)
    target: Target
    workload: Workload
    server: Server | None = None
    environment: Environment
    load_pids: list[int] = Field(default_factory=list)
    blocks: list[Block] = Field(default_factory=list)
    tags: list[str] = Field(default_factory=list)
    baseline: bool = False

    @property
    def started_ns(self) -> int:
        """``started_at`` as ns since the epoch: second 0 of the aggregate."""
        return (self.started_at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000

    @property
    def faults_s(self) -> list[tuple[float, float]]:
        """From when until when fault scripts disturbed calls to Gemini, in seconds since ``started_at``."""
        begun = self.started_ns
        return [((start - begun) / 1e9, (end - begun) / 1e9) for block in self.blocks for start, end in block.faults]

    @property
    def measured_s(self) -> float:
        """Seconds measured, over all blocks."""
        return sum(block.measured_s for block in self.blocks)
