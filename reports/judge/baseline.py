"""A baseline that holds on another machine: what a server costs as a ratio to a bare handler in the same run.

CPU time and latency of a request depend on the machine as much as on the code, and so do those of a handler that does
nothing. Their ratio depends on the code. So a baseline is measured as an experiment of two arms whose blocks alternate,
the server (A) and the bare handler (B, ``mode`` ``bare``): each block of A is divided by the block of B nearest in
time, and the ratios' mean and interval are what is committed, as JSON, and compared.
"""

from __future__ import annotations

import math
from datetime import date
from pathlib import Path
from typing import Final, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from reports.errors import InputError
from reports.records.schema import BARE_MODE
from reports.statistics.percentiles import quantiles
from reports.statistics.replicates import interval_of_mean
from reports.store.blocks import BlockFigures, block_figures, nearest_pairs
from reports.store.run import Run
from reports.summary.collect import POPULATION_CODE

BASELINE_VERSION: Final = 1

Metric = Literal["server_cpu", "hit_p50", "hit_p99"]
METRICS: Final[dict[Metric, str]] = {
    "server_cpu": "server CPU a request",
    "hit_p50": "p50 of hits from the send",
    "hit_p99": "p99 of hits from the send",
}
"""What is compared, each against the same figure of the bare handler. Misses wait for Gemini, not for the code."""


class BaselineError(InputError):
    """A baseline that cannot be read, or is of something else; one line."""


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Ratio(_Model):
    """Server to bare handler: geometric mean over pairs of blocks, with its 95% interval."""

    value: float = Field(gt=0, allow_inf_nan=False)
    low: float = Field(gt=0, allow_inf_nan=False)
    high: float = Field(gt=0, allow_inf_nan=False)
    pairs: int = Field(ge=2)


class Baseline(_Model):
    """``baseline.json``. ``workload`` is the digest that the runs must share; commit and CPU are for people."""

    schema_version: Literal[1] = BASELINE_VERSION
    scenario: str
    mode: str
    workload: str
    ratios: dict[Metric, Ratio]
    recorded_on: date
    commit: str
    cpu_model: str


def measure_baseline(server: Run, bare: Run) -> Baseline:
    """The ratios of one experiment. Raises ``BaselineError`` where the two runs do not pair up."""
    a, b = server.manifest, bare.manifest
    if b.mode != BARE_MODE or a.mode == BARE_MODE:
        raise BaselineError(
            f"a baseline needs a server's run and one of mode {BARE_MODE!r}, not {a.mode!r} and {b.mode!r}"
        )
    if a.workload.digest != b.workload.digest:
        raise BaselineError("server and bare handler were given different workloads, so their ratio means nothing")
    if a.experiment is None or a.experiment != b.experiment:
        raise BaselineError("server and bare handler must be two arms of one experiment, measured in turn")
    ratios = _ratios(server, bare)
    if "server_cpu" not in ratios:
        raise BaselineError("there are fewer than two pairs of measured blocks with the servers' CPU time")
    return Baseline(
        scenario=a.scenario,
        mode=a.mode,
        workload=a.workload.digest,
        ratios=ratios,
        recorded_on=a.started_at.date(),
        commit=a.commit,
        cpu_model=a.environment.cpu_model,
    )


def read_baseline(path: Path) -> Baseline:
    """A committed baseline. Raises ``BaselineError``."""
    try:
        return Baseline.model_validate_json(path.read_bytes())
    except OSError as error:
        raise BaselineError(f"no baseline can be read from {path}: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "top level"
        raise BaselineError(f"{path} is not a baseline: {where}: {first['msg']}") from None


def check_same_workload(now: Baseline, then: Baseline) -> None:
    """Raise ``BaselineError`` where two baselines are not of the same scenario, mode and workload."""
    for name in ("scenario", "mode", "workload"):
        mine, theirs = getattr(now, name), getattr(then, name)
        if mine != theirs:
            raise BaselineError(
                f"the baseline is of {name} {theirs}, this run of {mine}: "
                "run what it was made of (same scenario, mode, users and seed), or write a new one"
            )


def _ratios(server: Run, bare: Run) -> dict[Metric, Ratio]:
    pairs = nearest_pairs(block_figures(server), block_figures(bare))
    both = [(_figures(mine), _figures(theirs)) for mine, theirs in pairs]
    ratios: dict[Metric, Ratio] = {}
    for metric in METRICS:
        logs = [math.log(mine[metric] / theirs[metric]) for mine, theirs in both if metric in mine and metric in theirs]
        if len(logs) >= 2:
            low, high = interval_of_mean(logs)
            mean = float(np.mean(logs))
            ratios[metric] = Ratio(value=math.exp(mean), low=math.exp(low), high=math.exp(high), pairs=len(logs))
    return ratios


def _figures(block: BlockFigures) -> dict[Metric, float]:
    """CPU in us a request, latencies in ns; without those that could not be had, or are 0."""
    found = block.found
    p50, p99 = quantiles(found.sent_ns[found.success_population == POPULATION_CODE["hit"]], [0.5, 0.99])
    named: dict[Metric, float | None] = {"server_cpu": block.server_cpu_us, "hit_p50": p50, "hit_p99": p99}
    return {metric: value for metric, value in named.items() if value}
