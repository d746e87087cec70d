"""Two runs against each other: the ratio of each percentile with its interval, and a verdict from that interval alone.

The ratio B / A is taken on the log scale. Its standard error is the larger of two: the block bootstrap over chunks of
time (``reports.statistics.bootstrap``), and the scatter of the blocks of each run about their mean, which also holds
what changes from block to block, as a machine does that has two speeds. All intervals of a comparison hold together
with 95%: their width is the 95% quantile of the largest |t| over all printed percentiles (max-t, Westfall and Young
1993), so that of twenty comparisons of a thing with itself about one cries wolf, not one of twenty percentiles.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri, stdtrit

from reports.compare.comparison import Comparison, Difference, Direction
from reports.records.schema import POPULATIONS, Block, Manifest, Population
from reports.statistics.bootstrap import MIN_CHUNKS, REPLICATES, ChunkCounts, Floats, resample_weights, run_length
from reports.statistics.chunks import Chunks
from reports.statistics.percentiles import SAMPLES_BEYOND, enough_samples, quantiles
from reports.store.run import Run
from reports.summary.collect import POPULATION_CODE, collect
from reports.summary.summary import PERCENTILES, Summary

LEVEL: Final = 0.95
POWER: Final = 0.8
"""``detectable`` is the effect that would be told with this probability."""
CURVE_POINTS: Final = 24
ALIKE_HIT_SHARES: Final = 0.02
FEW_BLOCKS: Final = 4
"""With fewer blocks a run than this, a change of the machine between blocks may pass for a difference."""


def compare(a: Run, b: Run) -> Comparison:
    """B against A, by latency from the intended start. Refuses, with the reason, what cannot be compared."""
    summary_a, summary_b = a.summary(), b.summary()
    refusal = why_refused(a.manifest, b.manifest, summary_a, summary_b)
    share_a, share_b = summary_a.cache.hit_share, summary_b.cache.hit_share
    alike = None if share_a is None or share_b is None else abs(share_a - share_b) <= ALIKE_HIT_SHARES
    printed: list[Difference] = []
    curve: list[Difference] = []
    if refusal is None:
        printed, curve = differences(Latencies.of(a), Latencies.of(b))
    return Comparison(
        a=a.manifest.id,
        b=b.manifest.id,
        throughput_ratio=_ratio(summary_b.throughput_rps, summary_a.throughput_rps),
        goodput_ratio=_ratio(summary_b.goodput_rps, summary_a.goodput_rps),
        hit_share_a=share_a,
        hit_share_b=share_b,
        hit_shares_alike=alike,
        refusal=refusal,
        differences=printed,
        curve=curve,
        cautions=_cautions(a.manifest, b.manifest, summary_a, summary_b, alike),
        sentence=f"No verdict: {refusal}." if refusal else sentence(printed),
    )


def why_refused(a: Manifest, b: Manifest, summary_a: Summary, summary_b: Summary) -> str | None:
    """Why two runs must not be compared, in words that go on after "No verdict:"; None if they may be."""
    if a.environment.machine_id != b.environment.machine_id:
        return f"they ran on different machines ({a.environment.cpu_model}; {b.environment.cpu_model})"
    for name, of_a, of_b in (
        ("scenarios", a.scenario, b.scenario),
        ("seeds", a.seed, b.seed),
        ("numbers of users", a.users, b.users),
        ("workloads", a.workload.digest, b.workload.digest),
    ):
        if of_a != of_b:
            return f"their {name} differ ({of_a}; {of_b})"
    for arm, manifest, summary in (("A", a, summary_a), ("B", b, summary_b)):
        if manifest.status == "running":
            return f"{arm} has not ended"
        if summary.validity.verdict != "VALID":
            return f"{arm} is {summary.validity.verdict}: {summary.validity.reasons[0].what}"
    return None


@dataclass(frozen=True)
class Latencies:
    """What is compared of one run: exact samples and their chunked counts, by population; ns."""

    chunks: Chunks
    values: dict[Population, npt.NDArray[np.int64]]
    counted: dict[Population, ChunkCounts]

    @classmethod
    def of(cls, run: Run) -> Latencies:
        """Read a run's measured successes."""
        found = collect(run.manifest, run.iter_batches)
        values, where = {}, {}
        for population, code in POPULATION_CODE.items():
            mine = found.success_population == code
            values[population] = found.intended_ns[mine]
            where[population] = (found.block[mine], found.scheduled_ms[mine])
        return cls.from_arrays(run.manifest.blocks, values, where)

    @classmethod
    def from_arrays(
        cls,
        blocks: list[Block],
        values: dict[Population, npt.NDArray[np.int64]],
        where: dict[Population, tuple[npt.NDArray[np.int16], npt.NDArray[np.int32]]],
    ) -> Latencies:
        """From latencies in ns and, for each, its block and ms since the start of that block's window."""
        chunks = Chunks(blocks)
        counted = {p: ChunkCounts(v, chunks.of(*where[p]), len(chunks)) for p, v in values.items()}
        return cls(chunks, values, counted)


def differences(a: Latencies, b: Latencies, *, seed: int = 0) -> tuple[list[Difference], list[Difference]]:
    """The printed percentiles and the finer curve, both populations, with simultaneous intervals."""
    if min(len(a.chunks), len(b.chunks)) < MIN_CHUNKS:
        return [], []
    rng = np.random.default_rng(seed)
    weights_a, weights_b = (resample_weights(len(side.chunks), REPLICATES, rng) for side in (a, b))
    rows: list[_Row] = []
    for population in POPULATIONS:
        count = min(a.values[population].size, b.values[population].size)
        asked = {name: q for name, q in _asked(count).items() if enough_samples(count, q)}
        if asked:
            rows += _rows(population, asked, a, b, weights_a, weights_b)
    verdicts = [row for row in rows if row.name in PERCENTILES]
    if not verdicts:
        return [], []
    width = _simultaneous_width(verdicts, _independent_runs(a, b))
    found = sorted((row.difference(width) for row in rows), key=lambda d: (d.population, d.q))
    return [d for d in found if d.percentile in PERCENTILES], found


def _asked(count: int) -> dict[str, float]:
    """Printed percentiles and points of the curve from p10 on, by name."""
    if count <= SAMPLES_BEYOND:
        return {}
    places = np.linspace(-np.log10(0.9), np.log10(count / SAMPLES_BEYOND), CURVE_POINTS)
    fine = {f"p{100 * q:.4g}": float(q) for q in 1.0 - 10.0**-places}
    return fine | PERCENTILES


@dataclass(frozen=True)
class _Row:
    """One percentile: exact values in ns, the replicated log ratios around their mean, and the standard error."""

    population: Population
    name: str
    q: float
    a_ns: float
    b_ns: float
    scatter: Floats
    chunk_error: float
    error: float

    def difference(self, width: float) -> Difference:
        log_ratio, half = np.log(self.b_ns / self.a_ns), width * self.error
        low, high = float(np.exp(log_ratio - half)), float(np.exp(log_ratio + half))
        direction: Direction = "faster" if high < 1.0 else "slower" if low > 1.0 else "cannot tell"
        return Difference(
            population=self.population,
            percentile=self.name,
            q=self.q,
            a_ms=self.a_ns / 1e6,
            b_ms=self.b_ns / 1e6,
            ratio=self.b_ns / self.a_ns,
            low=low,
            high=high,
            direction=direction,
            detectable=float(np.expm1((width + ndtri(POWER)) * self.error)),
        )


def _rows(
    population: Population, asked: dict[str, float], a: Latencies, b: Latencies, weights_a: Floats, weights_b: Floats
) -> list[_Row]:
    qs = list(asked.values())
    exact_a, exact_b = (quantiles(side.values[population].copy(), qs) for side in (a, b))
    drawn_a, drawn_b = (
        np.log(side.counted[population].quantiles(weights, qs)) for side, weights in ((a, weights_a), (b, weights_b))
    )
    drawn = drawn_b - drawn_a
    scatter = drawn - np.nanmean(drawn, axis=0)
    free = _independent_runs(a, b)
    chunk_error = np.nanstd(drawn, axis=0) * np.sqrt(free / (free - 1))
    error = _with_blocks(chunk_error, a, b, population, qs)
    return [
        _Row(
            population, name, q, float(exact_a[i] or 0), float(exact_b[i] or 0), scatter[:, i], chunk_error[i], error[i]
        )
        for i, (name, q) in enumerate(asked.items())
    ]


def _with_blocks(chunk_error: Floats, a: Latencies, b: Latencies, population: Population, qs: list[float]) -> Floats:
    """The standard errors: from chunks or from blocks, the larger, scaled as Student's t is to the normal distribution.

    Few blocks may agree by chance, so the scale holds whichever is larger: where the machine's speed outlasts a block,
    chunks alone cry wolf in a quarter of A/A benches of two blocks an arm (tests/test_truth_verdicts.py).
    """
    variances, freedom = zip(*(_block_variance(side, population, qs) for side in (a, b)), strict=True)
    if not sum(freedom):
        return chunk_error
    tail = (1.0 + LEVEL) / 2.0
    scale = stdtrit(sum(freedom), tail) / ndtri(tail)
    enlarged: Floats = np.sqrt(np.maximum(chunk_error**2, sum(variances))) * scale
    return enlarged


def _block_variance(side: Latencies, population: Population, qs: list[float]) -> tuple[Floats, int]:
    """Variance of the mean over blocks of each log quantile, and its degrees of freedom; 0 for a run of one block."""
    blocks = np.unique(side.chunks.block_of)
    if blocks.size < 2:
        return np.zeros(len(qs)), 0
    weights = (side.chunks.block_of[None, :] == blocks[:, None]).astype(np.float64)
    by_block = np.log(side.counted[population].quantiles(weights, qs))
    return np.nan_to_num(np.nanvar(by_block, axis=0, ddof=1) / blocks.size), int(blocks.size) - 1


def _independent_runs(a: Latencies, b: Latencies) -> int:
    """How many runs of chunks the bootstrap of the shorter side draws: its degrees of freedom, and one."""
    fewest = min(len(a.chunks), len(b.chunks))
    return max(2, fewest // run_length(fewest))


def _simultaneous_width(rows: list[_Row], runs: int) -> float:
    """How many standard errors make all intervals hold together with 95%, widened as t is for few runs of chunks."""
    largest = np.max([np.abs(row.scatter) / max(row.chunk_error, 1e-12) for row in rows], axis=0)
    tail = (1.0 + LEVEL) / 2.0
    return float(np.nanquantile(largest, LEVEL) * stdtrit(runs - 1, tail) / ndtri(tail))


def sentence(differences: list[Difference]) -> str:
    """The verdict in words, from the intervals alone."""
    if not differences:
        return "This run cannot tell: it is too short for intervals."
    said = []
    for direction, opening in (
        ("faster", "B is faster for"),
        ("slower", "B is slower for"),
        ("cannot tell", "This run cannot tell for"),
    ):
        parts = []
        for population, plural in (("hit", "hits"), ("miss", "misses")):
            names = [d.percentile for d in differences if (d.population, d.direction) == (population, direction)]
            if names:
                parts.append(f"{plural} at {_and(names)}")
        if parts:
            said.append(f"{opening} {' and '.join(parts)}.")
    return " ".join(said)


def _and(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _cautions(a: Manifest, b: Manifest, summary_a: Summary, summary_b: Summary, alike: bool | None) -> list[str]:
    cautions = []
    if alike is False:
        cautions.append("the hit shares differ: throughput also tells how warm each cache was")
    fewest = min(summary_a.window.blocks, summary_b.window.blocks)
    if fewest < FEW_BLOCKS:
        cautions.append(
            f"{fewest} block{'s' if fewest != 1 else ''} a run: a machine that changed its speed between them could "
            "pass for a difference"
        )
    for arm, manifest in (("A", a), ("B", b)):
        left_out = sum(block.left_out is not None for block in manifest.blocks)
        if left_out:
            cautions.append(
                f"{left_out} of {len(manifest.blocks)} blocks of {arm} are left out: spoiled, or beside a spoiled one"
            )
    for arm, summary in (("A", summary_a), ("B", summary_b)):
        cautions += [f"{arm}: {note.what}; {note.advice}" for note in summary.validity.notes]
    if a.experiment is None or a.experiment != b.experiment:
        cautions.append("the runs did not alternate in one experiment: what changed in between counts as B's doing")
    cautions += [f"{arm} was {m.status}: {m.reason}" for arm, m in (("A", a), ("B", b)) if m.status != "complete"]
    return cautions


def _ratio(part: float | None, whole: float | None) -> float | None:
    return part / whole if part is not None and whole else None
