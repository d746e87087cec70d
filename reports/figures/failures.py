"""What failed: over time, by attempts spent, and how long callers waited for it. One colour and dash a reason."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
import pyarrow as pa

from reports.figures.layout import axis, axis_title, bare_layout, latency_axis, nothing
from reports.figures.theme import Theme
from reports.figures.time_axis import TimeAxis
from reports.readable import count, latency, share
from reports.records.aggregate import bin_counts
from reports.records.bins import BINS, BINS_PER_DECADE
from reports.summary.failures import failures

COLUMNS: Final = 60
NAMED: Final = 4
"""So many reasons get a colour of their own; the rarer ones are drawn together."""
OTHERS: Final = "other reasons"

_COLOURS: Final = {
    "dark": ("#ff8a85", "#c9a2ff", "#6fd8c8", "#f0d264"),
    "light": ("#b3152b", "#6a35b8", "#0b736b", "#80650a"),
}
_DASHES: Final = ("solid", "dash", "dot", "dashdot", "longdash")
_SHAPES: Final = ("", "/", ".", "x", "-")


@dataclass(frozen=True)
class ReasonStyle:
    """How a reason is drawn: a CSS colour, a line's dash and a bar's pattern."""

    colour: str
    dash: str
    shape: str


def reason_styles(aggregate: pa.Table, theme: Theme) -> dict[str, ReasonStyle]:
    """The reasons of a run's failures, most frequent first, with their styles; all rare ones share the last."""
    failed = failures(aggregate)
    number: Counter[str] = Counter()
    for reason, n in zip(failed["reason"].to_pylist(), failed["count"].to_pylist(), strict=True):
        number[reason] += n
    colours = (*_COLOURS[theme.name], theme.muted)
    return {
        reason: ReasonStyle(colours[min(place, NAMED)], _DASHES[min(place, NAMED)], _SHAPES[min(place, NAMED)])
        for place, (reason, _) in enumerate(number.most_common())
    }


def failures_over_time(aggregate: pa.Table, *, theme: Theme, reason: str | None = None) -> go.Figure:
    """Stacked share of all requests that failed in each stretch of time, by reason; ``reason`` leaves only that one."""
    time = TimeAxis.of([aggregate], columns=COLUMNS)
    groups = _grouped(aggregate, theme, reason)
    if not groups:
        return nothing(theme, "No failures")
    requests = _by_column(time, aggregate)
    figure = go.Figure(layout=bare_layout(theme, barmode="stack", bargap=0.15))
    stacked = np.zeros(time.columns)
    for group in groups:
        part = _by_column(time, group.rows) / np.maximum(requests, 1)
        stacked += part
        figure.add_trace(
            go.Bar(
                x=time.centres,
                y=part,
                width=time.step * 0.85,
                marker=group.marker(theme),
                name=group.name,
                customdata=time.labels(),
                hovertemplate=f"{group.name}: %{{y:.3%}} of requests<br>at %{{customdata}}<extra></extra>",
            )
        )
    time.mark(figure, aggregate, theme)
    peak = int(np.argmax(stacked))
    right = time.centres[peak] > time.span / 2
    figure.add_annotation(
        x=time.centres[peak], y=stacked[peak], text=f"{share(float(stacked[peak]))} at {time.labels()[peak]}",
        xanchor="right" if right else "left", ax=-24 if right else 24, ay=-10, arrowcolor=theme.muted, arrowhead=0,
        font={"color": theme.text},
    )  # fmt: skip
    top = float(stacked.max()) * 1.25
    figure.update_xaxes(time.layout(theme))
    figure.update_yaxes(axis(theme, range=[0, top], tickformat=".0%" if top > 0.05 else ".2~%", nticks=6))
    return figure


def failures_by_attempts(aggregate: pa.Table, *, theme: Theme, reason: str | None = None) -> go.Figure:
    """Measured failures by the Gemini attempts that they had spent, stacked by reason."""
    measured = aggregate.filter(aggregate["measured"])
    groups = _grouped(measured, theme, reason)
    if not groups:
        return nothing(theme, "No failures in the measured window")
    last = max(int(group.rows["attempts"].to_numpy().max()) for group in groups)
    attempts = list(range(-1, max(last, 1) + 1))
    figure = go.Figure(layout=bare_layout(theme, barmode="stack", bargap=0.3))
    total = np.zeros(len(attempts))
    for group in groups:
        spent = group.rows["attempts"].to_numpy().astype(np.int64) + 1
        part = np.bincount(spent, weights=group.rows["count"].to_numpy(), minlength=len(attempts))
        total += part
        figure.add_trace(
            go.Bar(
                x=attempts,
                y=part,
                marker=group.marker(theme),
                name=group.name,
                hovertemplate=f"{group.name}: %{{y:,.0f}} failures<br>after %{{x}} attempts<extra></extra>",
            )
        )
    for place, number in zip(attempts, total.tolist(), strict=True):
        if number:
            figure.add_annotation(
                x=place, y=number, text=count(int(number)), yanchor="bottom", showarrow=False,
                font={"color": theme.text},
            )  # fmt: skip
    kept = [place for place, number in zip(attempts, total.tolist(), strict=True) if number or place >= 0]
    texts = ["unknown" if place < 0 else "none" if place == 0 else str(place) for place in kept]
    figure.update_xaxes(
        axis(theme, range=[kept[0] - 0.6, kept[-1] + 0.6], tickvals=kept, ticktext=texts, showgrid=False)
    )
    figure.update_xaxes(title=axis_title("attempts spent"))
    figure.update_yaxes(
        axis(theme, range=[0, float(total.max()) * 1.18], tickformat=",d", nticks=6, title=axis_title("failures"))
    )
    figure.update_layout(margin={"b": 48, "l": 64})
    return figure


def waits_for_failure(aggregate: pa.Table, *, theme: Theme, reason: str | None = None) -> go.Figure:
    """Share of the measured failures of each reason that had failed within a time from the intended start."""
    measured = aggregate.filter(aggregate["measured"])
    groups = _grouped(measured, theme, reason)
    if not groups:
        return nothing(theme, "No failures in the measured window")
    binned = [bin_counts(group.rows) for group in groups]
    used = np.flatnonzero(np.sum(binned, axis=0))
    low, high = max(0, int(used[0]) - 4), min(BINS, int(used[-1]) + 5)
    places = np.arange(low, high + 1) / BINS_PER_DECADE - 3.0
    texts = [latency(10.0**place) for place in places]
    figure = go.Figure(layout=bare_layout(theme))
    labels = []
    for group, counts in zip(groups, binned, strict=True):
        within = np.concatenate([[0], np.cumsum(counts)])[low : high + 1] / counts.sum()
        figure.add_trace(
            go.Scatter(
                x=places,
                y=within,
                mode="lines",
                line={"color": group.style.colour, "width": 2.5, "dash": group.style.dash},
                name=group.name,
                text=texts,
                hovertemplate=f"%{{y:.1%}} of {counts.sum():,} {group.name} within %{{text}}<extra></extra>",
            )
        )
        labels.append(f"<b>{group.name}</b> n = {count(int(counts.sum()))}")
    figure.update_layout(margin={"t": 20 + 16 * len(labels)})
    for line, (label, group) in enumerate(zip(labels, groups, strict=True)):
        figure.add_annotation(
            x=0, xref="paper", xanchor="left", y=1, yref="paper", yanchor="bottom",
            yshift=4 + 16 * (len(labels) - 1 - line), text=label, showarrow=False, font={"color": group.style.colour},
        )  # fmt: skip
    figure.update_xaxes(latency_axis(theme, 10.0 ** places[0], 10.0 ** places[-1], showgrid=False))
    figure.update_yaxes(axis(theme, range=[-0.02, 1.04], tickvals=[0, 0.25, 0.5, 0.75, 1], tickformat=".0%"))
    return figure


@dataclass(frozen=True)
class _Group:
    """The failures that are drawn together."""

    name: str
    style: ReasonStyle
    rows: pa.Table

    def marker(self, theme: Theme) -> dict[str, Any]:
        pattern: dict[str, Any] = {"shape": self.style.shape, "fgcolor": theme.card, "size": 5, "solidity": 0.25}
        pattern["fillmode"] = "overlay"
        return {"color": self.style.colour, "line": {"width": 0}, "pattern": pattern}


def _grouped(aggregate: pa.Table, theme: Theme, only: str | None) -> list[_Group]:
    """The failures by reason, most frequent first, rare reasons together; those without any left out."""
    failed = failures(aggregate)
    of = failed["reason"].to_numpy(zero_copy_only=False)
    styles = reason_styles(aggregate, theme)
    named = list(styles)[:NAMED] if len(styles) > NAMED + 1 else list(styles)
    groups = [(name, styles.get(name), of == name) for name in (named if only is None else [only])]
    if only is None and len(named) < len(styles):
        groups.append((OTHERS, styles[list(styles)[-1]], ~np.isin(of, named)))
    return [
        _Group(name, style, failed.filter(pa.array(mask)))
        for name, style, mask in groups
        if style is not None and mask.any()
    ]


def _by_column(time: TimeAxis, rows: pa.Table) -> npt.NDArray[np.float64]:
    column = time.column(rows["second"].to_numpy())
    return np.bincount(column, weights=rows["count"].to_numpy(), minlength=time.columns).astype(np.float64)
