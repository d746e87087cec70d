"""B relative to A: the change of each percentile with its interval, hits and misses apart."""

from __future__ import annotations

from math import log10
from typing import Final

import plotly.graph_objects as go

from reports.compare.comparison import Comparison, Difference
from reports.figures.layout import axis, bare_layout, nothing
from reports.figures.theme import Theme, translucent
from reports.readable import change
from reports.records.schema import POPULATIONS, Population

_DASH: Final[dict[Population, str]] = {"hit": "solid", "miss": "dash"}
_SYMBOL: Final[dict[Population, str]] = {"hit": "circle", "miss": "diamond"}
_MARKS: Final = {"p10": 0.1, "p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999}


def relative_change(comparison: Comparison, *, theme: Theme) -> go.Figure:
    """Change of latency by percentile; above zero B is slower. Says why where there is no verdict."""
    if comparison.refusal is not None:
        return nothing(theme, f"No verdict: {comparison.refusal}")
    if not comparison.curve:
        return nothing(theme, "Too few samples for intervals")
    figure = go.Figure(layout=bare_layout(theme))
    figure.add_hline(y=1.0, line={"color": theme.muted, "width": 1.5})
    curves = [(p, curve) for p in POPULATIONS if (curve := [d for d in comparison.curve if d.population == p])]
    curves.sort(key=lambda one: _labelled(one[1]).ratio)
    for place, (population, curve) in enumerate(curves):
        _add_population(figure, population, curve, theme, above=place == len(curves) - 1)
    low = min(0.97, *(d.low for d in comparison.curve))
    high = max(1.03, *(d.high for d in comparison.curve))
    room = (high - low) * 0.12
    for y, text, colour in ((1.0, "▲ B slower", theme.bad), (0.0, "▼ B faster", theme.good)):
        figure.add_annotation(
            text=text, showarrow=False, x=0, xref="paper", xanchor="left", xshift=4, y=y, yref="paper",
            yanchor="top" if y else "bottom", font={"color": colour},
        )  # fmt: skip
    marks = {text: _place(q) for text, q in _MARKS.items() if q <= max(d.q for d in comparison.curve) + 1e-9}
    figure.update_xaxes(axis(theme, tickvals=list(marks.values()), ticktext=list(marks), showgrid=False))
    ticks = _ticks(low - room, high + room)
    texts = [f"{(t - 1.0) * 100:+,.0f}%" if abs(t - 1.0) > 1e-9 else "0%" for t in ticks]
    figure.update_yaxes(axis(theme, range=[low - room, high + room], tickvals=ticks, ticktext=texts))
    return figure


def _place(q: float) -> float:
    return -log10(1.0 - q)


def _ticks(low: float, high: float) -> list[float]:
    step = next(
        s for s in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 1e2, 1e3, 1e6) if (high - low) / s <= 7
    )
    first = int((low - 1.0) // step) + 1
    return [1.0 + k * step for k in range(first, first + 9) if low <= 1.0 + k * step <= high]


def _labelled(curve: list[Difference]) -> Difference:
    return min(curve, key=lambda d: abs(d.q - 0.9))


def _add_population(
    figure: go.Figure, population: Population, curve: list[Difference], theme: Theme, *, above: bool
) -> None:
    """One population's curve; its label stands away from the other's, which is on the far side."""
    colour = theme.of(population)
    places = [_place(d.q) for d in curve]
    figure.add_trace(
        go.Scatter(
            x=places + places[::-1],
            y=[d.high for d in curve] + [d.low for d in curve][::-1],
            fill="toself",
            fillcolor=translucent(colour, 0.25),
            line={"width": 0},
            mode="lines",
            hoverinfo="skip",
            name=f"{population} interval",
        )
    )
    figure.add_trace(
        go.Scatter(
            x=places,
            y=[d.ratio for d in curve],
            mode="lines",
            line={"color": colour, "width": 2.5, "dash": _DASH[population]},
            text=[f"{d.percentile} {change(d.ratio)} [{change(d.low)}, {change(d.high)}]" for d in curve],
            hovertemplate=f"{population} %{{text}}<extra></extra>",
            name=population,
        )
    )
    labelled = _labelled(curve)
    figure.add_trace(
        go.Scatter(
            x=[_place(labelled.q)],
            y=[labelled.ratio],
            mode="markers+text",
            marker={
                "size": 9,
                "symbol": _SYMBOL[population],
                "color": colour,
                "line": {"color": theme.card, "width": 2},
            },
            text=[f"<b>{population} {labelled.percentile}</b> {change(labelled.ratio)}"],
            textposition="top right" if above else "bottom right",
            textfont={"color": colour},
            hoverinfo="skip",
            name=f"{population} {labelled.percentile}",
            cliponaxis=False,
        )
    )
