"""Latency over time: how many requests took how long in each stretch of time, under the lines that matter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log10
from typing import Final

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
import pyarrow as pa

from reports.figures.dots import Dots
from reports.figures.layout import bare_layout, latency_axis, nothing, spread
from reports.figures.theme import Theme
from reports.figures.time_axis import TimeAxis
from reports.readable import latency
from reports.records.aggregate import of_population
from reports.records.bins import BINS, BINS_PER_DECADE, quantile_ns
from reports.records.schema import POPULATIONS, Population
from reports.statistics.percentiles import samples_needed

COLUMNS: Final = 150
BINS_A_ROW: Final = 2
SQRT_STOPS: Final = 24


@dataclass(frozen=True)
class _Line:
    """A percentile of a population over time, with its dash as second sign beside the colour."""

    population: Population
    name: str
    q: float
    dash: str


_LINES: Final = (
    _Line("miss", "p99", 0.99, "dot"),
    _Line("miss", "p50", 0.5, "solid"),
    _Line("hit", "p50", 0.5, "solid"),
)


def latency_over_time(
    aggregate: pa.Table,
    *,
    theme: Theme,
    population: Population | None = None,
    dots: Dots | None = None,
    faults: Sequence[tuple[float, float]] = (),
) -> go.Figure:
    """Heatmap of successful requests by time and log latency from the intended start, with hit p50, miss p50, miss p99.

    Colour goes with the square root of the count, so that a straggler shows beside thousands. A percentile is drawn
    over stretches long enough to have ten samples beyond it. ``population`` leaves only one of the two. With ``dots``
    each request is drawn instead, and no percentile of the few. ``faults``: see ``TimeAxis.mark_faults``.
    """
    parts = {p: of_population(aggregate, p) for p in POPULATIONS if population in (None, p)}
    time = TimeAxis.of([aggregate], columns=COLUMNS)
    grids = {p: _grid(part, time) for p, part in parts.items()}
    total = np.sum(list(grids.values()), axis=0)
    if not total.any():
        return nothing(theme, "No successful request yet")
    used = np.flatnonzero(total.any(axis=1))
    low, high = max(0, int(used[0]) - 6), min(BINS, int(used[-1]) + 7)
    low, high = low - low % BINS_A_ROW, high + high % BINS_A_ROW
    figure = go.Figure(layout=bare_layout(theme, right=118))
    time.mark(figure, aggregate, theme)
    time.mark_faults(figure, faults, theme)
    if dots is not None:
        ends = [dots.draw(figure, p, time, theme) for p, grid in grids.items() if grid.any()]
    else:
        figure.add_trace(_heatmap(total[low:high], low, time, theme))
        drawn = [
            _add_line(figure, line, grids[line.population], time, theme) for line in _LINES if line.population in grids
        ]
        ends = [end for end in drawn if end is not None]
    figure.update_xaxes(time.layout(theme))
    low_ms, high_ms = (10.0 ** (edge / BINS_PER_DECADE) / 1000.0 for edge in (low, high))
    figure.update_yaxes(latency_axis(theme, low_ms, high_ms, fixedrange=False))
    places = spread([y for y, _, _ in ends], gap=log10(high_ms / low_ms) * 0.075)
    for (_, text, colour), place in zip(ends, places, strict=True):
        figure.add_annotation(
            x=1, xref="paper", xanchor="left", xshift=6, y=place, text=text, showarrow=False, font={"color": colour}
        )
    return figure


def _grid(part: pa.Table, time: TimeAxis) -> npt.NDArray[np.int64]:
    """Counts by bin and column (360 x columns)."""
    cell = part["bin"].to_numpy().astype(np.int64) * time.columns + time.column(part["second"].to_numpy())
    counts = np.bincount(cell, weights=part["count"].to_numpy(), minlength=BINS * time.columns)
    return counts.astype(np.int64).reshape(BINS, time.columns)


def _heatmap(counts: npt.NDArray[np.int64], low: int, time: TimeAxis, theme: Theme) -> go.Heatmap:
    rows = counts.reshape(-1, BINS_A_ROW, time.columns).sum(axis=1)
    centres = (low + BINS_A_ROW * (np.arange(rows.shape[0]) + 0.5)) / BINS_PER_DECADE - 3.0
    return go.Heatmap(
        x=time.centres,
        y=centres,
        z=rows.astype(np.uint16 if rows.max() < 1 << 16 else np.uint32),
        colorscale=_sqrt_scale(theme, int(rows.max())),
        zmin=0,
        zmax=int(rows.max()),
        showscale=False,
        hoverongaps=False,
        text=[[latency(10.0**centre)] * time.columns for centre in centres],
        hovertemplate="%{z:,} requests of about %{text}<extra></extra>",
        name="requests",
    )


def _sqrt_scale(theme: Theme, top: int) -> list[tuple[float, str]]:
    """The heat colours against the square root of the count; nothing at all where there is no request."""
    stops: list[tuple[float, str]] = [(0.0, "rgba(0,0,0,0)"), (0.5 / max(top, 1), "rgba(0,0,0,0)")]
    colours = [_rgb(colour) for colour in theme.heat]
    for stop in range(SQRT_STOPS):
        part = stop / (SQRT_STOPS - 1)
        place = max(part**2, stops[1][0])
        whole, rest = divmod(part * (len(colours) - 1), 1)
        left, right = colours[int(whole)], colours[min(int(whole) + 1, len(colours) - 1)]
        mixed = ",".join(str(round(a + (b - a) * rest)) for a, b in zip(left, right, strict=True))
        stops.append((place, f"rgb({mixed})"))
    return stops


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _add_line(
    figure: go.Figure, line: _Line, grid: npt.NDArray[np.int64], time: TimeAxis, theme: Theme
) -> tuple[float, str, str] | None:
    """Draw one percentile; its last height, label and colour, or None where no stretch has samples enough."""
    width = _columns_together(grid.sum(axis=0), samples_needed(line.q))
    centres, heights = [], []
    for first in range(0, time.columns, width):
        counts = grid[:, first : first + width].sum(axis=1)
        if counts.sum() >= samples_needed(line.q):
            filled = np.flatnonzero(grid[:, first : first + width].any(axis=0)) + first
            centres.append(float(time.centres[filled].mean()))
            heights.append(log10(quantile_ns(counts, line.q) / 1e6))
    if not centres:
        return None
    folds = np.searchsorted(centres, time.folds[1:])  # no line across time that is not shown
    xs, ys = np.insert(centres, folds, np.nan), np.insert(heights, folds, np.nan)
    colour = theme.tail if line.q > 0.5 else theme.of(line.population)
    name = f"{line.population} {line.name}"
    halo = {"color": theme.card, "width": 4 if line.dash == "solid" else 0}
    mode = "lines" if len(centres) > 2 else "lines+markers"
    if line.dash == "solid":
        figure.add_trace(go.Scatter(x=xs, y=ys, mode="lines", line=halo, hoverinfo="skip", opacity=0.7))
    figure.add_trace(
        go.Scatter(
            x=xs,
            y=ys,
            mode=mode,
            name=name,
            line={"color": colour, "width": 2, "dash": line.dash},
            text=[latency(10.0**y) for y in ys],
            hovertemplate=f"{name} %{{text}}<extra></extra>",
        )
    )
    return heights[-1], f"<b>{name}</b> {latency(10.0 ** heights[-1])}", colour


def _columns_together(counts: npt.NDArray[np.int64], needed: int) -> int:
    """How many columns to take together so that a typical stretch holds ``needed`` samples; never more than a sixth."""
    filled = counts[counts > 0]
    if not filled.size:
        return 1
    typical = float(np.median(filled))
    return int(min(max(1, np.ceil(1.2 * needed / typical)), max(1, counts.size // 6)))
