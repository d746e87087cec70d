"""Latency by percentile on the axis log(1 / (1 - p)), which gives each further nine the same room.

The curve stops where fewer than ten samples lie beyond; the rest of the axis is shaded and says so.
"""

from __future__ import annotations

from math import ceil, log10
from typing import Final

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
import pyarrow as pa

from reports.figures.layout import arm_px, axis, bare_layout, latency_axis, nothing, spread
from reports.figures.theme import Theme
from reports.readable import latency
from reports.records.aggregate import bin_counts, of_population
from reports.records.bins import quantile_ns
from reports.records.schema import POPULATIONS, Population
from reports.statistics.percentiles import SAMPLES_BEYOND

MARKS: Final = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999, "p99.99": 0.9999, "p99.999": 0.99999}
_DASH: Final[dict[Population, str]] = {"hit": "solid", "miss": "dash"}


def percentiles(
    aggregate: pa.Table,
    *,
    theme: Theme,
    other: pa.Table | None = None,
    third: pa.Table | None = None,
    population: Population | None = None,
) -> go.Figure:
    """Hit and miss curves of one run; with ``other`` the run is B and ``other`` A, in the colours of the arms.

    ``third`` is one more run, C, drawn thinner beside them. ``population`` leaves only hits or only misses.
    """
    curves = []
    for name in POPULATIONS if population is None else (population,):
        for arm, table in (("A", other), ("B" if other is not None else "", aggregate), ("C", third)):
            if table is not None and (curve := _Curve.of(table, name, arm, theme)) is not None:
                curves.append(curve)
    if not curves:
        return nothing(theme, "Too few successful requests measured: percentiles need 20")
    figure = go.Figure(layout=bare_layout(theme, right=84))
    longest = max(float(curve.x[-1]) for curve in curves)
    end = max(2.0, ceil(longest + 0.15))
    for curve in curves:
        figure.add_trace(curve.trace())
    _shade(figure, longest, end, theme)
    low, high = min(float(c.y.min()) for c in curves) - 0.08, max(float(c.y.max()) for c in curves) + 0.12
    gap = (high - low) * 0.075
    places = spread([float(curve.y[-1]) for curve in curves], gap=gap)
    low, high = min(low, min(places) - gap / 2), max(high, max(places) + gap / 2)  # beyond the axis none is drawn
    for curve, place in zip(curves, places, strict=True):
        figure.add_annotation(
            x=1, xref="paper", xanchor="left", xshift=6, y=place, text=curve.label, showarrow=False,
            font={"color": curve.colour},
        )  # fmt: skip
    marks = {text: -log10(1.0 - p) for text, p in MARKS.items() if -log10(1.0 - p) <= end + 1e-9}
    figure.update_xaxes(axis(theme, range=[0, end], tickvals=list(marks.values()), ticktext=list(marks)))
    figure.update_yaxes(latency_axis(theme, 10.0**low, 10.0**high))
    return figure


class _Curve:
    """One curve: ``x`` is -log10(1 - p), ``y`` log10 ms."""

    def __init__(self, counts: npt.NDArray[np.int64], label: str, colour: str, dash: str, width: float) -> None:
        last = log10(counts.sum() / SAMPLES_BEYOND)
        self.x = np.linspace(0.0, last, max(2, round(last * 40)))
        self.y = np.array([log10(quantile_ns(counts, 1.0 - 10.0**-x) / 1e6) for x in self.x])
        self.label = label
        self.colour = colour
        self.dash = dash
        self.width = width

    @classmethod
    def of(cls, aggregate: pa.Table, population: Population, arm: str, theme: Theme) -> _Curve | None:
        """The curve of a population; None where not even the median has samples enough."""
        counts = bin_counts(of_population(aggregate.filter(aggregate["measured"]), population))
        if counts.sum() < 2 * SAMPLES_BEYOND:
            return None
        colour = theme.arm(arm) if arm else theme.of(population)
        label = f"<b>{arm} {population}</b>".replace("<b> ", "<b>")
        return cls(counts, label, colour, _DASH[population], arm_px(arm))

    def trace(self) -> go.Scatter:
        """The curve as plotly draws it."""
        return go.Scatter(
            x=self.x,
            y=self.y,
            mode="lines",
            name=self.label,
            line={"color": self.colour, "width": self.width, "dash": self.dash},
            text=[f"p{(1.0 - 10.0**-x) * 100:.6g} {latency(10.0**y)}" for x, y in zip(self.x, self.y, strict=True)],
            hovertemplate="%{fullData.name} %{text}<extra></extra>",
        )


def _shade(figure: go.Figure, start: float, end: float, theme: Theme) -> None:
    figure.add_vrect(x0=start, x1=end, fillcolor=theme.shade, line_width=0)
    figure.add_annotation(
        x=(start + end) / 2,
        y=0.5,
        yref="paper",
        text=f"fewer than {SAMPLES_BEYOND} samples",
        textangle=-90,
        showarrow=False,
        font={"color": theme.muted, "size": 11},
    )
