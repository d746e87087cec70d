"""The time axis of a run: elapsed time, with the stretches left out in which the other arm ran.

An A/B experiment alternates its arms in blocks, so each run is idle half of the time. Its seconds are folded together;
ticks keep the true elapsed time and a dotted line marks each fold.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
import pyarrow as pa

from reports.figures.layout import axis
from reports.figures.theme import Theme
from reports.readable import elapsed

STEPS: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600)
TICK_STEPS: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400)
FOLD_S: Final = 3
"""Idle stretches longer than this are folded away."""


@dataclass(frozen=True)
class TimeAxis:
    """Elapsed seconds of a run, folded and cut into columns ``step`` seconds wide.

    ``starts`` and ``lengths``: the stretches with traffic, in elapsed seconds.
    """

    starts: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64]
    step: int

    @classmethod
    def of(cls, aggregates: Iterable[pa.Table], *, columns: int) -> TimeAxis:
        """The axis over the seconds that have samples, with at most about ``columns`` columns."""
        seconds = np.unique(np.concatenate([np.empty(0, np.int64), *(a["second"].to_numpy() for a in aggregates)]))
        if not seconds.size:
            return cls(np.zeros(1, np.int64), np.ones(1, np.int64), 1)
        breaks = np.flatnonzero(np.diff(seconds) > FOLD_S)
        starts = seconds[np.concatenate([[0], breaks + 1])].astype(np.int64)
        ends = seconds[np.concatenate([breaks, [seconds.size - 1]])].astype(np.int64) + 1
        span = int((ends - starts).sum())
        step = next((s for s in STEPS if span / s <= columns), STEPS[-1])
        return cls(starts, ends - starts, step)

    @property
    def span(self) -> int:
        """Seconds on the axis."""
        return int(self.lengths.sum())

    @property
    def columns(self) -> int:
        """Columns on the axis; the last may be partly filled."""
        return -(-self.span // self.step)

    @property
    def folds(self) -> npt.NDArray[np.int64]:
        """Where on the axis each stretch begins."""
        return np.concatenate([[0], np.cumsum(self.lengths)[:-1]]).astype(np.int64)

    def place(self, second: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """Where elapsed seconds lie on the axis."""
        stretch = np.maximum(np.searchsorted(self.starts, second, side="right") - 1, 0)
        return np.asarray(second - self.starts[stretch] + self.folds[stretch], dtype=np.int64)

    def column(self, second: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """Which column elapsed seconds lie in."""
        return self.place(second) // self.step

    @property
    def centres(self) -> npt.NDArray[np.float64]:
        """The middle of each column on the axis."""
        return np.asarray((np.arange(self.columns) + 0.5) * self.step, dtype=np.float64)

    def labels(self) -> list[str]:
        """The elapsed time at which each column begins."""
        place = np.arange(self.columns) * self.step
        stretch = np.searchsorted(self.folds, place, side="right") - 1
        return [elapsed(s) for s in place - self.folds[stretch] + self.starts[stretch]]

    def layout(self, theme: Theme, **more: Any) -> dict[str, Any]:
        """The x axis: ticks at round elapsed times, the first of a stretch at least 3% of the axis after the last."""
        step = next((s for s in TICK_STEPS if self.span / s <= 7), TICK_STEPS[-1])
        ticks: list[tuple[int, str]] = []
        for start, length, fold in zip(self.starts.tolist(), self.lengths.tolist(), self.folds.tolist(), strict=True):
            end = start + length + (fold + length == self.span)  # the end of a stretch is where the next one begins
            for second in range(-(-start // step) * step, end, step):
                place = second - start + fold
                if not ticks or place - ticks[-1][0] >= 0.08 * self.span:
                    ticks.append((place, elapsed(second)))
        return axis(
            theme,
            range=[0, self.columns * self.step],
            tickmode="array",
            tickvals=[place for place, _ in ticks],
            ticktext=[text for _, text in ticks],
            showgrid=False,
            **more,
        )

    def mark_faults(self, figure: go.Figure, faults: Sequence[tuple[float, float]], theme: Theme) -> None:
        """A strip over the figure while scripted ``faults`` (from and until, elapsed seconds) ran, named once."""
        strips = []
        for start, end in faults:
            stretch = max(int(np.searchsorted(self.starts, start, side="right")) - 1, 0)
            first, length, fold = (int(of[stretch]) for of in (self.starts, self.lengths, self.folds))
            x0, x1 = (min(max(second - first, 0.0), length) + fold for second in (start, end))
            if x1 > x0:
                strips.append((x0, x1))
        for x0, x1 in strips:
            figure.add_shape(
                type="rect", x0=x0, x1=x1, yref="paper", ysizemode="pixel", yanchor=1, y0=1, y1=6,
                fillcolor=theme.bad, line_width=0,
            )  # fmt: skip
        if strips:
            figure.add_annotation(
                x=strips[0][0], xanchor="left", xshift=-1, y=1, yref="paper", yanchor="top", yshift=1, text="faults",
                showarrow=False, font={"color": theme.bad},
            )  # fmt: skip

    def mark(self, figure: go.Figure, aggregate: pa.Table, theme: Theme) -> None:
        """Draw a dotted line at each fold, and shade the columns of which nothing was measured (ramp and warm-up)."""
        for fold in self.folds[1:].tolist():
            figure.add_vline(x=fold, line={"color": theme.muted, "width": 1, "dash": "dot"}, opacity=0.6)
        measured = np.zeros(self.columns + 1, bool)
        measured[self.column(aggregate.filter(aggregate["measured"])["second"].to_numpy())] = True
        if not measured.any():
            return
        edges = np.flatnonzero(np.diff(np.concatenate([[True], measured[: self.columns], [True]])))
        for first, after in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
            figure.add_vrect(x0=first * self.step, x1=after * self.step, fillcolor=theme.shade, line_width=0)
