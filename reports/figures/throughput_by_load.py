"""Throughput by load: a dot a repeat, the fitted law with its interval, the knee, and where the generator gave out."""

from __future__ import annotations

from typing import Final

import numpy as np
import plotly.graph_objects as go

from reports.capacity.assess import Capacity
from reports.figures.capacity_knee import DASH, Arms
from reports.figures.layout import axis, axis_title, bare_layout, nothing
from reports.figures.theme import Theme, translucent
from reports.readable import count, number

_PLACES: Final = 80


def throughput_by_load(arms: Arms, *, theme: Theme) -> go.Figure:
    """Goodput of every valid repeat against the load, under the Universal Scalability Law where it fits."""
    most = max((judged.level.load for _, c in arms.values() for judged in c.levels), default=0)
    measured = [x for _, c in arms.values() for judged in c.levels for x in judged.level.goodput]
    if not measured:
        return nothing(theme, "No valid measurement")
    right, top = most * 1.06, max(measured) * 1.18
    figure = go.Figure(layout=bare_layout(theme))
    for arm, (title, capacity) in arms.items():
        _add_law(figure, arm, capacity, right, theme)
        _add_repeats(figure, arm, capacity, theme)
        if len(arms) > 1:
            _add_name(figure, arm, title, capacity, (right, top), theme)
    _add_knees(figure, arms, (right, top), theme)
    _add_generator_limit(figure, [c for _, c in arms.values()], right, theme)
    units = next(iter(arms.values()))[1].unit
    figure.update_xaxes(axis(theme, range=[0, right], title=axis_title(units), tickformat=","))
    figure.update_yaxes(axis(theme, range=[0, top], tickformat=",", title=axis_title("req/s")))
    figure.update_layout(margin={"b": 48, "l": 62})
    return figure


def _add_law(figure: go.Figure, arm: str, capacity: Capacity, right: float, theme: Theme) -> None:
    fit, colour = capacity.usl, theme.arm(arm)
    if fit is None or fit.poor:
        return
    loads = np.linspace(1.0, right, _PLACES)
    low, high = fit.band(loads)
    figure.add_trace(
        go.Scatter(
            x=np.concatenate([loads, loads[::-1]]),
            y=np.concatenate([high, low[::-1]]),
            fill="toself",
            fillcolor=translucent(colour, 0.22),
            line={"width": 0},
            mode="lines",
            hoverinfo="skip",
            name=f"{arm} interval",
        )
    )
    figure.add_trace(
        go.Scatter(
            x=loads,
            y=fit.law.throughput(loads),
            mode="lines",
            line={"color": colour, "width": 2, "dash": DASH[arm]},
            hovertemplate="%{x:,.0f}: %{y:,.3s} req/s by the fitted law<extra></extra>",
            name=f"{arm} law",
        )
    )


def _add_repeats(figure: go.Figure, arm: str, capacity: Capacity, theme: Theme) -> None:
    found = [(judged, x) for judged in capacity.levels for x in judged.level.goodput]
    colour = theme.arm(arm)
    figure.add_trace(
        go.Scatter(
            x=[judged.level.load for judged, _ in found],
            y=[x for _, x in found],
            mode="markers",
            marker={
                "size": 8,
                "color": [colour if judged.verdict == "holds" else theme.card for judged, _ in found],
                "line": {"color": colour, "width": 1.5},
            },
            hovertemplate="%{x:,}: %{y:,.3s} req/s<extra></extra>",
            name=f"{arm} repeats",
        )
    )


def _add_name(
    figure: go.Figure, arm: str, title: str, capacity: Capacity, ends: tuple[float, float], theme: Theme
) -> None:
    last = next((judged for judged in reversed(capacity.levels) if judged.goodput), None)
    if last is None:
        return
    right, top = ends
    leftwards, high = last.level.load > right / 2, (last.goodput or 0.0) > top * 0.75
    figure.add_annotation(
        x=last.level.load,
        y=last.goodput,
        yshift=-18 if high or arm == "A" else 18,
        text=f"<b>{title}</b>",
        xanchor="right" if leftwards else "left",
        showarrow=False,
        font={"color": theme.arm(arm)},
    )


def _add_knees(figure: go.Figure, arms: Arms, ends: tuple[float, float], theme: Theme) -> None:
    """Both bounds that cross at a knee, the knee's interval, and its load in words above the plot."""
    right, top = ends
    said = []
    for arm, (_, capacity) in arms.items():
        knee, colour = capacity.knee, theme.arm(arm)
        if knee is None:
            continue
        low, high = knee.interval
        figure.add_vrect(x0=low, x1=min(high, right), fillcolor=translucent(colour, 0.13), line_width=0)
        figure.add_trace(
            go.Scatter(
                x=[0, min(knee.load, top / knee.per_load), right],
                y=[0, min(knee.ceiling, top), knee.ceiling],
                mode="lines",
                line={"color": theme.muted, "width": 1, "dash": "dot"},
                hoverinfo="skip",
                name=f"{arm} bounds",
            )
        )
        name = f"knee {arm}" if len(arms) > 1 else "knee"
        said.append(
            f"<span style='color:{colour}'><b>{name} {count(round(knee.load))} {capacity.unit}</b> "
            f"({count(round(low))} to {count(round(high))})</span>"
        )
    if said:
        figure.add_annotation(
            x=0, xref="paper", xanchor="left", y=1, yref="paper", yanchor="bottom", align="left",
            text="<br>".join(said), showarrow=False,
        )  # fmt: skip
        figure.update_layout(margin={"t": 14 + 17 * len(said)})


def _add_generator_limit(figure: go.Figure, capacities: list[Capacity], right: float, theme: Theme) -> None:
    limits = [c.generator_limit for c in capacities if c.generator_limit is not None]
    if not limits:
        return
    limit = min(limits)
    figure.add_vrect(x0=limit, x1=right, fillcolor=theme.shade, line_width=0)
    figure.add_vline(x=limit, line={"color": theme.muted, "width": 1.5, "dash": "dash"})
    figure.add_annotation(
        x=limit, xanchor="right", xshift=-5, y=0, yref="paper", yanchor="bottom", align="right", showarrow=False,
        text=f"generator limit<br>{number(limit, capacities[0].unit)}",
        font={"color": theme.muted, "size": 11},
    )  # fmt: skip
