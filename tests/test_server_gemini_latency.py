"""The law of latency: scipy as oracle, and many virtual samples against the distribution they should follow."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from xxhash import xxh3_128_intdigest

from server.gemini.latency import PROFILES, Draw, LatencyProfile, LogNormal, OutputLength, find_profile

unit = st.floats(1e-6, 1 - 1e-6)


def draws(profile: LatencyProfile, count: int) -> list[Draw]:
    return [profile.draw(xxh3_128_intdigest(b"%d" % number)) for number in range(count)]


@given(median=st.floats(0.01, 1e4), sigma=st.floats(0.01, 2), u=unit)
def test_untruncated_quantile_is_scipys(median, sigma, u):
    assert LogNormal(median, sigma).quantile(u) == pytest.approx(stats.lognorm.ppf(u, sigma, scale=median), rel=1e-9)


@given(sigma=st.floats(0.05, 1), below=st.floats(0.2, 0.99), above=st.floats(1.01, 5), u=unit)
def test_truncated_quantile_inverts_the_truncated_cdf(sigma, below, above, u):
    law, oracle = LogNormal(100, sigma, 100 * below, 100 * above), stats.lognorm(sigma, scale=100)
    low, high = oracle.cdf(law.low), oracle.cdf(law.high)

    value = law.quantile(u)

    assert law.low <= value * (1 + 1e-12)
    assert value <= law.high * (1 + 1e-12)
    assert (oracle.cdf(value) - low) / (high - low) == pytest.approx(u, abs=1e-6)


@given(mean=st.floats(0.5, 2000), low=st.integers(1, 50), span=st.integers(0, 5000), u=unit)
def test_output_length_inverts_the_truncated_exponential(mean, low, span, u):
    law = OutputLength(mean, low, low + span)
    oracle = stats.truncexpon((span + 1) / mean, loc=low - 0.5, scale=mean)

    tokens = law.quantile(u)

    assert low <= tokens <= low + span
    assert oracle.cdf(tokens - 0.5) - 1e-9 <= u <= oracle.cdf(tokens + 0.5) + 1e-9


def test_lesson_takes_150_to_300_ms_always():
    latencies = [draw.total_ms(draw.output_tokens) for draw in draws(PROFILES["lesson"], 50_000)]

    assert min(latencies) >= 150
    assert max(latencies) <= 300
    assert np.std(latencies) > 15


@pytest.mark.parametrize("name", ["flash", "pro"])
def test_samples_follow_their_law(name):
    profile = PROFILES[name]
    sample = [draw for draw in draws(profile, 20_000) if draw.ttft_ms]
    straggling = profile.straggler_share

    def mixture(law: LogNormal):
        plain, slow = (stats.lognorm(law.sigma, scale=law.median * by) for by in (1, profile.straggler_factor))
        return lambda ms: (1 - straggling) * plain.cdf(ms) + straggling * slow.cdf(ms)

    assert stats.kstest([draw.ttft_ms for draw in sample], mixture(profile.ttft)).pvalue > 0.001
    assert stats.kstest([draw.per_token_ms for draw in sample], mixture(profile.per_token)).pvalue > 0.001
    assert np.mean([draw.output_tokens for draw in sample]) == pytest.approx(profile.output.mean + 0.5, rel=0.03)


def test_parts_of_a_draw_are_independent():
    profile = LatencyProfile("all-plain", LogNormal(100, 0.5), LogNormal(1, 0.5), OutputLength(100))
    sample = np.array(draws(profile, 20_000))

    correlations = stats.spearmanr(sample).statistic[np.triu_indices(3, 1)]

    assert np.abs(correlations).max() < 0.03


def test_straggler_share_and_factor():
    plain = LatencyProfile("plain", LogNormal(100, 0.2), LogNormal(1, 0.2), OutputLength(50))
    some = LatencyProfile("some", LogNormal(100, 0.2), LogNormal(1, 0.2), OutputLength(50), 0.05, 4.0)

    factors = np.array([b.ttft_ms / a.ttft_ms for a, b in zip(draws(plain, 20_000), draws(some, 20_000), strict=True)])

    assert set(np.round(factors, 9)) == {1.0, 4.0}
    assert stats.binomtest(int((factors > 1).sum()), 20_000, 0.05).pvalue > 0.001


def test_load_slows_only_beyond_capacity():
    congested = PROFILES["congested"]

    assert congested.load_factor(200) == 1.0
    assert congested.load_factor(500) == 2.5
    assert PROFILES["lesson"].load_factor(10_000) == 1.0


def test_constants():
    draw = find_profile("200ms").draw(xxh3_128_intdigest(b"any"))

    assert draw.total_ms(draw.output_tokens) == 200.0
    assert find_profile("zero").draw(7).total_ms(40) == 0.0
    assert find_profile("0.5ms").draw(7).ttft_ms == 0.5


@pytest.mark.parametrize("name", ["", "lessons", "-1ms", "200", "1e3ms", "200 ms"])
def test_unknown_profiles_are_refused(name):
    with pytest.raises(ValueError, match="unknown latency profile"):
        find_profile(name)


@pytest.mark.parametrize(
    "make",
    [
        lambda: LogNormal(100, -0.1),
        lambda: LogNormal(100, 0.1, 120),
        lambda: LogNormal(100, 0.1, 0, 90),
        lambda: LogNormal(math.nan, 0.1),
        lambda: OutputLength(0),
        lambda: OutputLength(10, 0),
        lambda: OutputLength(10, 5, 4),
    ],
)
def test_impossible_laws_are_refused(make):
    with pytest.raises(ValueError, match="needs"):
        make()
