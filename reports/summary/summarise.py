"""From samples and manifest to the summary: the one computation behind every report.

Percentiles are exact (``reports.statistics.percentiles``), of successes whose intended start lies in the measured
window, hits and misses apart. Five million samples take a few seconds and a few hundred megabytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt

from reports.readable import count
from reports.records.schema import POPULATIONS, STAGES, Manifest, Population
from reports.statistics.bootstrap import ChunkCounts, quantile_intervals
from reports.statistics.chunks import Chunks
from reports.statistics.percentiles import enough_samples, quantiles
from reports.statistics.popularity import expected_hit_share
from reports.summary.collect import POPULATION_CODE, Collected, ReadBatches, collect
from reports.summary.phases import phases
from reports.summary.settled import notes, warmup
from reports.summary.summary import (
    PERCENTILES,
    Attempts,
    CacheOutcomes,
    Cpu,
    Latency,
    LatencyKind,
    Little,
    Reason,
    Reconciliation,
    Stage,
    Summary,
    Tokens,
    Window,
)
from reports.summary.validity import judge

INDEPENDENT: Final = ("Think", "PoissonArrivals", "ConstantArrivals")
"""Load models whose requests are drawn independently of each other, as the manifest names them."""


def summarise(manifest: Manifest, read: ReadBatches, *, slo_ms: float | None = None) -> Summary:
    """The summary of a run; ``read`` gives its samples. ``slo_ms`` is on latency from the intended start."""
    found = collect(manifest, read)
    seconds = manifest.measured_s
    within_slo = found.successes if slo_ms is None else int((found.intended_ns <= slo_ms * 1e6).sum())
    reconciliation = _reconcile(manifest, found)
    start = warmup(manifest, found)
    return Summary(
        run_id=manifest.id,
        requests=found.requests,
        successes=found.successes,
        failures=found.requests - found.successes,
        throughput_rps=_ratio(found.requests, seconds),
        goodput_rps=_ratio(within_slo, seconds),
        slo_ms=slo_ms,
        failed_share=_ratio(found.requests - found.successes, found.requests),
        failures_by_reason=dict(found.failures.most_common()),
        cache=_cache(manifest, found),
        attempts=_attempts(found),
        cpu=_cpu(manifest, found),
        tokens=Tokens(**found.tokens),
        reconciliation=reconciliation,
        window=_window(manifest, found),
        warmup=start,
        little=_little(found, seconds),
        phases=phases(manifest, found),
        validity=judge(
            manifest.blocks,
            requests_by_block=found.by_block,
            mismatches=found.mismatches,
            reconciliation=reconciliation,
            block_medians_ms={p: _block_medians(found, p) for p in POPULATIONS},
            offered=_offered(manifest),
            notes=[*_nothing_succeeded(manifest, found), *notes(start)],
        ),
        stages=_stages(found, read),
        latency={p: _latencies(manifest, found, p) for p in POPULATIONS},
    )


def _offered(manifest: Manifest) -> float | None:
    """Arrivals in the measured windows by the rate of an open loop."""
    load = manifest.workload.parameters.get("load", {})
    rate = load.get("rate_per_s") if load.get("loop") == "open" else None
    return None if rate is None or not manifest.measured_s else float(rate) * manifest.measured_s


def _nothing_succeeded(manifest: Manifest, found: Collected) -> list[Reason]:
    """What to look at where the load was measured well, but met nothing that answers it."""
    if found.successes or not found.requests:
        return []
    commonest, url = found.failures.most_common(1)[0][0], manifest.target.url.rstrip("/")
    if not urlsplit(url).path:
        url += manifest.workload.parameters.get("path", "")
    return [
        Reason(
            what=f"not one of {count(found.requests)} requests succeeded, most of them: {commonest}",
            advice=f"is it the right server and path? The load was POST {url}",
        )
    ]


def _latencies(manifest: Manifest, found: Collected, population: Population) -> dict[LatencyKind, Latency]:
    mine = found.success_population == POPULATION_CODE[population]
    chunks = Chunks(manifest.blocks)
    chunk = chunks.of(found.block[mine], found.scheduled_ms[mine])
    return {
        "intended": _latency(found.intended_ns[mine], chunk, len(chunks)),
        "sent": _latency(found.sent_ns[mine], chunk, len(chunks)),
    }


def _latency(ns: npt.NDArray[np.int64], chunk: npt.NDArray[np.int32], chunks: int) -> Latency:
    if not ns.size:
        return Latency(count=0, percentiles=dict.fromkeys(PERCENTILES))
    counted = ChunkCounts(ns, chunk, chunks)
    mean, low, high = float(ns.mean()) / 1e6, float(ns.min()) / 1e6, float(ns.max()) / 1e6
    exact = quantiles(ns, list(PERCENTILES.values()))
    intervals = quantile_intervals(counted, exact, list(PERCENTILES.values()))
    return Latency(
        count=ns.size,
        mean_ms=mean,
        min_ms=low,
        max_ms=high,
        percentiles={n: None if v is None else v / 1e6 for n, v in zip(PERCENTILES, exact, strict=True)},
        intervals={n: (i[0] / 1e6, i[1] / 1e6) for n, i in zip(PERCENTILES, intervals, strict=True) if i is not None},
    )


def _stages(found: Collected, read: ReadBatches) -> dict[Population, dict[str, Stage]]:
    result: dict[Population, dict[str, Stage]] = {p: {} for p in POPULATIONS}
    for stage in STAGES:
        column = np.concatenate([np.empty(0, np.float32), *_column(read, f"{stage}_ms")])
        for population, code in POPULATION_CODE.items():
            values = column[found.population == code]
            result[population][stage] = _stage(values[~np.isnan(values)])
    return result


def _column(read: ReadBatches, name: str) -> Iterator[npt.NDArray[np.float32]]:
    # Copied: a view would keep all columns of a stream's batch alive, which is the whole run in memory.
    return (batch.column(0).to_numpy(zero_copy_only=False).copy() for batch in read([name]))


def _stage(values: npt.NDArray[np.float32]) -> Stage:
    if not values.size:
        return Stage(count=0)
    mean = float(values.mean(dtype=np.float64))
    p50, p99 = quantiles(values, [0.5, 0.99])
    return Stage(count=values.size, mean_ms=mean, p50_ms=p50, p99_ms=p99)


def _cache(manifest: Manifest, found: Collected) -> CacheOutcomes:
    said = {name: number for name, number in found.caches.items() if name != "none"}
    hits = said.get("hit", 0) + said.get("stale", 0)
    return CacheOutcomes(
        **said,
        unknown=found.caches["none"],
        hit_share=_ratio(hits, sum(said.values())),
        served_share=_ratio(hits + said.get("collapsed", 0), sum(said.values())),
        expected_share=_expected_share(manifest, found),
    )


def _expected_share(manifest: Manifest, found: Collected) -> float | None:
    """From a Zipf catalogue in the workload and an enabled cache in the server's settings, where both are known.

    Only of requests that are drawn independently: sessions ask again, and a stampede asks what is new.
    """
    try:
        if manifest.workload.parameters.get("load", {}).get("kind", INDEPENDENT[0]) not in INDEPENDENT:
            return None
        catalogue = manifest.workload.parameters["catalogue"]
        cache = manifest.server.config["settings"]["cache"] if manifest.server else {}
        if not cache["enabled"] or not manifest.measured_s:
            return None
        return expected_hit_share(
            items=int(catalogue["items"]),
            exponent=float(catalogue["exponent"]),
            capacity=int(cache["max_entries"]),
            ttl_s=float(cache["ttl_s"]),
            requests_per_s=found.requests / manifest.measured_s,
        )
    except (KeyError, TypeError, ValueError):
        return None


def _attempts(found: Collected) -> Attempts:
    distribution = {number: times for number, times in sorted(found.attempts.items()) if times}
    spent = sum(number * times for number, times in distribution.items())
    reached = sum(distribution.values())
    return Attempts(
        count=reached,
        distribution=distribution,
        per_success=_ratio(spent, found.attempts_of_successes),
        amplification=_ratio(spent, reached),
    )


def _cpu(manifest: Manifest, found: Collected) -> Cpu:
    measured = [b for b in manifest.blocks if b.measured_s]
    server = [b.server_cpu_s for b in measured if b.server_cpu_s is not None]
    generator = [b.generator_cpu_s for b in measured if b.generator_cpu_s is not None]
    return Cpu(
        completed=found.completed,
        server_us=_ratio(sum(server) * 1e6, found.completed) if measured and len(server) == len(measured) else None,
        generator_us=_ratio(sum(generator) * 1e6, found.completed)
        if measured and len(generator) == len(measured)
        else None,
    )


def _reconcile(manifest: Manifest, found: Collected) -> Reconciliation:
    recorded = found.replies.total()
    counted = [b.server_counted for b in manifest.blocks if b.server_counted is not None]
    if not counted or len(counted) < len(manifest.blocks):
        return Reconciliation(recorded=recorded, unanswered=found.unanswered)
    by_key: dict[str, int] = {}
    for block in counted:
        for key, number in block.items():
            by_key[key] = by_key.get(key, 0) + number
    differences = {
        key: (found.replies[key], by_key.get(key, 0))
        for key in sorted({*found.replies, *by_key})
        if found.replies[key] != by_key.get(key, 0)
    }
    return Reconciliation(
        recorded=recorded,
        counted=sum(by_key.values()),
        unanswered=found.unanswered,
        differences=differences,
        matches=not differences,
    )


def _window(manifest: Manifest, found: Collected) -> Window:
    measured = [b for b in manifest.blocks if b.measured_s]
    warmup = sum(b.warmup_s for b in measured)
    return Window(
        measured_s=manifest.measured_s,
        blocks=len(measured),
        warmup_s=warmup,
        samples_outside=found.outside,
        rule=f"the first {warmup / len(measured):.1f} s of each block (ramp and warm-up) cut by time; a request counts "
        "if its intended start lies in the window"
        if measured
        else "nothing was measured",
    )


def _little(found: Collected, seconds: float) -> Little | None:
    if not seconds or not found.requests:
        return None
    return Little(expected=found.latency_sum_ns / 1e9 / seconds, observed=found.in_flight_ns / 1e9 / seconds)


def _block_medians(found: Collected, population: Population) -> list[float]:
    mine = found.success_population == POPULATION_CODE[population]
    values, block = found.intended_ns[mine], found.block[mine]
    parts = (values[block == index] for index in np.unique(block))
    return [float(np.median(part)) / 1e6 for part in parts if enough_samples(part.size, 0.5)]


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None
