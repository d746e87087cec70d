"""SLO expressions are read to typed thresholds, the impossible is refused, and samples are judged by them."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import binomtest

from reports.judge.attainment import Observation, all_met, attain, binomial_interval, observe, pool
from reports.judge.slo import Indicator, SloError, Threshold, parse_slo, show_slo
from tests.measured_runs import Stretch, save_measured


def test_an_expression_becomes_thresholds_in_ms_fractions_and_rates() -> None:
    assert parse_slo("p99<1s, hit.p99.9 <= 250us,failed<0.3%,goodput>=100/s,hit_share>50%,attempts<1.2") == (
        Threshold(Indicator("latency", 0.99), "<", 1000.0),
        Threshold(Indicator("latency", 0.999, "hit"), "<=", 0.25),
        Threshold(Indicator("failed"), "<", 0.003),
        Threshold(Indicator("goodput"), ">=", 100.0),
        Threshold(Indicator("hit_share"), ">", 0.5),
        Threshold(Indicator("attempts"), "<", 1.2),
    )


@pytest.mark.parametrize(
    "impossible",
    ["p99<0s", "p99<-1s", "failed<0", "attempts<1", "hit_share>100%", "p99<1e-999s", "failed<=-1%"],
)
def test_what_nothing_can_meet_is_refused(impossible: str) -> None:
    with pytest.raises(SloError, match="meet"):
        parse_slo(impossible)


@pytest.mark.parametrize("idle", ["failed<101%", "failed<=100%", "goodput>=0/s", "hit_share>=0", "hit_share>-5%"])
def test_what_nothing_can_miss_is_refused(idle: str) -> None:
    with pytest.raises(SloError, match="miss"):
        parse_slo(idle)


@pytest.mark.parametrize(
    "wrong",
    [
        "", " ", ",", "p99", "p99<", "<1s", "p99<1", "p99>1s", "p99<<1s", "p99=1s", "p0<1s", "p100<1s", "p999<1s",
        "p99<nans", "p99<infs", "p99<1e999s", "p99<1h", "p99<1s,,failed<1%", "p99<1s,p99<2s", "goodput>100",
        "goodput<100/s", "attempts<1.2x", "latency<1s", "cold.p99<1s", "hit.failed<1%", "mean<1s", "p99<1 000s ms",
        "failed<1%%", "p99<0x1s",
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_one_line_that_names_the_part(wrong: str) -> None:
    with pytest.raises(SloError) as error:
        parse_slo(wrong)
    assert len(str(error.value).splitlines()) == 1
    part = next((part for part in wrong.split(",") if part.strip()), "")
    assert part.strip() in str(error.value)


@given(st.text(alphabet="p9.<>=%,/sm1efail dhtu-µ\n", max_size=20))
def test_any_text_is_read_or_refused_in_one_line(text: str) -> None:
    try:
        slo = parse_slo(text)
    except SloError as error:
        complaint = str(error)
    else:
        complaint = "none"
        assert parse_slo(show_slo(slo)) == slo
    assert len(complaint.splitlines()) == 1


limits = st.decimals(min_value="0.001", max_value="99999", places=3)


@given(st.decimals(min_value="0.01", max_value="99.999", places=3), limits, st.sampled_from(["us", "ms", "s"]))
def test_what_is_shown_is_read_back_the_same(percentile: object, limit: object, unit: str) -> None:
    slo = parse_slo(f"p{percentile}<{limit}{unit}")
    assert parse_slo(show_slo(slo)) == slo


def observed(*, hit: object = (), miss: object = (), failed: int = 0, seconds: float = 10.0) -> Observation:
    parts = {"hit": np.asarray(hit, dtype=float), "miss": np.asarray(miss, dtype=float)}
    total = sum(part.size for part in parts.values())
    return Observation(
        seconds=seconds,
        requests=total + failed,
        latency_ms={name: part for name, part in parts.items() if part.size},
        attempts=parts["miss"].size + 2 * failed,
        reached=parts["miss"].size,
    )


def test_hits_and_misses_are_judged_apart() -> None:
    both = observed(hit=np.full(9000, 1.0), miss=np.full(1000, 1500.0))
    hit, miss = attain(parse_slo("p50<1s"), both)  # pooled, the median would be 1 ms
    assert (hit.name, hit.met, hit.value) == ("hit.p50<1s", True, 1.0)
    assert (miss.name, miss.met, miss.value) == ("miss.p50<1s", False, 1500.0)
    (only,) = attain(parse_slo("hit.p50<1s"), both)
    assert only.met


def test_the_strict_bound_is_strict() -> None:
    exactly = observed(hit=np.full(2000, 5.0))
    assert [(a.met, a.beyond) for a in attain(parse_slo("hit.p99<5ms"), exactly)] == [(False, 2000)]
    assert [(a.met, a.beyond) for a in attain(parse_slo("hit.p99<=5ms"), exactly)] == [(True, 0)]


def test_shares_rates_and_attempts_are_judged_by_their_value() -> None:
    run = observed(hit=np.ones(60), miss=np.ones(30), failed=10, seconds=9.0)
    values = {a.name: (a.value, a.met) for a in attain(
        parse_slo("failed<=10%,goodput>=10/s,hit_share>66%,attempts<=1.6"), run
    )}  # fmt: skip
    assert values["failed<=10%"] == (0.1, True)
    assert values["goodput>=10/s"] == (10.0, True)
    assert values["hit_share>66%"] == (pytest.approx(2 / 3), True)
    assert values["attempts<=1.6"] == (pytest.approx(50 / 30), False)
    (share,) = attain(parse_slo("hit_share>66%"), run)
    assert (share.beyond, share.samples, share.allowed) == (30, 90, pytest.approx(0.34))


def test_a_percentile_is_withheld_with_fewer_than_ten_beyond_unless_the_share_decides() -> None:
    def of(values: object) -> tuple[float | None, bool | None]:
        (only,) = attain(parse_slo("miss.p99<1s"), observed(miss=values))
        return only.value, only.met

    assert of(np.full(1000, 500.0)) == (500.0, True)
    assert of(np.full(400, 500.0)) == (None, True)  # none of 400 beyond: surely less than 1% are
    assert of(np.full(100, 500.0)) == (None, None)
    assert of([500.0] * 90 + [2000.0] * 10) == (None, False)  # 10 of 100: surely more than 1%
    assert of([]) == (None, None)


def test_nothing_measured_is_never_met() -> None:
    nothing = Observation(seconds=0.0, requests=0, latency_ms={})
    attainments = attain(parse_slo("p99<1s,failed<1%,goodput>1/s,hit_share>1%,attempts<2"), nothing)
    assert [a.met for a in attainments] == [None] * 5
    assert [a.margin() for a in attainments] == [None] * 5
    assert all_met(attainments) is None
    assert all_met(()) is None


@given(st.integers(0, 300), st.integers(1, 300))
def test_the_binomial_interval_is_scipys_exact_one(beyond: int, samples: int) -> None:
    assume(beyond <= samples)
    oracle = binomtest(beyond, samples).proportion_ci(0.95, "exact")
    assert binomial_interval(beyond, samples) == pytest.approx((oracle.low, oracle.high), abs=1e-9)


@given(st.integers(0, 10**6), st.floats(0.2, 5.0))
def test_a_margin_is_positive_exactly_where_the_limit_is_kept(seed: int, factor: float) -> None:
    values = np.random.default_rng(seed).lognormal(5.0, 1.0, 1000)
    limit = float(np.quantile(values, 0.99)) * factor
    (attainment,) = attain(parse_slo(f"miss.p99<={limit!r}ms"), observed(miss=values))
    margin = attainment.margin()
    assert margin == pytest.approx(math.log(factor), abs=1e-6)
    assert attainment.value == pytest.approx(np.quantile(values, 0.99))
    assume(not math.isclose(factor, 1.0, rel_tol=1e-9))
    assert (margin > 0) is attainment.met


def test_a_margin_by_share_grows_with_the_samples_that_none_lies_beyond() -> None:
    def margin(samples: int, failed: int = 0) -> float:
        (attainment,) = attain(parse_slo("failed<1%"), observed(hit=np.ones(samples), failed=failed))
        found = attainment.margin(by_share=True)
        assert found is not None
        return found

    assert margin(40) < 0 < margin(100) < margin(400)
    assert margin(1000, failed=100) < margin(1000, failed=20) < 0 < margin(1000, failed=1)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50), st.integers(0, 9)), min_size=1, max_size=5))
def test_pooled_stretches_count_as_one(parts: list[tuple[int, int, int]]) -> None:
    each = [observed(hit=np.ones(h), miss=np.full(m, 9.0), failed=f, seconds=2.0) for h, m, f in parts]
    whole = pool(each)
    assert whole.requests == sum(h + m + f for h, m, f in parts)
    assert whole.failed == sum(f for _, _, f in parts)
    assert whole.seconds == 2.0 * len(parts)
    assert sorted(np.concatenate([np.empty(0), *whole.latency_ms.values()])) == sorted(
        [1.0] * sum(h for h, _, _ in parts) + [9.0] * sum(m for _, m, _ in parts)
    )


def test_a_saved_run_is_observed_as_a_whole_and_block_by_block(tmp_path: Path) -> None:
    run = save_measured(
        tmp_path,
        [
            Stretch(hit_ms=[1.0] * 30, miss_ms=[200.0] * 20, failed=5),
            Stretch(hit_ms=[2.0] * 10, failed=3, error="mismatch", at_s=20),
        ],
    )
    whole = observe(run.manifest, run.iter_batches)
    assert (whole.requests, whole.failed, whole.mismatches, whole.seconds) == (68, 8, 3, 20.0)
    assert {name: part.size for name, part in whole.latency_ms.items()} == {"hit": 40, "miss": 20}
    second = observe(run.manifest, run.iter_batches, block=1)
    assert (second.requests, second.failed, second.mismatches, second.seconds) == (13, 3, 3, 10.0)
    assert second.latency_ms["hit"].tolist() == [2.0] * 10
