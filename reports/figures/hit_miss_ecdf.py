"""Share of requests that finished within a time, hits and misses apart (empirical distribution functions)."""

from __future__ import annotations

from math import ceil, floor, log10
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
import pyarrow as pa

from reports.figures.ecdf_labels import Place, places
from reports.figures.layout import axis, bare_layout, latency_axis, nothing
from reports.figures.theme import Theme, translucent
from reports.readable import latency, share
from reports.records.aggregate import bin_counts, of_population
from reports.records.bins import BINS, BINS_PER_DECADE, quantile_ns
from reports.records.schema import POPULATIONS, Population
from reports.statistics.percentiles import enough_samples

_DASH: Final[dict[Population, str]] = {"hit": "solid", "miss": "dash"}
_SYMBOL: Final[dict[Population, str]] = {"hit": "circle", "miss": "diamond"}


def hit_miss_ecdf(aggregate: pa.Table, *, theme: Theme, slo_ms: float | None = None) -> go.Figure:
    """ECDF of latency from the intended start over the measured window; with ``slo_ms`` the share within it."""
    measured = aggregate.filter(aggregate["measured"])
    counts = {p: bin_counts(of_population(measured, p)) for p in POPULATIONS}
    total = np.sum(list(counts.values()), axis=0)
    if not total.any():
        return nothing(theme, "No successful request measured yet")
    used = np.flatnonzero(total)
    low, high = max(0, int(used[0]) - 4), min(BINS, int(used[-1]) + 5)
    if slo_ms is not None:
        edge = round(BINS_PER_DECADE * (log10(slo_ms) + 3))
        low, high = max(0, min(low, edge - 4)), min(BINS, max(high, edge + 12))
    some = {population: [binned] for population, binned in counts.items() if binned.any()}
    labels, left, right = places(some, *(edge / BINS_PER_DECADE - 3.0 for edge in (low, high)))
    low, high = (max(0, floor((left + 3.0) * BINS_PER_DECADE)), min(BINS, ceil((right + 3.0) * BINS_PER_DECADE)))
    figure = go.Figure(layout=bare_layout(theme))
    for population, place in labels.items():
        _add_population(figure, population, counts[population], (low, high), place, theme)
    if slo_ms is not None:
        _add_slo(figure, slo_ms, counts, theme)
    figure.update_xaxes(latency_axis(theme, 10.0**left, 10.0**right, most=5, showgrid=False))
    figure.update_yaxes(axis(theme, range=[-0.02, 1.04], tickvals=[0, 0.25, 0.5, 0.75, 1], tickformat=".0%"))
    return figure


def _add_population(
    figure: go.Figure,
    population: Population,
    counts: npt.NDArray[np.int64],
    edges: tuple[int, int],
    place: Place,
    theme: Theme,
) -> None:
    low, high = edges
    total = int(counts.sum())
    within = np.concatenate([[0], np.cumsum(counts)])[low : high + 1] / total
    at = np.arange(low, high + 1) / BINS_PER_DECADE - 3.0
    figure.add_trace(
        go.Scatter(
            x=at,
            y=within,
            mode="lines",
            name=population,
            line={"color": theme.of(population), "width": 2.5, "dash": _DASH[population]},
            text=[latency(10.0**x) for x in at],
            hovertemplate=f"%{{y:.2%}} of {total:,} {population} requests within %{{text}}<extra></extra>",
        )
    )
    if enough_samples(total, 0.5):
        median = log10(quantile_ns(counts, 0.5) / 1e6)
        _mark(figure, population, median, 0.5, theme)
        figure.add_annotation(
            text=f"<b>{population} p50</b><br>{latency(10.0**median)}<br>n = {total:,}",
            bgcolor=translucent(theme.card, 0.75),
            font={"color": theme.of(population)},
            **place.annotation(),
        )


def _mark(figure: go.Figure, population: Population, x: float, y: float, theme: Theme) -> None:
    marker: dict[str, Any] = {"size": 9, "symbol": _SYMBOL[population], "color": theme.of(population)}
    marker["line"] = {"color": theme.card, "width": 2}
    figure.add_trace(go.Scatter(x=[x], y=[y], mode="markers", marker=marker, hoverinfo="skip", name=population))


def _add_slo(figure: go.Figure, slo_ms: float, counts: dict[Population, npt.NDArray[np.int64]], theme: Theme) -> None:
    place = log10(slo_ms)
    figure.add_vline(x=place, line={"color": theme.slo, "width": 1.5, "dash": "dot"})
    said = []
    for population, binned in counts.items():
        if binned.any():
            inside = _share_within(binned, slo_ms)
            _mark(figure, population, place, inside, theme)
            said.append(f"{share(inside)} of {'hits' if population == 'hit' else 'misses'}")
    figure.add_annotation(
        x=1,
        xref="paper",
        xanchor="right",
        y=1,
        yref="paper",
        yanchor="bottom",
        align="right",
        text=f"<b>SLO {latency(slo_ms)}</b><br>{', '.join(said)}",
        showarrow=False,
        font={"color": theme.slo},
    )
    figure.update_layout(margin={"t": 44})


def _share_within(counts: npt.NDArray[np.int64], ms: float) -> float:
    """Share of samples within ``ms``, log-linear inside the bin as quantiles are."""
    whole, part = divmod(BINS_PER_DECADE * (log10(ms) + 3.0), 1)
    edge = int(min(max(whole, 0), BINS - 1))
    return float((counts[:edge].sum() + part * counts[edge]) / counts.sum())
