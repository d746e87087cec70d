"""The figures of the live page without their data: axes, colours and named traces that a browser fills as frames come.

The browser finds a trace by its ``name`` and gives it ``x``, ``y`` or ``z``; everything that is looks is said here, so
that a live run and a saved one look alike.
"""

from __future__ import annotations

from typing import Any, Final

import plotly.graph_objects as go

from reports.figures.activity import STATES, state_colours
from reports.figures.layout import axis, axis_title, bare_layout, latency_axis
from reports.figures.theme import Theme

_WORDS_PX: Final = 26
"""Room above a figure that the browser writes words over."""


def live_figures(theme: Theme) -> dict[str, go.Figure]:
    """All of them, by the id of the place they are drawn in."""
    return {
        "live-latency": _latency(theme),
        "live-retries": _retries(theme),
        "live-shares": _shares(theme),
        "live-in-flight": _in_flight(theme),
        "live-load": _load(theme),
        "live-cpu": _cpu(theme),
    }


def _latency(theme: Theme) -> go.Figure:
    """Heatmap (``requests``, coloured by the square root) under hit p50, miss p50 and miss p99, in log10 ms."""
    figure = _empty(theme, right=118)
    last = len(theme.heat) - 1
    figure.add_trace(
        go.Heatmap(
            name="requests",
            colorscale=[((i / last) ** 2, colour) for i, colour in enumerate(theme.heat)],
            zmin=0,
            showscale=False,
            hoverongaps=False,
            hovertemplate="%{z:,} requests<extra></extra>",
        )
    )
    for name, colour in (("miss p50", theme.miss), ("hit p50", theme.hit)):
        halo = {"color": theme.card, "width": 4}
        figure.add_trace(_line(f"{name} halo", halo, hoverinfo="skip", opacity=0.7))
        figure.add_trace(_line(name, {"color": colour, "width": 2}, hovertemplate="%{text}<extra></extra>"))
    tail = {"color": theme.tail, "width": 2, "dash": "dot"}
    figure.add_trace(_line("miss p99", tail, hovertemplate="%{text}<extra></extra>"))
    figure.update_yaxes(latency_axis(theme, 1.0, 10_000.0))
    figure.update_layout(margin={"t": _WORDS_PX})
    return figure


def _retries(theme: Theme) -> go.Figure:
    """Stacked share of the requests that reached Gemini and needed ``2``, ``3``, ``4`` or ``5+`` attempts."""
    figure = _empty(theme, right=16, barmode="stack", bargap=0.12)
    for name, colour in zip(("2", "3", "4", "5+"), theme.attempts, strict=True):
        figure.add_trace(
            go.Bar(
                name=name,
                marker={"color": colour, "line": {"width": 0}},
                hovertemplate=f"{name} attempts: %{{y:.2%}}<extra></extra>",
            )
        )
    figure.update_yaxes(tickformat=".0%", rangemode="tozero")
    figure.update_layout(margin={"t": _WORDS_PX})
    return figure


def _shares(theme: Theme) -> go.Figure:
    """Share of successes that were ``hit`` in the cache, and of all requests that ``failed``."""
    figure = _empty(theme, right=96)
    figure.add_trace(_line("hit", {"color": theme.hit, "width": 2}, hovertemplate="hits %{y:.1%}<extra></extra>"))
    failed = {"color": theme.bad, "width": 2, "dash": "dash"}
    figure.add_trace(_line("failed", failed, hovertemplate="failed %{y:.2%}<extra></extra>"))
    figure.update_yaxes(tickformat=".0%", range=[-0.02, 1.02], tickvals=[0, 0.25, 0.5, 0.75, 1])
    return figure


def _in_flight(theme: Theme) -> go.Figure:
    """Requests on the server by state, stacked."""
    figure = _empty(theme, right=134)
    for state in STATES:
        line = {"color": state_colours(theme)[state], "width": 1}
        figure.add_trace(
            _line(state, line, stackgroup="states", hovertemplate=f"{state} %{{y:,.0f}} requests<extra></extra>")
        )
    figure.update_yaxes(title=axis_title("requests"), tickformat=",d", rangemode="tozero")
    return figure


def _load(theme: Theme) -> go.Figure:
    """``users`` held, and requests a second that ended (``req/s``), both on one axis of plain numbers."""
    figure = _empty(theme, right=112)
    users = {"color": theme.arm_a, "width": 2, "dash": "dot"}
    figure.add_trace(_line("users", users, hovertemplate="%{y:,.0f} users<extra></extra>"))
    figure.add_trace(_line("req/s", {"color": theme.arm_b, "width": 2}, hovertemplate="%{y:,.0f} req/s<extra></extra>"))
    figure.update_yaxes(title=axis_title("users, req/s"), tickformat=",d", rangemode="tozero")
    return figure


def _cpu(theme: Theme) -> go.Figure:
    """Cores busy, ``server`` and ``generator``; a dashed line at one core."""
    figure = _empty(theme, right=112)
    figure.add_trace(
        _line("server", {"color": theme.arm_b, "width": 2}, hovertemplate="server %{y:.2f} cores<extra></extra>")
    )
    generator = {"color": theme.arm_a, "width": 2, "dash": "dot"}
    figure.add_trace(_line("generator", generator, hovertemplate="generator %{y:.2f} cores<extra></extra>"))
    figure.add_hline(y=1.0, line={"color": theme.slo, "width": 1, "dash": "dash"})
    figure.update_yaxes(title=axis_title("cores"), rangemode="tozero")
    return figure


def _line(name: str, line: dict[str, Any], **more: Any) -> go.Scatter:
    return go.Scatter(name=name, mode="lines", line=line, **more)


def _empty(theme: Theme, *, right: int, **more: Any) -> go.Figure:
    figure = go.Figure(layout=bare_layout(theme, right=right, **more))
    figure.update_xaxes(axis(theme, showgrid=False, tickmode="array"))
    figure.update_yaxes(axis(theme))
    return figure
