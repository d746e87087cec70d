"""Share of requests that finished within a time, of two runs on one axis: arms by colour, hits and misses by dash."""

from __future__ import annotations

from math import ceil, floor
from typing import Final

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
import pyarrow as pa

from reports.figures.ecdf_labels import Place, places
from reports.figures.layout import arm_px, axis, bare_layout, latency_axis, nothing
from reports.figures.theme import Theme
from reports.readable import latency
from reports.records.aggregate import bin_counts, of_population
from reports.records.bins import BINS, BINS_PER_DECADE, quantile_ns
from reports.records.schema import POPULATIONS, Population
from reports.statistics.percentiles import enough_samples

_DASH: Final[dict[Population, str]] = {"hit": "solid", "miss": "dash"}

_Counts = npt.NDArray[np.int64]


def arms_ecdf(a: pa.Table, b: pa.Table, *, theme: Theme, c: pa.Table | None = None) -> go.Figure:
    """ECDF of latency from the intended start over the measured windows of the aggregates of runs A and B.

    ``c`` is a third run, drawn thinner beside them.
    """
    tables = {"A": a, "B": b, **({} if c is None else {"C": c})}
    counts = {
        (population, arm): bin_counts(of_population(table.filter(table["measured"]), population))
        for population in POPULATIONS
        for arm, table in tables.items()
    }
    used = np.flatnonzero(np.sum(list(counts.values()), axis=0))
    if not used.size:
        return nothing(
            theme,
            "No run measured a successful request" if c is not None else "Neither run measured a successful request",
        )
    low, high = max(0, int(used[0]) - 4), min(BINS, int(used[-1]) + 5)
    by_arm = {p: {arm: counts[p, arm] for arm in tables if counts[p, arm].any()} for p in POPULATIONS}
    some = {population: list(arms.values()) for population, arms in by_arm.items() if arms}
    labels, left, right = places(some, *(edge / BINS_PER_DECADE - 3.0 for edge in (low, high)))
    low, high = (max(0, floor((left + 3.0) * BINS_PER_DECADE)), min(BINS, ceil((right + 3.0) * BINS_PER_DECADE)))
    figure = go.Figure(layout=bare_layout(theme))
    for population, arms in by_arm.items():
        for arm, binned in arms.items():
            figure.add_trace(_curve(population, arm, binned, (low, high), theme))
        if arms:
            _label(figure, population, arms, labels[population], theme)
    figure.update_xaxes(latency_axis(theme, 10.0**left, 10.0**right, most=5, showgrid=False))
    figure.update_yaxes(axis(theme, range=[-0.02, 1.04], tickvals=[0, 0.25, 0.5, 0.75, 1], tickformat=".0%"))
    return figure


def _curve(population: Population, arm: str, counts: _Counts, edges: tuple[int, int], theme: Theme) -> go.Scatter:
    low, high = edges
    total = int(counts.sum())
    at = np.arange(low, high + 1) / BINS_PER_DECADE - 3.0
    return go.Scatter(
        x=at,
        y=np.concatenate([[0], np.cumsum(counts)])[low : high + 1] / total,
        mode="lines",
        name=f"{arm} {population}",
        line={"color": theme.arm(arm), "width": arm_px(arm), "dash": _DASH[population]},
        text=[latency(10.0**x) for x in at],
        hovertemplate=f"%{{y:.2%}} of {total:,} {population} requests of {arm} within %{{text}}<extra></extra>",
    )


def _label(figure: go.Figure, population: Population, by_arm: dict[str, _Counts], place: Place, theme: Theme) -> None:
    """The medians of a population beside its curves."""
    medians = {
        arm: quantile_ns(counts, 0.5) / 1e6 for arm, counts in by_arm.items() if enough_samples(int(counts.sum()), 0.5)
    }
    if not medians:
        return
    lines = [f"<b>{population} p50</b>"] + [
        f"<span style='color:{theme.arm(arm)}'><b>{arm}</b> {latency(ms)}</span>" for arm, ms in medians.items()
    ]
    figure.add_annotation(text="<br>".join(lines), font={"color": theme.text}, **place.annotation())
