"""What was going on: requests in flight by state, and the CPU of server and generator, from a run's ticks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from reports.figures.layout import axis, axis_title, bare_layout, label_room, nothing, spread
from reports.figures.theme import Theme
from reports.figures.time_axis import TimeAxis
from reports.readable import count, number

STATES: Final = ("PROCESSING", "RETRY", "QUEUED", "VALIDATING")
"""The live states of the request state machine, from the bottom of the stack."""

Ticks = Sequence[Mapping[str, Any]]


def state_colours(theme: Theme) -> dict[str, str]:
    """The colour of each live state."""
    return {"PROCESSING": theme.miss, "RETRY": theme.attempts[3], "QUEUED": theme.arm_a, "VALIDATING": theme.hit}


def in_flight_over_time(ticks: Ticks, time: TimeAxis, *, theme: Theme) -> go.Figure:
    """Requests in flight on the server by state, stacked, one value a tick, on the other figures' ``time`` axis."""
    places, kept = _placed(ticks, time)
    by_state = {
        state: np.array([float((tick.get("server") or {}).get("in_flight", {}).get(state, 0)) for tick in kept])
        for state in STATES
    }
    if not any(values.any() for values in by_state.values()):
        return nothing(theme, "The server told no states (a target that is not ours, or too short a run)")
    figure = go.Figure(layout=bare_layout(theme))
    ends: list[tuple[float, str, str]] = []
    base = 0.0
    for state, values in by_state.items():
        if not values.any():
            continue
        colour = state_colours(theme)[state]
        figure.add_trace(
            go.Scatter(
                x=places,
                y=values,
                stackgroup="states",
                mode="lines",
                name=state,
                line={"color": colour, "width": 1},
                hovertemplate=f"{state} %{{y:,.0f}} requests<extra></extra>",
            )
        )
        typical = float(np.median(values[values > 0]))
        ends.append((base + float(values[-5:].mean()) / 2, f"<b>{state.lower()}</b> {count(round(typical))}", colour))
        base += float(values[-5:].mean())
    top = float(sum(by_state.values()).max())  # type: ignore[union-attr]  # a sum of arrays
    _label_ends(figure, ends, gap=top * 0.17)
    figure.update_xaxes(time.layout(theme))
    figure.update_yaxes(axis(theme, range=[0, top * 1.08], tickformat=",d", title=axis_title("requests")))
    return figure


def cpu_over_time(ticks: Ticks, time: TimeAxis, *, theme: Theme) -> go.Figure:
    """CPU of server and generator in cores (1.0 = one core busy), one value a tick; a dashed line marks one core."""
    places, kept = _placed(ticks, time)
    figure = go.Figure(layout=bare_layout(theme))
    ends: list[tuple[float, str, str]] = []
    top = 1.0
    for role, colour, dash in (("server", theme.arm_b, "solid"), ("generator", theme.arm_a, "dot")):
        values = np.array([_cpu(tick.get(role)) for tick in kept])
        if not np.isfinite(values).any():
            continue
        top = max(top, float(np.nanmax(values)))
        figure.add_trace(
            go.Scatter(
                x=places,
                y=values,
                mode="lines",
                name=role,
                line={"color": colour, "width": 2, "dash": dash},
                hovertemplate=f"{role} %{{y:.2f}} cores<extra></extra>",
            )
        )
        mean = float(np.nanmean(values))
        ends.append((float(np.nanmean(values[-5:])), f"<b>{role}</b><br>mean {number(mean)}", colour))
    if not ends:
        return nothing(theme, "The ticks hold no CPU")
    figure.add_hline(y=1.0, line={"color": theme.slo, "width": 1, "dash": "dash"})
    _label_ends(figure, ends, gap=top * 0.17)
    figure.update_xaxes(time.layout(theme))
    figure.update_yaxes(axis(theme, range=[0, top * 1.08], title=axis_title("cores")))
    return figure


def _placed(ticks: Ticks, time: TimeAxis) -> tuple[npt.NDArray[np.float64], list[Mapping[str, Any]]]:
    """The ticks that fall on the axis, and where; those of idle stretches are left out."""
    seconds = np.array([float(tick.get("t", -1.0)) for tick in ticks])
    stretch = np.maximum(np.searchsorted(time.starts, seconds, side="right") - 1, 0)
    inside = (seconds >= time.starts[stretch]) & (seconds <= time.starts[stretch] + time.lengths[stretch])
    kept = [tick for tick, keep in zip(ticks, inside.tolist(), strict=True) if keep]
    return (seconds - time.starts[stretch] + time.folds[stretch])[inside].astype(np.float64), kept


def _cpu(process: Any) -> float:
    value = process.get("cpu") if isinstance(process, Mapping) else None
    return float(value) if isinstance(value, int | float) else float("nan")


def _label_ends(figure: go.Figure, ends: Sequence[tuple[float, str, str]], gap: float) -> None:
    figure.update_layout(margin={"r": label_room([text for _, text, _ in ends])})
    places = spread([y for y, _, _ in ends], gap=gap)
    for (_, text, colour), place in zip(ends, places, strict=True):
        figure.add_annotation(
            x=1,
            xref="paper",
            xanchor="left",
            xshift=6,
            y=place,
            text=text,
            align="left",
            showarrow=False,
            font={"color": colour},
        )
