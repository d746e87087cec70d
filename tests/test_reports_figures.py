"""Figures: what is drawn is what was counted, hits are hits, every axis has its unit, and little goes over the wire."""

import re
from collections.abc import Callable
from math import log10
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.compare.comparison import Comparison, Difference
from reports.figures import (
    DARK,
    LIGHT,
    Theme,
    hit_miss_ecdf,
    latency_over_time,
    percentiles,
    relative_change,
    retries_over_time,
)
from reports.figures.dots import are_few, dots_of
from reports.figures.layout import spread
from reports.figures.time_axis import TimeAxis
from reports.readable import change, share
from reports.records.aggregate import cells, merge
from reports.records.schema import POPULATIONS
from reports.store.store import RunStore
from tests.dash_fixtures import Traffic, save_run
from tests.made_runs import T0_NS, batch, block, mixed

DRAW: list[Callable[..., go.Figure]] = [latency_over_time, hit_miss_ecdf, percentiles, retries_over_time]
NOTHING = merge([])


def aggregate(*batches: pa.RecordBatch, blocks: Any = None) -> pa.Table:
    return merge(cells(b, blocks or [block()], T0_NS) for b in batches)


def steady(rows: int = 8000) -> pa.Table:
    return aggregate(mixed(rows=rows))


def trace(figure: go.Figure, name: str) -> Any:
    return next(t for t in figure.data if t.name == name)


def said(figure: go.Figure) -> str:
    return " ".join(str(a.text) for a in figure.layout.annotations)


@pytest.mark.parametrize("draw", DRAW)
@pytest.mark.parametrize("theme", [DARK, LIGHT], ids=lambda t: t.name)
def test_a_figure_is_small_has_data_and_units_and_keeps_its_zoom(draw: Callable[..., go.Figure], theme: Theme) -> None:
    figure = draw(aggregate(mixed(rows=20_000, seconds=290.0), blocks=[block(measured_s=280.0)]), theme=theme)
    assert len(figure.to_json()) < 150_000
    assert figure.data
    assert figure.layout.uirevision == "keep"
    assert figure.layout.title.text is None  # titles are HTML
    assert figure.layout.showlegend is False  # labels stand beside what they name
    unit = re.compile(r"\d+:\d\d|µs|ms| s$|%|^p\d")
    for axis in (figure.layout.xaxis, figure.layout.yaxis):
        ticks = axis.ticktext or [axis.tickformat]
        assert ticks
        assert all(unit.search(text) for text in ticks), ticks


@pytest.mark.parametrize("draw", DRAW)
def test_without_data_a_figure_says_so(draw: Callable[..., go.Figure]) -> None:
    assert len(said(draw(NOTHING, theme=DARK))) > 10


def test_the_heatmap_holds_every_success_once() -> None:
    table = steady()
    figure = latency_over_time(table, theme=DARK)
    successes = sum(row["count"] for row in table.to_pylist() if row["status"] == 200)
    assert int(np.asarray(trace(figure, "requests").z).sum()) == successes
    only = latency_over_time(table, theme=DARK, population="hit")
    hits = sum(row["count"] for row in table.to_pylist() if row["cache"] == "hit")
    assert int(np.asarray(trace(only, "requests").z).sum()) == hits
    assert "miss" not in said(only)


def test_the_lines_are_the_percentiles_of_their_own_population() -> None:
    figure = latency_over_time(steady(30_000), theme=DARK)
    assert 10 ** np.mean(trace(figure, "hit p50").y) == pytest.approx(8.5, rel=0.1)
    assert 10 ** np.mean(trace(figure, "miss p50").y) == pytest.approx(400, rel=0.1)
    assert trace(figure, "hit p50").line.color == DARK.hit
    assert trace(figure, "miss p50").line.color == DARK.miss
    assert trace(figure, "miss p99").line.dash != trace(figure, "miss p50").line.dash
    for name in ("hit p50", "miss p50", "miss p99"):
        assert f"<b>{name}</b>" in said(figure)


def test_a_percentile_over_time_is_withheld_where_samples_run_out() -> None:
    assert "p99" not in said(latency_over_time(aggregate(mixed(rows=500)), theme=DARK))
    assert "p50" not in said(latency_over_time(aggregate(batch(15)), theme=DARK))


def test_the_ecdf_rises_to_one_through_the_median_for_each_population() -> None:
    figure = hit_miss_ecdf(steady(), theme=LIGHT, slo_ms=600)
    for name, median, colour in (("hit", 8.5, LIGHT.hit), ("miss", 400.0, LIGHT.miss)):
        curve = trace(figure, name)
        assert (np.diff(curve.y) >= 0).all()
        assert curve.y[-1] == pytest.approx(1.0)
        assert 10 ** np.interp(0.5, curve.y, curve.x) == pytest.approx(median, rel=0.06)
        assert curve.line.color == colour
    assert trace(figure, "hit").line.dash != trace(figure, "miss").line.dash
    assert "SLO 600 ms" in said(figure)
    assert "of misses" in said(figure)


@pytest.mark.parametrize("slo_ms", [0.001, 1.0, 10**6])
def test_an_slo_beside_all_samples_is_still_drawn(slo_ms: float) -> None:
    figure = hit_miss_ecdf(steady(), theme=DARK, slo_ms=slo_ms)
    low, high = figure.layout.xaxis.range
    assert low <= log10(slo_ms) <= high
    assert ("100.0% of hits" in said(figure)) is (slo_ms > 1000)


def test_warm_up_is_in_the_pictures_of_time_but_not_in_the_distributions() -> None:
    slow = batch(500, scheduled_at=T0_NS + np.arange(500) * 10**6, latency_ns=10**10, cache="miss")
    fast = batch(500, scheduled_at=T0_NS + 2 * 10**9 + np.arange(500) * 10**6, latency_ns=10**8, cache="miss")
    table = aggregate(slow, fast)  # the first second is warm-up
    assert int(np.asarray(trace(latency_over_time(table, theme=DARK), "requests").z).sum()) == 1000
    assert trace(hit_miss_ecdf(table, theme=DARK), "miss").x.max() < 3.0
    assert 10 ** trace(percentiles(table, theme=DARK), "<b>miss</b>").y.max() < 200


def test_the_percentile_curve_stops_where_ten_samples_remain() -> None:
    figure = percentiles(steady(), theme=DARK)
    hit, miss = trace(figure, "<b>hit</b>"), trace(figure, "<b>miss</b>")
    measured = [row for row in steady().to_pylist() if row["measured"] and row["status"] == 200]
    hits = sum(row["count"] for row in measured if row["cache"] == "hit")
    assert hit.x[-1] == pytest.approx(log10(hits / 10))
    assert figure.layout.xaxis.range[1] > hit.x[-1]
    assert "fewer than 10 samples" in said(figure)
    assert 10 ** np.interp(-log10(0.5), miss.x, miss.y) == pytest.approx(400, rel=0.06)
    assert (np.diff(miss.y) >= 0).all()


def test_two_runs_share_one_percentile_picture_in_the_colours_of_the_arms() -> None:
    figure = percentiles(steady(), theme=DARK, other=steady(6000), population="miss")
    assert [(t.name, t.line.color) for t in figure.data] == [
        ("<b>A miss</b>", DARK.arm_a),
        ("<b>B miss</b>", DARK.arm_b),
    ]


def test_retries_are_shares_of_what_reached_gemini() -> None:
    rows = batch(100, cache=["miss"] * 50 + ["hit"] * 50, attempts=[1] * 40 + [2] * 6 + [7] * 4 + [0] * 50)
    figure = retries_over_time(aggregate(rows), theme=DARK)
    assert trace(figure, "2 attempts").y[0] == pytest.approx(6 / 50)
    assert trace(figure, "5 or more attempts").y[0] == pytest.approx(4 / 50)
    assert f"load ×{(40 + 12 + 28) / 50:.2f}" in said(figure)
    none = retries_over_time(aggregate(batch(80, cache="miss", attempts=1)), theme=DARK)
    assert "No retries in 80 requests" in said(none)


def test_a_run_s_idle_stretches_are_folded_and_marked() -> None:
    blocks = [block(0, measured_s=9.0), block(1, at_s=40.0, measured_s=9.0)]
    table = aggregate(mixed(seconds=10.0), mixed(seconds=10.0, at_s=40.0, index=1), blocks=blocks)
    time = TimeAxis.of([table], columns=100)
    assert (time.span, time.columns, time.step) == (20, 20, 1)
    assert time.place(np.array([0, 9, 40, 49])).tolist() == [0, 9, 10, 19]
    assert time.labels()[0] == "0:00"
    assert time.labels()[10] == "0:40"
    figure = latency_over_time(table, theme=DARK)
    assert [s.x0 for s in figure.layout.shapes if s.type == "line"] == [10]
    assert "0:40" in figure.layout.xaxis.ticktext
    assert [(s.x0, s.x1) for s in figure.layout.shapes if s.type == "rect"] == [(0, 1), (10, 11)]  # warm-up


@given(st.sets(st.integers(0, 5000), min_size=1, max_size=60), st.integers(1, 200))
def test_the_time_axis_keeps_order_and_loses_no_second(seconds: set[int], columns: int) -> None:
    table = pa.table({"second": pa.array(sorted(seconds), pa.int32())})
    time = TimeAxis.of([table], columns=columns)
    places = time.place(np.array(sorted(seconds)))
    assert (np.diff(places) > 0).all()
    assert places[0] == 0
    assert places[-1] == time.span - 1
    assert time.column(np.array([max(seconds)]))[0] == time.columns - 1
    assert time.columns <= max(columns, -(-time.span // 3600))
    assert len(time.labels()) == len(time.centres) == time.columns


@given(st.lists(st.floats(0, 10), min_size=1, max_size=6), st.floats(0.01, 2.0))
def test_labels_are_moved_apart_and_keep_their_order(values: list[float], gap: float) -> None:
    placed = spread(values, gap)
    order = np.argsort(values, kind="stable")
    assert (np.diff(np.array(placed)[order]) >= gap * 0.999).all()
    if len(values) == 1 or np.diff(np.sort(values)).min() > gap:
        assert placed == pytest.approx(values)


def test_faults_are_marked_where_they_ran_and_named_once() -> None:
    blocks = [block(), block(1, at_s=40.0)]
    table = merge(
        cells(mixed(seed=index, at_s=at_s, index=index), blocks, T0_NS) for index, at_s in ((0, 0.0), (1, 40.0))
    )
    faults = [(2.0, 5.5), (41.0, 44.0), (49.0, 60.0)]
    figure = latency_over_time(table, theme=DARK, faults=faults)
    strips = [(s.x0, s.x1) for s in figure.layout.shapes if s.fillcolor == DARK.bad]
    assert strips == [(2.0, 5.5), (12.0, 15.0), (20.0, 22.0)]  # the second block is folded to second 11, and ends
    assert said(figure).count("faults") == 1
    assert "faults" not in said(latency_over_time(table, theme=DARK))


def test_relative_change_draws_intervals_about_their_lines() -> None:
    def difference(q: float, ratio: float, population: Any) -> Difference:
        return Difference(population, f"p{q * 100:g}", q, 1, ratio, ratio, ratio * 0.9, ratio * 1.1, "cannot tell", 0.1)

    curve = [difference(q, r, p) for p, r in (("hit", 0.5), ("miss", 1.2)) for q in (0.1, 0.5, 0.9, 0.99)]
    usual: dict[str, Any] = {"a": "a", "b": "b", "throughput_ratio": 1, "goodput_ratio": 1, "hit_share_a": 0.5}
    usual |= {"hit_share_b": 0.5, "hit_shares_alike": True, "refusal": None}
    figure = relative_change(Comparison(**usual, curve=curve), theme=DARK)
    for name, ratio, colour in (("hit", 0.5, DARK.hit), ("miss", 1.2, DARK.miss)):
        assert set(trace(figure, name).y) == {ratio}
        assert trace(figure, name).line.color == colour
        assert sorted(set(trace(figure, f"{name} interval").y)) == pytest.approx([ratio * 0.9, ratio * 1.1])
    assert "0%" in figure.layout.yaxis.ticktext
    assert "B slower" in said(figure)
    refused = relative_change(Comparison(**usual | {"refusal": "their seeds differ"}), theme=DARK)
    assert "their seeds differ" in said(refused)
    assert not refused.data


def test_a_short_run_is_drawn_request_by_request_and_a_long_one_is_not(tmp_path: Path) -> None:
    """Each dot is a sample: its intended start and its latency from it, hits apart from misses; a file stays small."""
    run = RunStore(tmp_path).open(save_run(tmp_path, Traffic(seconds=12, rate=150)))
    assert are_few(run.aggregate())
    figure = latency_over_time(run.aggregate(), theme=DARK, dots=dots_of(run))
    assert {t.name for t in figure.data} == {"hit", "miss"}
    assert len(figure.to_json()) < 150_000
    samples = run.samples().to_pandas()
    samples = samples[samples.error == ""]
    took_ms = (samples.sent_at + samples.latency_ns - samples.scheduled_at) / 1e6
    for population, caches in POPULATIONS.items():
        mine = samples.cache.isin(caches)
        drawn = trace(figure, population)
        np.testing.assert_allclose(10 ** np.array(drawn.y), took_ms[mine], rtol=0.002)
        np.testing.assert_allclose(drawn.x, (samples.scheduled_at[mine] - run.manifest.started_ns) / 1e9, atol=0.001)
        assert f"n = {mine.sum():,}" in said(figure)
    long = RunStore(tmp_path).open(save_run(tmp_path, Traffic(seconds=12, rate=200), minute=1))
    assert not are_few(long.aggregate())


def test_shares_and_changes_are_told_as_exactly_as_they_matter() -> None:
    told = {0.0: "0.0%", 0.00066: "0.066%", 0.00123: "0.123%", 0.0099: "0.99%", 0.012: "1.2%", 1.0: "100.0%"}
    assert {fraction: share(fraction) for fraction in told} == told
    assert [change(ratio) for ratio in (0.9996, 1.0004, 0.9, 3.2, 16.4)] == ["0.0%", "0.0%", "-10.0%", "+220%", "×16.4"]
