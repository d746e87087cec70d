"""Comparing: alike stays "cannot tell", an injected change is found, what must not be compared is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reports.compare.comparison import Comparison, Difference
from reports.compare.verdict import Latencies, compare, differences, sentence
from reports.records.schema import Environment, Population, Workload
from reports.store.run import Run
from reports.store.store import RunStore
from tests.made_runs import block, manifest, mixed, save

RUNS = 20
MISSED = 2
"""Of 20 A/A runs at least 18 must say "cannot tell", of 20 runs 10% slower at least 18 must say "slower"."""


def simulated(
    seed: int, *, miss_scale: float = 1.0, blocks: int = 6, seconds: int = 5, drift: float = 0.0
) -> Latencies:
    """Latencies of a run whose seconds share their luck (AR(1), 3%) and whose blocks may drift as wholes."""
    rng = np.random.default_rng(seed)
    values: dict[Population, list[Any]] = {"hit": [], "miss": []}
    where: dict[Population, list[Any]] = {"hit": [], "miss": []}
    for index in range(blocks):
        mood, whole = 0.0, rng.normal(0.0, drift)
        for second in range(seconds):
            mood = 0.5 * mood + rng.normal(0.0, 0.026)
            for population, median, spread in (("hit", 8e6, 0.4), ("miss", 4e8 * miss_scale, 0.35)):
                n = rng.poisson(300)
                values[population].append(rng.lognormal(np.log(median) + mood + whole, spread, n).astype(np.int64))
                where[population].append((np.full(n, index, np.int16), second * 1000 + rng.integers(0, 1000, n)))
    joined = {p: (np.concatenate([b for b, _ in w]), np.concatenate([ms for _, ms in w])) for p, w in where.items()}
    windows = [block(index, at_s=20.0 * index, measured_s=seconds) for index in range(blocks)]
    return Latencies.from_arrays(windows, {p: np.concatenate(v) for p, v in values.items()}, joined)


@pytest.mark.parametrize("drift", [0.0, 0.02])
def test_a_against_a_cannot_tell(drift: float) -> None:
    wolves = 0
    for n in range(RUNS):
        printed, _ = differences(simulated(100 + 2 * n, drift=drift), simulated(101 + 2 * n, drift=drift))
        assert len(printed) == 6  # p50, p90 and p99 of both populations
        wolves += any(d.direction != "cannot tell" for d in printed)
    assert wolves <= MISSED


def test_ten_percent_on_misses_is_found_and_put_where_it_belongs() -> None:
    found = 0
    for n in range(RUNS):
        printed, _ = differences(simulated(500 + 2 * n), simulated(501 + 2 * n, miss_scale=1.1))
        by = {(d.population, d.percentile): d for d in printed}
        found += by["miss", "p50"].direction == "slower"
        assert by["miss", "p50"].ratio == pytest.approx(1.1, abs=0.05)
        assert by["hit", "p50"].ratio == pytest.approx(1.0, abs=0.05)
    assert found >= RUNS - MISSED


def test_swapping_the_sides_turns_the_verdict_round() -> None:
    a, b = simulated(1), simulated(2, miss_scale=1.5)
    forth, back = (differences(*pair)[0] for pair in ((a, b), (b, a)))
    turned = {"slower": "faster", "faster": "slower", "cannot tell": "cannot tell"}
    for one, other in zip(forth, back, strict=True):
        assert one.ratio == pytest.approx(1 / other.ratio)
        assert one.direction == turned[other.direction]
    assert {d.direction for d in forth if d.population == "miss"} == {"slower"}


def test_the_interval_alone_decides_and_says_what_it_could_have_seen() -> None:
    printed, curve = differences(simulated(1), simulated(2, miss_scale=1.05))
    for d in [*printed, *curve]:
        assert d.low <= d.ratio <= d.high
        assert d.direction == ("faster" if d.high < 1 else "slower" if d.low > 1 else "cannot tell")
        assert d.detectable > (d.high / d.low) ** 0.5 - 1  # beyond half the interval, for the power
        assert d.ratio == pytest.approx(d.b_ms / d.a_ms)
    assert [d.q for d in curve if d.population == "hit"] == sorted(d.q for d in curve if d.population == "hit")


def test_blocks_that_drift_widen_the_interval() -> None:
    def width(drift: float) -> float:
        printed, _ = differences(simulated(11, drift=drift), simulated(12, drift=drift))
        return next(d.high / d.low - 1 for d in printed if (d.population, d.percentile) == ("miss", "p50"))

    assert width(0.1) > 2 * width(0.0)


def test_too_short_a_run_cannot_tell() -> None:
    assert differences(simulated(1, blocks=1, seconds=5), simulated(2)) == ([], [])
    assert "too short" in sentence([])


def test_the_sentence_says_each_percentile_once() -> None:
    def difference(population: Population, percentile: str, direction: Any) -> Difference:
        return Difference(population, percentile, 0.5, 1, 1, 1, 1, 1, direction, 0.1)

    said = sentence(
        [
            difference("hit", "p50", "faster"),
            difference("hit", "p90", "faster"),
            difference("miss", "p50", "faster"),
            difference("miss", "p90", "cannot tell"),
        ]
    )
    assert said == "B is faster for hits at p50 and p90 and misses at p50. This run cannot tell for misses at p90."


def saved(root: Path, luck: int, **fields: Any) -> Run:
    scale = fields.pop("miss_scale", 1.0)
    parts = [mixed(luck, index=i, at_s=20.0 * i, miss_scale=scale) for i in range(2)]
    fields.setdefault("blocks", [block(i, at_s=20.0 * i) for i in range(2)])
    return RunStore(root).open(save(root, parts, **fields).id)


def test_saved_runs_compare_end_to_end(tmp_path: Path) -> None:
    a = saved(tmp_path, 1, experiment="e", arm="A", mode="sync")
    b = saved(tmp_path, 2, experiment="e", arm="B", miss_scale=2.0)
    found = compare(a, b)
    assert found.refusal is None
    assert {d.direction for d in found.differences if d.population == "miss"} == {"slower"}
    assert {d.direction for d in found.differences if d.population == "hit"} == {"cannot tell"}
    summary_a, summary_b = a.summary(), b.summary()
    assert found.throughput_ratio == pytest.approx((summary_b.throughput_rps or 0) / (summary_a.throughput_rps or 1))
    miss = next(d for d in found.differences if (d.population, d.percentile) == ("miss", "p50"))
    assert miss.a_ms == pytest.approx(summary_a.latency["miss"]["intended"].percentiles["p50"])
    assert miss.b_ms == pytest.approx(summary_b.latency["miss"]["intended"].percentiles["p50"])
    assert found.hit_shares_alike is True
    assert compare(a, b) == found


OTHER_MACHINE = Environment(
    python="3.11", platform="Linux", cpu_model="other", cpu_count=2, memory_bytes=1 << 33, machine_id="m2"
)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"workload": Workload.of({"scenario": "steady", "catalogue": 7})}, "workloads"),
        ({"scenario": "spike"}, "scenarios"),
        ({"users": 7}, "users"),
        ({"seed": 7}, "seeds"),
        ({"environment": OTHER_MACHINE}, "machines"),
        ({"status": "running"}, "not ended"),
        ({"blocks": [block(0, generator_cpu=0.99), block(1, at_s=20)]}, "GENERATOR-BOUND"),
        ({"blocks": [block(0, steal=0.3), block(1, at_s=20)]}, "NOISY"),
    ],
)
def test_what_must_not_be_compared_yields_no_verdict(tmp_path: Path, fields: dict[str, Any], why: str) -> None:
    usual, other = saved(tmp_path, 1), saved(tmp_path, 2, miss_scale=3.0, **fields)
    for pair in ((usual, other), (other, usual)):
        found: Comparison = compare(*pair)
        assert why in str(found.refusal)
        assert found.differences == found.curve == []
        assert "faster" not in found.sentence
        assert "slower" not in found.sentence


def test_cautions_say_what_the_verdict_does_not_cover(tmp_path: Path) -> None:
    a = saved(tmp_path, 1, experiment="e", arm="A")
    b = saved(tmp_path, 2, experiment="e", arm="B")
    assert len(compare(a, b).cautions) == 1  # two blocks only
    out = [block(0, measured_s=4.0), block(1, at_s=20.0, measured_s=4.0, left_out="it woke late")]
    lacking = saved(tmp_path, 2, experiment="e", arm="B", blocks=out)
    assert "1 of 2 blocks of B" in " ".join(compare(a, lacking).cautions)
    c = saved(tmp_path, 3, status="aborted")
    cautions = " ".join(compare(a, c).cautions)
    assert "aborted" in cautions
    assert "alternate" in cautions
    assert manifest().experiment is None
