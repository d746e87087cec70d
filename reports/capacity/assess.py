"""Capacity: from levels of load, each measured several times, to the most users within an SLO, the knee and the limit.

Pure: levels in, ``Capacity`` out. The levels of a saved search are read from its runs, one run a level with a block for
each repeat, so that they can be judged again by another SLO without measuring again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from reports.capacity.levels import Level, Repeat, judge_level, pooled_attainments
from reports.capacity.search import Bracket, LevelVerdict, bracket
from reports.capacity.sizing import ProcessLoad
from reports.judge.attainment import Attainment, observe, pool
from reports.judge.slo import Slo
from reports.records.schema import Block, Manifest
from reports.statistics.knee import Knee, find_knee
from reports.statistics.usl import UslFit, fit_usl
from reports.store.blocks import measured_blocks
from reports.store.run import Run
from reports.summary.summary import Reconciliation
from reports.summary.validity import MIN_REQUESTS, judge

MIN_LEVELS: Final = 3
"""Levels below which nothing is said about capacity."""

STARVED_CPU: Final = 0.5
"""A generator that was late while it used less of its core than this was kept off it by other work on the machine."""


@dataclass(frozen=True)
class JudgedLevel:
    """A level beside the SLO: its pooled attainments, and its mean goodput in 1/s (None if no repeat is valid)."""

    level: Level
    verdict: LevelVerdict
    attainments: tuple[Attainment, ...]
    goodput: float | None


@dataclass(frozen=True)
class Capacity:
    """What a search found. ``unit``: what a load is counted in, ``users`` or ``arrivals/s``.

    The most load within the SLO is in ``[most.low, most.high)``. ``knee`` and ``usl`` are None where the levels cannot
    show them; both are of goodput over valid repeats.
    """

    slo: Slo
    unit: str
    levels: tuple[JudgedLevel, ...]
    most: Bracket
    knee: Knee | None
    usl: UslFit | None

    @property
    def generator_limit(self) -> int | None:
        """The lowest load at which the load generator was the limit; None where it kept up."""
        bound = [judged.level.load for judged in self.levels if judged.verdict == "generator-bound"]
        return min(bound, default=None)

    @property
    def process(self) -> ProcessLoad | None:
        """What one server process used at the most load that surely holds; None where that is not known."""
        held = next((judged.level for judged in self.levels if judged.level.load == self.most.low), None)
        return process_load(held) if held else None

    @property
    def conclusive(self) -> bool:
        """Whether a load was found that holds, and its limit is not the load generator's or for want of samples."""
        return self.most.low is not None and self.most.limited_by in ("server", "search")


def assess(slo: Slo, levels: Sequence[Level], unit: str) -> Capacity:
    """What the levels say, in any order."""
    ordered = sorted(levels, key=lambda level: level.load)
    judged = tuple(
        JudgedLevel(
            level=level,
            verdict=judge_level(slo, level),
            attainments=pooled_attainments(slo, level),
            goodput=float(np.mean(level.goodput)) if level.goodput else None,
        )
        for level in ordered
    )
    pairs = [(level.load, goodput) for level in ordered for goodput in level.goodput]
    return Capacity(
        slo=slo,
        unit=unit,
        levels=judged,
        most=bracket({one.level.load: one.verdict for one in judged}),
        knee=find_knee({level.load: level.goodput for level in ordered}),
        usl=fit_usl([load for load, _ in pairs], [goodput for _, goodput in pairs]),
    )


def process_load(level: Level) -> ProcessLoad | None:
    """What the server process used at a level; None where it could not be read, or nothing valid was measured."""
    cores = [r.server_cores for r in level.repeats if r.validity == "VALID" and r.server_cores is not None]
    rss = [r.server_rss_bytes for r in level.repeats if r.validity == "VALID" and r.server_rss_bytes is not None]
    if not cores or not rss or not level.valid:
        return None
    whole = pool(level.valid)
    waited = sum(part.size for name, part in whole.latency_ms.items() if name != "hit")
    return ProcessLoad(level.load, float(np.mean(cores)), max(rss), waited / whole.seconds)


def level_of(run: Run) -> Level:
    """The level that a run measured, a repeat for each block that has a measured window. Raises ``RunDamaged``."""
    manifest = run.manifest
    return Level(load_of(manifest), tuple(_repeat(run, block) for block in measured_blocks(manifest)))


def load_of(manifest: Manifest) -> int:
    """The load of a run: arrivals a second where its workload has a rate, else its users."""
    rate = _rate(manifest)
    return manifest.users if rate is None else round(rate)


def unit_of(manifest: Manifest) -> str:
    """What that load is counted in."""
    return "users" if _rate(manifest) is None else "arrivals/s"


def _rate(manifest: Manifest) -> float | None:
    load = manifest.workload.parameters.get("load")
    rate = load.get("rate_per_s") if isinstance(load, dict) and load.get("loop") == "open" else None
    return float(rate) if isinstance(rate, int | float) else None


def _repeat(run: Run, block: Block) -> Repeat:
    observed = observe(run.manifest, run.iter_batches, block=block.index)
    validity = judge(
        [block],
        requests_by_block={block.index: max(observed.requests, MIN_REQUESTS)},  # few are told by the verdict
        mismatches=observed.mismatches,
        reconciliation=Reconciliation(),
        block_medians_ms={},
    )
    verdict = validity.verdict
    if verdict == "GENERATOR-BOUND" and block.generator_cpu is not None and block.generator_cpu < STARVED_CPU:
        verdict = "NOISY"  # a lower load would be no better
    return Repeat(
        observed=observed,
        validity=verdict,
        reason=validity.reasons[0].what if validity.reasons else "",
        server_cores=None if block.server_cpu_s is None else block.server_cpu_s / block.measured_s,
        server_rss_bytes=block.server_rss_bytes,
    )
