"""SLO attainment: what a measured stretch of a run says to each threshold, and by what margin.

A latency threshold ``p99<1s`` says that at most 1% of the samples take longer, and is judged where the percentile may
be printed (``reports.statistics.percentiles``). With fewer samples it is judged only where their share beyond the
limit decides it all the same, by the exact binomial interval (Clopper and Pearson, Biometrika 26, 1934); else nothing
is said.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.special import betaincinv

from reports.judge.slo import Slo, Threshold
from reports.records.schema import Manifest
from reports.statistics.percentiles import quantiles
from reports.store.blocks import collect_block
from reports.summary.collect import POPULATION_CODE, ReadBatches, collect

CONFIDENCE: Final = 0.95
"""Of every interval in this file; two-sided."""

MOST_MARGIN: Final = math.log(10)
"""Margins are cut off at a factor of ten either way: further from the limit there is nothing to tell apart."""


@dataclass(frozen=True)
class Observation:
    """What an SLO is judged by, of one measured stretch.

    ``latency_ms``: successes from the intended start, by population. ``attempts``: Gemini attempts of all requests that
    reached it; ``reached``: successes among those. ``mismatches``: failures that were another prompt's reply.
    """

    seconds: float
    requests: int
    latency_ms: Mapping[str, npt.NDArray[np.float64]]
    attempts: int = 0
    reached: int = 0
    mismatches: int = 0

    @property
    def successes(self) -> int:
        """Requests that were answered as they should be."""
        return sum(part.size for part in self.latency_ms.values())

    @property
    def failed(self) -> int:
        """Requests that were not."""
        return self.requests - self.successes


@dataclass(frozen=True)
class Attainment:
    """A threshold beside what was measured. A threshold on every population becomes one attainment for each.

    ``value``: in the threshold's unit, None where too few samples let it be printed. ``beyond``: for thresholds on a
    share (latency, failed, hit_share), how many of ``samples`` lie on the wrong side. ``met``: None means that so few
    samples cannot tell.
    """

    threshold: Threshold
    population: str | None
    value: float | None
    samples: int
    beyond: int | None
    met: bool | None

    @property
    def name(self) -> str:
        """The threshold as it binds here, such as ``miss.p99<1s``."""
        bound_to = self.threshold.indicator.population
        return str(self.threshold) if bound_to or not self.population else f"{self.population}.{self.threshold}"

    @property
    def allowed(self) -> float | None:
        """The share of samples that may lie beyond; None for thresholds that are not on a share."""
        indicator, limit = self.threshold.indicator, self.threshold.limit
        match indicator.kind:
            case "latency":
                return None if indicator.quantile is None else 1.0 - indicator.quantile
            case "failed":
                return limit
            case "hit_share":
                return 1.0 - limit
            case _:
                return None

    def margin(self, *, by_share: bool = False) -> float | None:
        """Natural logarithm of how many times tighter the limit could be: above 0 within it, None without samples.

        Taken on the value; or ``by_share`` on the share of samples beyond, where the threshold is on one. Half a sample
        more is then taken to lie beyond, so that none at all says as much as its number of samples does.
        """
        if not self.samples:
            return None
        limit, value = self.threshold.limit, self.value
        if by_share and self.allowed is not None and self.beyond is not None:
            if not self.allowed:
                return -MOST_MARGIN if self.beyond else MOST_MARGIN
            good, bad = self.allowed, (self.beyond + 0.5) / (self.samples + 1)
        elif value is None:
            return None
        else:
            good, bad = (limit, value) if self.threshold.upper else (value, limit)
        if not good or not bad:
            return MOST_MARGIN if good else -MOST_MARGIN
        return max(-MOST_MARGIN, min(MOST_MARGIN, math.log(good / bad)))


def observe(manifest: Manifest, read: ReadBatches, *, block: int | None = None) -> Observation:
    """What a run measured, over all its blocks or in one of them; ``read`` gives its samples."""
    found = collect(manifest, read) if block is None else collect_block(manifest, read, block)
    parts = {name: found.intended_ns[found.success_population == code] / 1e6 for name, code in POPULATION_CODE.items()}
    return Observation(
        seconds=sum(b.measured_s for b in manifest.blocks if block is None or b.index == block),
        requests=found.requests,
        latency_ms={name: part for name, part in parts.items() if part.size},
        attempts=sum(number * times for number, times in found.attempts.items()),
        reached=found.attempts_of_successes,
        mismatches=found.failures["mismatch"],
    )


def pool(observations: Sequence[Observation]) -> Observation:
    """Several stretches taken as one."""
    names = sorted({name for observation in observations for name in observation.latency_ms})
    return Observation(
        seconds=sum(o.seconds for o in observations),
        requests=sum(o.requests for o in observations),
        latency_ms={
            name: np.concatenate([o.latency_ms[name] for o in observations if name in o.latency_ms]) for name in names
        },
        attempts=sum(o.attempts for o in observations),
        reached=sum(o.reached for o in observations),
        mismatches=sum(o.mismatches for o in observations),
    )


def attain(slo: Slo, observed: Observation) -> tuple[Attainment, ...]:
    """What an observation says to each threshold, in their order."""
    return tuple(attainment for threshold in slo for attainment in _attain(threshold, observed))


def all_met(attainments: Sequence[Attainment]) -> bool | None:
    """False if any threshold is missed, True if all are met, else None: too few samples."""
    met = [attainment.met for attainment in attainments]
    if False in met:
        return False
    return None if None in met or not met else True


def binomial_interval(beyond: int, samples: int) -> tuple[float, float]:
    """The Clopper-Pearson interval of a share of which ``beyond`` of ``samples`` were seen."""
    tail = (1.0 - CONFIDENCE) / 2.0
    low = float(betaincinv(beyond, samples - beyond + 1, tail)) if beyond else 0.0
    high = float(betaincinv(beyond + 1, samples - beyond, 1.0 - tail)) if beyond < samples else 1.0
    return low, high


def decided_by_share(beyond: int, samples: int, allowed: float) -> bool | None:
    """Whether the true share beyond is surely within what is allowed, or surely not; None: cannot tell."""
    low, high = binomial_interval(beyond, samples)
    if high <= allowed:
        return True
    return False if low > allowed else None


def _attain(threshold: Threshold, observed: Observation) -> list[Attainment]:
    indicator = threshold.indicator
    match indicator.kind:
        case "latency":
            chosen: Sequence[str | None] = [indicator.population]
            if indicator.population is None and observed.latency_ms:
                chosen = sorted(observed.latency_ms)
            return [_latency(threshold, name, observed.latency_ms.get(name or "", np.empty(0))) for name in chosen]
        case "failed":
            return [_ratio(threshold, observed.failed, observed.requests, beyond=observed.failed)]
        case "hit_share":
            hits, misses = (observed.latency_ms.get(name, np.empty(0)).size for name in ("hit", "miss"))
            return [_ratio(threshold, hits, hits + misses, beyond=misses)]
        case "goodput":
            value = observed.successes / observed.seconds if observed.seconds else None
            met = None if value is None else threshold.holds(value)
            return [Attainment(threshold, None, value, observed.requests, None, met)]
        case "attempts":
            return [_ratio(threshold, observed.attempts, observed.reached)]


def _latency(threshold: Threshold, population: str | None, values: npt.NDArray[np.float64]) -> Attainment:
    quantile = threshold.indicator.quantile
    assert quantile is not None
    within = values < threshold.limit if threshold.operator == "<" else values <= threshold.limit
    beyond = int(values.size - within.sum())
    (value,) = quantiles(values.copy(), [quantile])
    met = decided_by_share(beyond, values.size, 1.0 - quantile) if value is None else threshold.holds(value)
    return Attainment(threshold, population, value, values.size, beyond, met)


def _ratio(threshold: Threshold, part: int, whole: int, beyond: int | None = None) -> Attainment:
    if not whole:
        return Attainment(threshold, None, None, 0, beyond, None)
    return Attainment(threshold, None, part / whole, whole, beyond, threshold.holds(part / whole))
