"""Capacity: the bound percentile against achieved throughput, a dot a level, under the SLO line.

A search that has a knee bends upwards there: more users add latency and no more throughput.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log10
from typing import Any, Final

import plotly.graph_objects as go

from reports.capacity.assess import Capacity
from reports.capacity.tail import Bound, LevelPoint, bound_of, points
from reports.figures.layout import axis, axis_title, bare_layout, latency_axis, nothing
from reports.figures.theme import Theme, translucent
from reports.readable import count, latency, number

DASH: Final = {"A": "dash", "B": "solid"}

_APART_X, _APART_Y = 0.11, 0.075  # of the axes: loads beside their dots stay legible on the narrowest card

Arms = Mapping[str, tuple[str, Capacity]]
"""Searches under the same SLO by arm, each with what it is called; one search alone is arm B."""


def capacity_knee(arms: Arms, *, theme: Theme) -> go.Figure:
    """One curve a search; filled dots surely hold the SLO, open ones do not, small ones are single repeats."""
    capacities = [capacity for _, capacity in arms.values()]
    bound = bound_of(capacities[0].slo, capacities) if capacities else Bound("unknown", 0.99, None)
    levels = {arm: _told(points(capacity, bound)) for arm, (_, capacity) in arms.items()}
    latencies = [p.latency_ms for found in levels.values() for level in found for p in (level.whole, *level.repeats)]
    known = [ms for ms in latencies if ms is not None]
    if not known:
        return nothing(theme, f"No level has samples enough for {bound.name}")
    low, high = min(known), max(known)
    if bound.limit_ms is not None:
        low, high = min(low, bound.limit_ms), max(high, bound.limit_ms)
    low, high = low / 1.5, high * 2.0
    right = 1.08 * max(level.whole.throughput for found in levels.values() for level in found)

    figure = go.Figure(layout=bare_layout(theme))
    if bound.limit_ms is not None:
        _add_slo(figure, bound.name, bound.limit_ms, high, theme)
    named: list[tuple[float, float]] = []
    for arm, found in levels.items():
        title, capacity = arms[arm]
        _add_search(figure, arm, found, theme)
        best = next((p for p in found if p.judged.level.load == capacity.most.low), None)
        if best is not None:
            _name(figure, arm, title, best, capacity.unit, right, theme, upper=arm == "A" or len(arms) == 1)
            named.append((best.whole.throughput / right, _height(best, low, high)))
    places = named
    for arm, found in levels.items():
        places = _add_loads(figure, found, places, (low, high, right), theme.arm(arm))
    figure.update_xaxes(axis(theme, range=[0, right], tickformat=",", title=axis_title("successful requests / s")))
    figure.update_yaxes(latency_axis(theme, low, high))
    figure.update_layout(margin={"b": 48})
    return figure


def _told(found: Sequence[LevelPoint]) -> list[LevelPoint]:
    return [level for level in found if level.whole.latency_ms is not None]


def _log(level: LevelPoint) -> float:
    assert level.whole.latency_ms is not None
    return log10(level.whole.latency_ms)


def _height(level: LevelPoint, low: float, high: float) -> float:
    return (_log(level) - log10(low)) / log10(high / low)


def _add_slo(figure: go.Figure, name: str, limit_ms: float, high_ms: float, theme: Theme) -> None:
    place, top = log10(limit_ms), log10(high_ms)
    figure.add_hrect(y0=place, y1=top, fillcolor=translucent(theme.slo, 0.09), line_width=0)
    figure.add_hline(y=place, line={"color": theme.slo, "width": 1.5, "dash": "dot"})
    figure.add_annotation(
        x=0, xref="paper", xanchor="left", xshift=4, y=top, yanchor="top", showarrow=False,
        text=f"above the SLO: {name} {latency(limit_ms)}", font={"color": theme.slo},
    )  # fmt: skip


def _add_search(figure: go.Figure, arm: str, found: Sequence[LevelPoint], theme: Theme) -> None:
    colour = theme.arm(arm)
    single = [(p.throughput, log10(p.latency_ms)) for level in found for p in level.repeats if p.latency_ms]
    figure.add_trace(
        go.Scatter(
            x=[x for x, _ in single], y=[y for _, y in single], mode="markers", hoverinfo="skip",
            marker={"size": 4, "color": translucent(colour, 0.55)}, name=f"{arm} repeats",
        )
    )  # fmt: skip
    measured = [level for level in found if level.judged.level.valid]
    figure.add_trace(
        go.Scatter(
            x=[level.whole.throughput for level in measured],
            y=[_log(level) for level in measured],
            mode="lines",
            line={"color": colour, "width": 2.5, "dash": DASH[arm]},
            hoverinfo="skip",
            name=f"{arm} curve",
        )
    )
    figure.add_trace(
        go.Scatter(
            x=[level.whole.throughput for level in found],
            y=[_log(level) for level in found],
            mode="markers",
            marker={
                "size": 9,
                "symbol": [_symbol(level) for level in found],
                "color": [colour if level.judged.verdict == "holds" else theme.card for level in found],
                "line": {"color": colour, "width": 2},
            },
            text=[_hover(level) for level in found],
            hovertemplate="%{text}<extra></extra>",
            name=f"{arm} levels",
            cliponaxis=False,
        )
    )


def _symbol(level: LevelPoint) -> str:
    return "circle" if level.judged.level.valid else "x-thin"


def _hover(level: LevelPoint) -> str:
    repeats = len(level.judged.level.repeats)
    return (
        f"{count(level.judged.level.load)}: {level.judged.verdict.replace('-', ' ')}<br>"
        f"{number(level.whole.throughput, 'req/s')}, {latency(level.whole.latency_ms)}<br>"
        f"{len(level.judged.level.valid)} of {repeats} repeats valid"
    )


def _name(
    figure: go.Figure, arm: str, title: str, best: LevelPoint, unit: str, right: float, theme: Theme, *, upper: bool
) -> None:
    """What the search is called, beside the most that surely holds.

    A curve bends upwards to the right, so that it leaves the upper left free, and mostly the lower right.
    """
    leftwards = upper or best.whole.throughput > right / 2
    text = f"<b>{title}</b><br>{count(best.judged.level.load)} {unit} · {number(best.whole.throughput)}/s"
    place: dict[str, Any] = {"ax": -30 if leftwards else 30, "ay": 40, "xanchor": "right" if leftwards else "left"}
    if upper and best.whole.throughput < right / 2:  # no room beside it on a narrow card
        place = {"ax": right * 0.02, "axref": "x", "ay": -40, "xanchor": "left"}
    elif upper:
        place["ay"] = -40
    figure.add_annotation(
        x=best.whole.throughput,
        y=_log(best),
        text=text,
        align=place["xanchor"],
        arrowcolor=theme.muted,
        arrowhead=0,
        bgcolor=translucent(theme.card, 0.75),
        font={"color": theme.arm(arm)},
        **place,
    )


def _add_loads(
    figure: go.Figure,
    found: Sequence[LevelPoint],
    taken: Sequence[tuple[float, float]],
    axes: tuple[float, float, float],
    colour: str,
) -> list[tuple[float, float]]:
    """The load beside each dot that has room for it; the places that are taken then, as shares of the axes."""
    low, high, right = axes
    places = list(taken)
    for level in found:
        x, y = level.whole.throughput / right, _height(level, low, high)
        if any(abs(x - other) < _APART_X and abs(y - height) < 2 * _APART_Y for other, height in places):
            continue
        places.append((x, y))
        figure.add_annotation(
            x=level.whole.throughput, y=_log(level), yshift=13, text=count(level.judged.level.load), showarrow=False,
            font={"color": colour, "size": 11},
        )  # fmt: skip
    return places
