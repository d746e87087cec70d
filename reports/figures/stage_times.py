"""Where a request's time went: mean milliseconds in each server stage, hits above misses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from reports.figures.layout import axis, bare_layout, nothing
from reports.figures.theme import Theme
from reports.readable import count, latency, share
from reports.records.schema import STAGES, Population
from reports.summary.summary import Stage

_SHOWN: Final = tuple(stage for stage in STAGES if stage != "total")


def stage_times(stages: Mapping[Population, Mapping[str, Stage]], *, theme: Theme) -> go.Figure:
    """Bars of the mean time by stage (a summary's ``stages``), each panel scaled to its population's whole.

    Hits take microseconds where misses take seconds, so a shared scale would leave the hits' panel blank.
    """
    told: dict[Population, Mapping[str, Stage]] = {
        p: by_stage for p, by_stage in stages.items() if by_stage.get("total", Stage(count=0)).count
    }
    if not told:
        return nothing(theme, "The server told no stage times (Server-Timing)")
    figure = make_subplots(rows=len(told), cols=1, vertical_spacing=0.16)
    for row, (population, by_stage) in enumerate(told.items(), start=1):
        means = [by_stage[stage].mean_ms or 0.0 if stage in by_stage else 0.0 for stage in _SHOWN]
        whole = sum(means) or 1.0
        figure.add_trace(
            go.Bar(
                x=[mean / whole for mean in means],
                y=_SHOWN,
                orientation="h",
                name=population,
                marker={"color": theme.of(population), "line": {"width": 0}},
                text=[f"{latency(mean)} · {share(mean / whole)}" if mean else "0" for mean in means],
                textposition="outside",
                textfont={"color": theme.text, "size": 12},
                constraintext="none",
                cliponaxis=False,
                hovertemplate=f"{population} · %{{y}}<br>mean %{{text}}<extra></extra>",
            ),
            row=row,
            col=1,
        )
        figure.add_annotation(
            text=f"<b>{population}</b> mean {latency(whole)} · n = {count(by_stage['total'].count)}",
            x=0,
            xref="x domain",
            xanchor="left",
            y=1,
            yref="y domain" if row == 1 else f"y{row} domain",
            yanchor="bottom",
            showarrow=False,
            font={"color": theme.of(population)},
        )
    figure.update_layout(bare_layout(theme), bargap=0.4)
    figure.update_layout(margin={"l": 76, "r": 8, "t": 24, "b": 6})
    figure.update_xaxes(axis(theme, range=[0, 1.9], showticklabels=False, showgrid=False, fixedrange=True))
    figure.update_yaxes(axis(theme, autorange="reversed", showgrid=False, fixedrange=True))
    return figure
