"""Retries over time: the share of requests that needed two, three, four, five or more attempts at Gemini."""

from __future__ import annotations

from typing import Final

import numpy as np
import plotly.graph_objects as go
import pyarrow as pa

from reports.figures.layout import axis, bare_layout, nothing
from reports.figures.theme import Theme
from reports.figures.time_axis import TimeAxis
from reports.readable import share

COLUMNS: Final = 60
MOST: Final = 5
"""Requests with so many attempts or more are drawn as one."""


def retries_over_time(aggregate: pa.Table, *, theme: Theme) -> go.Figure:
    """Stacked share of the requests that reached Gemini, failed ones too, by attempts spent in each stretch of time."""
    time = TimeAxis.of([aggregate], columns=COLUMNS)
    attempts, count = aggregate["attempts"].to_numpy(), aggregate["count"].to_numpy()
    column = time.column(aggregate["second"].to_numpy())
    reached = np.bincount(column[attempts >= 1], weights=count[attempts >= 1], minlength=time.columns)
    if not reached.any():
        return nothing(theme, "No request has reached Gemini yet")
    figure = go.Figure(layout=bare_layout(theme, barmode="stack", bargap=0.15))
    stacked = np.zeros(time.columns)
    for number, colour in zip(range(2, MOST + 1), theme.attempts, strict=True):
        mine = attempts >= MOST if number == MOST else attempts == number
        part = np.bincount(column[mine], weights=count[mine], minlength=time.columns) / np.maximum(reached, 1)
        if not part.any():
            continue
        stacked += part
        name = f"{number} attempts" if number < MOST else f"{MOST} or more attempts"
        figure.add_trace(
            go.Bar(
                x=time.centres,
                y=part,
                width=time.step * 0.85,
                marker={"color": colour, "line": {"width": 0}},
                name=name,
                customdata=time.labels(),
                hovertemplate=f"{name}: %{{y:.2%}} of requests<br>at %{{customdata}}<extra></extra>",
            )
        )
    if not stacked.any():
        return nothing(theme, f"No retries in {int(reached.sum()):,} requests")
    time.mark(figure, aggregate, theme)
    top = max(float(stacked.max()) * 1.25, 0.01)
    _label(figure, time, stacked, reached, aggregate, theme)
    figure.update_xaxes(time.layout(theme))
    figure.update_yaxes(axis(theme, range=[0, top], tickformat=".0%" if top > 0.05 else ".1%", nticks=7))
    return figure


def _label(
    figure: go.Figure, time: TimeAxis, stacked: np.ndarray, reached: np.ndarray, aggregate: pa.Table, theme: Theme
) -> None:
    """Name the colours beside their squares, and at the peak say how much load retries added there."""
    peak = int(np.argmax(stacked))
    attempts = np.maximum(aggregate["attempts"].to_numpy(), 0)
    spent = np.bincount(
        time.column(aggregate["second"].to_numpy()), weights=attempts * aggregate["count"].to_numpy(),
        minlength=time.columns,
    )  # fmt: skip
    right = time.centres[peak] > time.span / 2
    figure.add_annotation(
        x=time.centres[peak],
        y=stacked[peak],
        text=f"{share(float(stacked[peak]))} · load ×{spent[peak] / reached[peak]:.2f}",
        xanchor="right" if right else "left",
        ax=-24 if right else 24,
        ay=-10,
        arrowcolor=theme.muted,
        arrowhead=0,
        font={"color": theme.text},
    )
    named = [(trace.name.split()[0], trace.marker.color) for trace in figure.data]
    text = "attempts " + "  ".join(
        f"<span style='color:{colour}'>■</span> {number}{'+' if number == str(MOST) else ''}"
        for number, colour in named
    )
    figure.add_annotation(
        text=text, showarrow=False, x=0, y=1.0, xref="paper", yref="paper", xanchor="left", yanchor="bottom", yshift=-4
    )
