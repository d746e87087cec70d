"""The requests of a short run one by one: too few for a heatmap, which would show them as slabs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
import pyarrow as pa

from reports.figures.theme import Theme
from reports.figures.time_axis import TimeAxis
from reports.readable import count, elapsed, latency
from reports.records.aggregate import of_population
from reports.records.schema import POPULATIONS, Population
from reports.store.run import Run

MOST: Final = 2000
"""Successful requests that are still drawn one by one."""

COLUMNS: Final = ("scheduled_at", "sent_at", "latency_ns", "status", "error", "cache")
_MARKERS: Final[dict[Population, str]] = {"hit": "circle", "miss": "diamond"}


@dataclass(frozen=True)
class Dots:
    """Of each population: elapsed seconds at the intended start, and ms from it."""

    seconds: dict[Population, npt.NDArray[np.float64]]
    ms: dict[Population, npt.NDArray[np.float64]]

    def draw(self, figure: go.Figure, population: Population, time: TimeAxis, theme: Theme) -> tuple[float, str, str]:
        """Add those of a population; the height, text and colour of their label."""
        seconds, ms, colour = self.seconds[population], self.ms[population], theme.of(population)
        whole = np.floor(seconds)
        figure.add_trace(
            go.Scatter(
                x=np.round(time.place(whole) + (seconds - whole), 3),
                y=np.round(np.log10(ms), 3),
                mode="markers",
                name=population,
                marker={"color": colour, "size": 6, "symbol": _MARKERS[population], "opacity": 0.7},
                text=[f"{latency(took)} at {elapsed(at)}" for took, at in zip(ms, seconds, strict=True)],
                hovertemplate=f"{population} %{{text}}<extra></extra>",
            )
        )
        return float(np.log10(np.median(ms))), f"<b>{population}</b> n = {count(ms.size)}", colour


def are_few(aggregate: pa.Table) -> bool:
    """Whether the successful requests of a run, measured or not, are few enough to be drawn one by one."""
    return 0 < sum(int(of_population(aggregate, p)["count"].to_numpy().sum()) for p in POPULATIONS) <= MOST


def dots_of(run: Run) -> Dots:
    """The successful requests of a run that has few."""
    samples, started_ns = run.samples(COLUMNS), run.manifest.started_ns
    for name in ("error", "cache"):
        place = samples.schema.get_field_index(name)
        samples = samples.set_column(place, name, samples[name].cast(pa.string()))
    parts = {p: of_population(samples, p) for p in POPULATIONS}
    scheduled = {p: part["scheduled_at"].to_numpy() for p, part in parts.items()}
    done = {p: part["sent_at"].to_numpy() + part["latency_ns"].to_numpy() for p, part in parts.items()}
    return Dots(
        {p: np.maximum(scheduled[p] - started_ns, 0) / 1e9 for p in parts},
        {p: np.maximum(done[p] - scheduled[p], 1) / 1e6 for p in parts},
    )
