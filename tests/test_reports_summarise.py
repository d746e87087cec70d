"""The summary against figures computed another way from the same samples."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from reports.records.schema import HIT_CACHES, MISS_CACHES, Manifest, Server, Target, Workload
from reports.store.run import Run
from reports.store.store import RunStore
from reports.summary.summarise import summarise
from reports.summary.summary import PERCENTILES, Summary
from tests.made_runs import T0_NS, batch, block, manifest, mixed, save


def summary_of(*batches: Any, slo_ms: float | None = None, **fields: Any) -> Summary:
    """The summary of samples that never saw a disk."""
    fields.setdefault("blocks", [block(warmup_s=0.0, measured_s=10.0)])
    return summarise(manifest(**fields), lambda columns: (b.select(list(columns)) for b in batches), slo_ms=slo_ms)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    counted = {"200/hit": 100}
    blocks = [
        block(0, warmup_s=1.0, measured_s=8.0, server_counted=counted, server_cpu_s=2.0, generator_cpu_s=1.0),
        block(1, at_s=20.0, warmup_s=1.0, measured_s=8.0, server_counted={}, server_cpu_s=2.0, generator_cpu_s=1.0),
    ]
    root = tmp_path_factory.mktemp("runs")
    batches = [mixed(rows=10_000, seconds=10.0), mixed(rows=10_000, seconds=10.0, at_s=20.0, index=1)]
    return RunStore(root).open(save(root, batches, blocks=blocks).id)


def test_a_block_that_is_left_out_counts_nowhere_but_in_the_totals(run: Run, tmp_path: Path) -> None:
    first, second = run.manifest.blocks
    batches = [mixed(rows=10_000, seconds=10.0), mixed(rows=10_000, seconds=10.0, at_s=20.0, index=1)]
    late = second.model_copy(update={"left_out": "it woke late", "generator_lag_ms": 40.0})
    found = RunStore(tmp_path).open(save(tmp_path, batches, blocks=[first, late]).id)
    alone = RunStore(tmp_path).open(save(tmp_path, batches[:1], blocks=[first]).id)
    summary, expected = found.summary(), alone.summary()
    assert summary.latency == expected.latency
    assert summary.throughput_rps == expected.throughput_rps
    assert summary.cpu == expected.cpu
    assert (summary.window.measured_s, summary.window.blocks) == (8.0, 1)
    assert summary.reconciliation.recorded == 2 * expected.reconciliation.recorded
    assert [told.advice for told in summary.validity.left_out] == ["it woke late"]
    measured = found.aggregate().to_pandas()
    assert set(measured[measured["measured"]]["block"]) == {0}


def test_one_mixed_up_answer_before_the_window_voids_the_run() -> None:
    errors = ["mismatch", *[""] * 199]
    s = summary_of(batch(200, error=errors), blocks=[block(warmup_s=0.1, measured_s=10.0)])
    assert s.failures == 0
    assert s.validity.verdict == "NOISY"
    assert summary_of(batch(200), blocks=[block(warmup_s=0.1, measured_s=10.0)]).validity.verdict == "VALID"


def measured_frame(run: Run) -> pd.DataFrame:
    """What pandas makes of the parquet, by the contract's words."""
    frame = pd.concat(pd.read_parquet(path) for path in sorted(run.path.glob("samples-*.parquet")))
    window = {b.index: (b.measure_from_ns, b.measure_until_ns) for b in run.manifest.blocks}
    inside = [window[b][0] <= t < window[b][1] for b, t in zip(frame["block"], frame["scheduled_at"], strict=True)]
    frame = frame[inside].copy()
    frame["ok"] = frame["status"].between(200, 299) & (frame["error"] == "")
    frame["intended_ms"] = (frame["sent_at"] - frame["scheduled_at"] + frame["latency_ns"]) / 1e6
    frame["sent_ms"] = frame["latency_ns"] / 1e6
    return frame


@pytest.mark.parametrize(("population", "caches"), [("hit", HIT_CACHES), ("miss", MISS_CACHES)])
@pytest.mark.parametrize(("kind", "column"), [("intended", "intended_ms"), ("sent", "sent_ms")])
def test_percentiles_are_numpy_s_of_the_saved_samples(
    run: Run, population: str, caches: Any, kind: str, column: str
) -> None:
    frame = measured_frame(run)
    values = frame[frame["ok"] & frame["cache"].isin(caches)][column].to_numpy()
    found = run.summary().latency[population][kind]
    assert found.count == values.size
    assert found.mean_ms == pytest.approx(values.mean())
    assert (found.min_ms, found.max_ms) == (values.min(), values.max())
    for name, q in PERCENTILES.items():
        if values.size * (1 - q) >= 10:
            assert found.percentiles[name] == pytest.approx(np.quantile(values, q), rel=1e-12)
            low, high = found.intervals[name]
            assert low <= found.percentiles[name] <= high
        else:
            assert found.percentiles[name] is None
            assert name not in found.intervals
    assert [found.percentiles[n] is None for n in PERCENTILES] == [False, False, False, True]


def test_rates_failures_and_cache_are_those_of_the_saved_samples(run: Run) -> None:
    frame, s = measured_frame(run), run.summary()
    ok = frame[frame["ok"]]
    assert (s.requests, s.successes, s.failures) == (len(frame), len(ok), len(frame) - len(ok))
    assert s.throughput_rps == pytest.approx(len(frame) / 16.0)
    assert s.goodput_rps == pytest.approx(len(ok) / 16.0)
    assert s.failed_share == pytest.approx(1 - len(ok) / len(frame))
    assert s.failures_by_reason == frame[~frame["ok"]]["error"].astype(str).value_counts().to_dict()
    counts = ok["cache"].astype(str).value_counts()
    assert {c: getattr(s.cache, c) for c in ("hit", "miss", "collapsed")} == counts.to_dict()
    assert s.cache.hit_share == pytest.approx(counts["hit"] / len(ok))
    assert s.window.measured_s == 16.0
    assert s.window.warmup_s == 2.0
    assert s.window.samples_outside == 20_000 - len(frame)


def test_attempts_count_what_reached_gemini(run: Run) -> None:
    frame, s = measured_frame(run), run.summary()
    reached = frame[frame["attempts"] >= 1]
    assert s.attempts.distribution == reached["attempts"].value_counts().sort_index().to_dict()
    assert s.attempts.count == len(reached)
    assert s.attempts.amplification == pytest.approx(reached["attempts"].mean())
    assert s.attempts.per_success == pytest.approx(reached["attempts"].sum() / reached["ok"].sum())


def test_cpu_is_by_requests_that_ended_inside_the_window(run: Run) -> None:
    frame = pd.concat(pd.read_parquet(path) for path in run.path.glob("samples-*.parquet"))
    ended = frame["sent_at"] + frame["latency_ns"]
    inside = 0
    for b in run.manifest.blocks:
        inside += int(((frame["block"] == b.index) & (ended >= b.measure_from_ns) & (ended < b.measure_until_ns)).sum())
    s = run.summary()
    assert s.cpu.completed == inside
    assert s.cpu.server_us == pytest.approx(4e6 / inside)
    assert s.cpu.generator_us == pytest.approx(2e6 / inside)


def test_cpu_that_nobody_could_read_is_absent_not_zero() -> None:
    s = summary_of(batch(100), blocks=[block(warmup_s=0.0, generator_cpu_s=1.0)])
    assert (s.cpu.server_us, s.cpu.generator_us) == (None, pytest.approx(10_000.0))


def test_stage_times_are_by_population_without_the_absent(run: Run) -> None:
    ms = np.array([5.0, 7.0, np.nan, 100.0] * 30, np.float32)
    caches = ["miss", "miss", "miss", "hit"] * 30
    stages = summary_of(batch(120, gemini_ms=ms, cache=caches)).stages
    gemini = stages["miss"]["gemini"]
    assert (gemini.count, gemini.mean_ms, gemini.p50_ms, gemini.p99_ms) == (60, 6.0, 6.0, None)
    assert stages["hit"]["gemini"].mean_ms == 100.0


def test_both_kinds_of_latency_are_kept_apart() -> None:
    scheduled = T0_NS + np.arange(100) * 10**6
    s = summary_of(batch(100, scheduled_at=scheduled, sent_at=scheduled + 2 * 10**9, latency_ns=10**6))
    assert s.latency["hit"]["sent"].percentiles["p50"] == pytest.approx(1.0)
    assert s.latency["hit"]["intended"].percentiles["p50"] == pytest.approx(2001.0)


def test_goodput_under_an_slo_counts_what_users_got_in_time() -> None:
    s = summary_of(batch(100, latency_ns=[10**6] * 60 + [10**9] * 40, status=[200] * 50 + [503] * 50), slo_ms=500)
    assert (s.goodput_rps, s.slo_ms, s.throughput_rps) == (5.0, 500, 10.0)


def test_a_failure_without_a_name_goes_by_its_status() -> None:
    s = summary_of(batch(4, status=[404, 404, 0, 200], error=["", "", "timeout", "mismatch"]))
    assert s.failures_by_reason == {"http-404": 2, "timeout": 1, "mismatch": 1}
    assert s.failures == 4


def test_totals_reconcile_by_status_and_cache_over_whole_blocks() -> None:
    samples = batch(5, cache=["hit", "hit", "miss", "none", "none"], status=[200, 200, 200, 429, 0])
    exact = {"200/hit": 2, "200/miss": 1, "429/none": 1}
    r = summary_of(samples, blocks=[block(warmup_s=9.0, server_counted=exact)]).reconciliation
    assert (r.recorded, r.counted, r.unanswered, r.matches, r.differences) == (4, 4, 1, True, {})
    r = summary_of(samples, blocks=[block(server_counted={"200/hit": 3, "429/none": 1})]).reconciliation
    assert (r.matches, r.differences) == (False, {"200/hit": (2, 3), "200/miss": (1, 0)})
    r = summary_of(samples, blocks=[block()]).reconciliation
    assert (r.matches, r.counted) == (None, None)


def test_tokens_tell_what_the_cache_answered() -> None:
    s = summary_of(
        batch(
            3,
            cache=["hit", "miss", "miss"],
            prompt_tokens=[10, 20, -1],
            output_tokens=[1, 2, -1],
            status=[200, 200, 200],
        )
    )
    assert s.tokens.model_dump() == {"prompt": 30, "output": 3, "prompt_cached": 10, "output_cached": 1}


def test_requests_in_flight_obey_little_s_law() -> None:
    # 100 requests a second, each 0.5 s, for the whole time: 50 in flight
    scheduled = T0_NS + np.arange(-200, 1200) * 10**7
    s = summary_of(batch(1400, scheduled_at=scheduled, latency_ns=500_000_000))
    assert s.little is not None
    assert s.little.expected == pytest.approx(50.0)
    assert s.little.observed == pytest.approx(50.0, rel=0.001)


def test_a_run_without_samples_or_without_a_window_says_so() -> None:
    for s in (summary_of(), summary_of(batch(10), blocks=[]), summary_of(batch(10), blocks=[block(measured_s=0.0)])):
        assert s.requests == 0
        assert s.validity.verdict == "NOISY"
        assert s.throughput_rps in (None, 0.0)
        assert s.latency["hit"]["intended"].percentiles == dict.fromkeys(PERCENTILES)
        assert s.cache.hit_share is None


def test_a_run_in_which_nothing_succeeded_says_what_was_asked() -> None:
    workload = Workload.of({"path": "/process"})
    s = summary_of(batch(200, status=404), workload=workload)
    (note,) = s.validity.notes
    assert "http-404" in note.what
    assert note.advice.endswith(" http://127.0.0.1:8080/process")
    elsewhere = Target(url="http://127.0.0.1:8080/ask/", owned=False)
    (note,) = summary_of(batch(200, status=404), workload=workload, target=elsewhere).validity.notes
    assert note.advice.endswith(" http://127.0.0.1:8080/ask")
    status = [404] * 199 + [200]
    assert summary_of(batch(200, status=status), workload=workload).validity.notes == []


def started_apart(latency_ms: np.ndarray, at_s: np.ndarray, **fields: Any) -> Summary:
    """The summary of requests due ``at_s`` seconds after the window's start."""
    return summary_of(
        batch(
            at_s.size,
            scheduled_at=T0_NS + (at_s * 1e9).astype(np.int64),
            latency_ns=(latency_ms * 1e6).astype(np.int64),
        ),
        **fields,
    )


@pytest.mark.parametrize("factor", [1.3, 0.7])
def test_an_unsettled_start_is_noticed_told_and_spoils_no_verdict(factor: float) -> None:
    rng = np.random.default_rng(1)
    at = np.sort(rng.random(4000)) * 10.0
    s = started_apart(100.0 * rng.lognormal(0, 0.1, 4000) * np.where(at < 4.0, factor, 1.0), at)
    assert s.warmup is not None
    assert not s.warmup.settled
    assert s.warmup.cut_s == pytest.approx(4.0, abs=0.5)
    assert s.warmup.ratio == pytest.approx(factor, rel=0.03)
    assert (s.warmup.block, s.warmup.population, s.warmup.of_s) == (0, "hit", 10.0)
    assert s.validity.verdict == "VALID"
    assert len(s.validity.remarks) == len(s.validity.notes) == 1


@pytest.mark.parametrize("size", [100, 240, 4000])
def test_a_steady_run_with_stragglers_seldom_passes_for_unsettled(size: int) -> None:
    rng = np.random.default_rng(2)
    unsettled = 0
    for _ in range(60):
        stragglers = np.where(rng.random(size) < 0.01, 20.0, 1.0)
        s = started_apart(100.0 * rng.lognormal(0, 0.3, size) * stragglers, np.sort(rng.random(size)) * 10.0)
        unsettled += bool(s.validity.notes)
    assert unsettled <= 2


def test_a_start_a_little_apart_is_settled_and_one_that_is_meant_to_change_is_not_looked_at() -> None:
    rng = np.random.default_rng(3)
    at = np.sort(rng.random(4000)) * 10.0
    noise = 100.0 * rng.lognormal(0, 0.1, 4000)
    close = started_apart(noise * np.where(at < 4.0, 1.03, 1.0), at)
    assert close.warmup is not None
    assert close.warmup.cut_s > 3.0
    assert close.warmup.settled
    apart = noise * np.where(at < 4.0, 1.3, 1.0)
    profile = Workload.of({"profile": [{"at": 0.0, "users": 0.2, "over": 0.0}]})
    faults = Server(config={"settings": {"mock": {"faults": "brownout.toml"}}})
    assert started_apart(apart, at, workload=profile).warmup is None
    assert started_apart(apart, at, server=faults).warmup is None


def test_the_expected_hit_share_needs_catalogue_and_cache(run: Run) -> None:
    workload = {"parameters": {"catalogue": {"items": 4096, "exponent": 1.0}}, "digest": "d"}
    cache = {"enabled": True, "max_entries": 256, "ttl_s": 300.0}
    known = Server(config={"settings": {"cache": cache}})
    base = manifest().model_dump()
    asked: Manifest = Manifest.model_validate(base | {"workload": workload})
    found = summary_of(mixed(), workload=asked.workload, server=known).cache
    assert found.expected_share == pytest.approx(0.58, abs=0.01)  # what the steady scenario says of itself
    assert found.served_share == pytest.approx(
        (found.hit + found.collapsed) / (found.hit + found.collapsed + found.miss)
    )
    assert summary_of(mixed(), workload=asked.workload).cache.expected_share is None
    assert summary_of(mixed(), server=known).cache.expected_share is None
    off = Server(config={"settings": {"cache": cache | {"enabled": False}}})
    assert summary_of(mixed(), workload=asked.workload, server=off).cache.expected_share is None
    in_sessions = asked.workload.model_copy(
        update={"parameters": asked.workload.parameters | {"load": {"kind": "Sessions"}}}
    )
    assert summary_of(mixed(), workload=in_sessions, server=known).cache.expected_share is None


def test_the_same_samples_give_the_same_summary_to_the_last_digit(run: Run, tmp_path: Path) -> None:
    assert run.summarise().model_dump_json() == run.summarise().model_dump_json()
    assert Summary.model_validate_json(run.summary().model_dump_json()) == run.summary()
