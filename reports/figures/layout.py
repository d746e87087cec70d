"""What all figures share: their bare layout, and axes of latency and of time."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import ceil, floor, log10
from textwrap import wrap
from typing import Any

import plotly.graph_objects as go

from reports.figures.theme import FONT, Theme
from reports.readable import latency


def bare_layout(theme: Theme, *, right: int = 16, **more: Any) -> go.Layout:
    """A transparent layout without title or legend; ``right`` px are kept for direct labels."""
    return go.Layout(
        template=go.layout.Template(),
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": FONT, "size": 12, "color": theme.muted},
        margin={"l": 56, "r": right, "t": 14, "b": 34},
        showlegend=False,
        uirevision="keep",
        hoverlabel={"bgcolor": theme.card, "bordercolor": theme.line, "font": {"family": FONT, "color": theme.text}},
        **more,
    )


def arm_px(arm: str) -> float:
    """How wide a run's curve is drawn: the third one, C, thinner than A and B, of which the verdict is."""
    return 1.4 if arm == "C" else 2.5


def axis(theme: Theme, **more: Any) -> dict[str, Any]:
    """An axis with faint grid lines and no zero line."""
    return {
        "gridcolor": theme.line,
        "linecolor": theme.line,
        "zeroline": False,
        "showline": False,
        "ticks": "",
        "tickangle": 0,
        "ticklabelstandoff": 5,
        "automargin": False,
        **more,
    }


def axis_title(text: str) -> dict[str, Any]:
    """The words beside an axis whose ticks do not say their unit."""
    return {"text": text, "standoff": 8, "font": {"size": 12}}


def latency_axis(theme: Theme, low_ms: float, high_ms: float, *, most: int = 9, **more: Any) -> dict[str, Any]:
    """A linear axis of log10 ms from ``low_ms`` to ``high_ms``, whose ticks say ms or s.

    Decades are ticked; where that gives fewer than three ticks, 2 and 5 as well, or 5 alone where both make more than
    ``most``.
    """
    low, high = log10(low_ms), log10(high_ms)
    decades = [10.0**d for d in range(floor(low), ceil(high) + 1)]
    marks = [d for d in decades if low_ms <= d <= high_ms]
    if len(marks) < 3:
        marks = [d * m for d in decades for m in (1, 2, 5) if low_ms <= d * m <= high_ms]
        if len(marks) > most:
            marks = [d * m for d in decades for m in (1, 5) if low_ms <= d * m <= high_ms]
    return axis(
        theme,
        range=[low, high],
        tickmode="array",
        tickvals=[log10(m) for m in marks],
        ticktext=[_mark(m) for m in marks],
        **more,
    )


def _mark(ms: float) -> str:
    value, unit = latency(ms).split(" ")
    return f"{value.rstrip('0').rstrip('.') if '.' in value else value} {unit}"


def spread(values: Sequence[float], gap: float) -> list[float]:
    """``values`` moved apart as little as it takes for neighbours to be ``gap`` apart, their order kept."""
    order = sorted(range(len(values)), key=values.__getitem__)
    groups: list[tuple[float, list[int]]] = []
    for index in order:
        groups.append((values[index], [index]))
        while len(groups) > 1 and _top(groups[-2], gap) > groups[-1][0] - gap * (len(groups[-1][1]) - 1) / 2 - gap:
            (upper, more), (lower, some) = groups.pop(), groups.pop()
            together = some + more
            groups.append(((lower * len(some) + upper * len(more)) / len(together), together))
    placed = [0.0] * len(values)
    for centre, members in groups:
        for place, index in enumerate(members):
            placed[index] = centre + (place - (len(members) - 1) / 2) * gap
    return placed


def _top(group: tuple[float, list[int]], gap: float) -> float:
    centre, members = group
    return centre + gap * (len(members) - 1) / 2


def nothing(theme: Theme, text: str) -> go.Figure:
    """A figure that says why it is empty."""
    figure = go.Figure(layout=bare_layout(theme))
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    lines = "<br>".join(wrap(text, 40))
    figure.add_annotation(text=lines, showarrow=False, x=0.5, y=0.5, xref="paper", yref="paper")
    return figure


def label_room(texts: Sequence[str]) -> int:
    """The px to keep at the right for direct labels: the longest line of ``texts`` without its tags, in 12 px of
    a font that stands in for Inter where a file is read without it."""
    lines = [line for text in texts for line in text.split("<br>")]
    return 14 + ceil(7.6 * max((len(re.sub("<[^>]*>", "", line)) for line in lines), default=0))
