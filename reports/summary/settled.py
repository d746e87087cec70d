"""Whether the measured window began as it went on: MSER-5 on the latencies of each block and population.

A run that had not settled is a mixture of two, and its figures are of neither. That spoils no verdict by itself (a run
may be VALID and unsettled), but is said, with how much the start differs. Load or faults that change by design never
settle, and are not looked at.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt

from reports.readable import number
from reports.records.schema import Block, Manifest, Population
from reports.statistics.warmup import BATCH, transient
from reports.summary.collect import POPULATION_CODE, Collected
from reports.summary.summary import Reason, WarmUp

SLOTS: Final = 200
"""Slots of time per block, at most, whose mean latencies are looked at."""
SAMPLES_A_SLOT: Final = 4
"""On average at least: with fewer, too many slots are empty."""
FEWEST_SLOTS: Final = 4 * BATCH
SETTLED: Final = 0.05
"""A start that differs by no more than that from the rest moves no percentile by more than that either."""


def warmup(manifest: Manifest, found: Collected) -> WarmUp | None:
    """The worst start of all blocks and populations; None where there are too few samples to tell."""
    if _changes_by_design(manifest):
        return None
    starts = [
        start
        for block in manifest.blocks
        if block.measured_s
        for population in POPULATION_CODE
        if (start := _start(block, population, found)) is not None
    ]
    return max(starts, key=lambda start: abs(math.log(start.ratio)), default=None)


def _start(block: Block, population: Population, found: Collected) -> WarmUp | None:
    mine = (found.block == block.index) & (found.success_population == POPULATION_CODE[population])
    slots = min(SLOTS, int(mine.sum()) // SAMPLES_A_SLOT)
    if slots < FEWEST_SLOTS:
        return None
    slot_ms = block.measured_s * 1000.0 / slots
    slot = np.minimum(found.scheduled_ms[mine] / slot_ms, slots - 1).astype(np.int64)
    # Logarithms: a straggler in a mean of milliseconds would pass for a transient, up to and with its slot.
    logs = np.log(np.maximum(found.intended_ns[mine], 1).astype(np.float64))
    counts = np.bincount(slot, minlength=slots)
    if (counts > 0).sum() < slots / 2:
        return None  # all at a few moments
    means = np.where(counts > 0, np.bincount(slot, weights=logs, minlength=slots) / np.maximum(counts, 1), np.nan)
    cut = transient(means)
    ratio = _ratio(logs[slot < cut], logs[slot >= cut])
    return WarmUp(
        cut_s=cut * slot_ms / 1000.0,
        settled=abs(ratio - 1.0) <= SETTLED,
        block=block.index,
        of_s=block.measured_s,
        population=population,
        ratio=ratio,
    )


def _ratio(start: npt.NDArray[np.float64], rest: npt.NDArray[np.float64]) -> float:
    return float(np.exp(start.mean() - rest.mean())) if start.size and rest.size else 1.0


def _changes_by_design(manifest: Manifest) -> bool:
    settings = manifest.server.config.get("settings", {}) if manifest.server else {}
    return bool(manifest.workload.parameters.get("profile")) or settings.get("mock", {}).get("faults") is not None


def notes(start: WarmUp | None) -> list[Reason]:
    """What to tell a reader of a run that had not settled, and what to do about it."""
    if start is None or start.settled:
        return []
    plural = "hits" if start.population == "hit" else "misses"
    first = (
        f"in the first {number(start.cut_s, 's')} of the {number(start.of_s, 's')} measured, {plural} took "
        f"{number(start.ratio)} times as long as after (MSER-5)"
    )
    if start.ratio > 1.0:
        what, advice = "had not settled", "it is in the percentiles; a longer --warmup leaves it out"
    else:
        what = "did not keep its speed"
        advice = (
            "the server or the machine grew slower meanwhile, and the percentiles are of both; look at latency over "
            "time (make dash), and repeat"
        )
    return [Reason(what=f"block {start.block + 1} {what}: {first}", advice=advice)]
