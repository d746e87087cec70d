"""The figures of a run's page: which cards, and what each is drawn from."""

from __future__ import annotations

from typing import Final

import numpy as np
import plotly.graph_objects as go
import pyarrow as pa
from dash import html

from dash_app import cards, facts
from dash_app.library import Library, OpenRun
from dash_app.run.phases import phase_cards
from dash_app.view import RunView
from reports.figures import Theme, hit_miss_ecdf, latency_over_time, percentiles, retries_over_time
from reports.figures.activity import cpu_over_time, in_flight_over_time
from reports.figures.dots import are_few, dots_of
from reports.figures.latency_over_time import COLUMNS
from reports.figures.outcome_flow import outcome_flow
from reports.figures.stage_times import stage_times
from reports.figures.time_axis import TimeAxis
from reports.judge.slo import SloError, parse_slo
from reports.records.schema import POPULATIONS, Population

IDS: Final = ("run-retries", "run-ecdf", "run-percentiles", "run-flow", "run-stages", "run-in-flight", "run-cpu")
"""The graphs that ``rest`` draws, in its order."""


def latency(library: Library, run_id: str, theme: Theme, population: Population | None) -> go.Figure:
    """Latency over time; whole, whatever stretch has been brushed: it is what one brushes on."""
    opened = library.open(run_id)

    def draw() -> go.Figure:
        dots = dots_of(library.store.open(run_id)) if are_few(opened.aggregate) else None
        faults = opened.manifest.faults_s
        return latency_over_time(opened.aggregate, theme=theme, population=population, dots=dots, faults=faults)

    return opened.drawn(("latency", theme.name, population), draw)


def rest(library: Library, run_id: str, theme: Theme, view: RunView) -> list[go.Figure]:
    """The figures of ``IDS`` for what ``view`` asks for."""
    opened, other = library.open_with_arm_a(run_id)
    return opened.drawn(("rest", theme.name, view, id(other)), lambda: _rest(opened, other, theme, view))


def _rest(opened: OpenRun, other: OpenRun | None, theme: Theme, view: RunView) -> list[go.Figure]:
    time = TimeAxis.of([opened.aggregate], columns=COLUMNS)
    part = _within(opened.aggregate, time, view.brush)
    shown = _of(part, view.population)
    stages = {p: opened.summary.stages[p] for p in POPULATIONS if view.population in (None, p)}
    return [
        retries_over_time(opened.aggregate, theme=theme),
        hit_miss_ecdf(shown, theme=theme, slo_ms=_slo_ms(view.slo)),
        percentiles(part, theme=theme, other=other.aggregate if other else None, population=view.population),
        outcome_flow(part, theme=theme),
        stage_times(stages, theme=theme),
        in_flight_over_time(opened.ticks, time, theme=theme),
        cpu_over_time(opened.ticks, time, theme=theme),
    ]


def cards_of(opened: OpenRun, other: OpenRun | None) -> list[html.Section]:
    """The cards of a run's page, row by row; with ``other`` as arm A there is one more to compare them."""
    measured = _facts_card("Measured", "what the figures stand on", facts.measured(opened.manifest, opened.summary))
    environment = _facts_card("Environment", "where, and how to run it again", facts.environment(opened.manifest))
    settings = facts.settings(opened.manifest)
    rows = [
        [_latency_card(8, few=are_few(opened.aggregate)), _retries_card(4)],
        [_ecdf_card(4), _percentiles_card(4), _change_card(4) if other is not None else _in_flight_card(4)],
        [*phase_cards(opened.summary)],
        [_flow_card(6), _stages_card(6)],
    ]
    if other is None:
        rows.append([_cpu_card(4), measured, environment])
        rows.append([_facts_card("Settings", "workload, and the server's /config", settings, span=12)])
    else:
        rows.append([_in_flight_card(6), _cpu_card(6)])
        rows.append([measured, environment, _facts_card("Settings", "workload, and the server's /config", settings)])
    return [card for row in rows for card in row]


def _latency_card(span: int, *, few: bool) -> html.Section:
    return cards.figure_card(
        "run-latency",
        "Latency over time",
        "a short run: each dot is one successful request, from its intended start"
        if few
        else "every successful request from its intended start; stronger colour = more requests",
        span=span,
        height=300,
        reading="Circles are hits, diamonds misses, by latency on a log scale. There are too few for percentiles over "
        "time; shaded stretches were not measured. Drag across to look at one alone."
        if few
        else "Each column is a stretch of time, each row a latency on a log scale. The lines are percentiles over "
        "enough requests to be told; shaded stretches were not measured. Drag across to look at one alone.",
    )


def _retries_card(span: int) -> html.Section:
    return cards.figure_card(
        "run-retries",
        "Retries over time",
        "share of requests that reached Gemini, by attempts",
        span=span,
        height=300,
        reading="Requests that took two, three, four, or five and more attempts. 'load' is how many times more calls "
        "Gemini saw than without retries, in the worst stretch.",
    )


def _ecdf_card(span: int) -> html.Section:
    return cards.figure_card(
        "run-ecdf",
        "Cache hit vs miss",
        "share of requests finished within x",
        span=span,
        reading="Read upwards from a time: so many per cent of hits, or of misses, were answered within it. "
        "The two are never pooled: a better hit share would look like a faster server.",
    )


def _percentiles_card(span: int) -> html.Section:
    return cards.figure_card(
        "run-percentiles",
        "Latency by percentile",
        "tail drawn only as far as samples support",
        span=span,
        reading="The axis stretches the tail: p99.9 is as far from p99 as p99 from p90. "
        "A curve ends where fewer than ten samples lie beyond it.",
    )


def _change_card(span: int) -> html.Section:
    return cards.figure_card(
        "run-change",
        "B relative to A",
        "change at each percentile · 95% block-bootstrap interval",
        span=span,
        reading="Below zero B is faster. Where the band holds zero, this experiment cannot tell.",
    )


def _flow_card(span: int) -> html.Section:
    return cards.figure_card(
        "run-flow",
        "Where requests went",
        "cache → attempts → outcome, measured requests",
        span=span,
        reading="Widths are counts. A failed request that spent an attempt had missed the cache; one without was "
        "refused before Gemini was asked.",
    )


def _stages_card(span: int) -> html.Section:
    return cards.figure_card(
        "run-stages",
        "Where a request's time went",
        "mean time by server stage, each panel to its own scale",
        span=span,
        height=300,
        reading="What the server said in Server-Timing: the stages of a request sum to its total. Means over all "
        "measured requests of a population; the median of a stage says little about the whole.",
    )


def _in_flight_card(span: int) -> html.Section:
    return cards.figure_card(
        "run-in-flight",
        "In flight",
        "requests on the server by state, once a second",
        span=span,
        reading="The request state machine, sampled once a second: queued, validating, waiting for Gemini, or "
        "waiting to try again.",
    )


def _cpu_card(span: int) -> html.Section:
    return cards.figure_card(
        "run-cpu",
        "CPU",
        "cores busy, server and generator",
        span=span,
        reading="A generator near one core (dashed) measures itself, not the server: the run is then not valid.",
    )


def _facts_card(title: str, subtitle: str, pairs: facts.Pairs, *, span: int = 4) -> html.Section:
    return cards.card(
        title,
        subtitle,
        html.Div(
            cards.facts(pairs), className="scroll", tabIndex="0", role="group", **cards.attributes(aria_label=title)
        ),
        span=span,
    )


def _slo_ms(expression: str) -> float | None:
    """The first latency bound of an SLO expression, None if it has none or cannot be read."""
    try:
        thresholds = parse_slo(expression)
    except SloError:
        return None
    return next((t.limit for t in thresholds if t.indicator.kind == "latency"), None)


def _within(aggregate: pa.Table, time: TimeAxis, brush: tuple[float, float] | None) -> pa.Table:
    """The rows whose second lies in the brushed stretch of the time axis; all if it would leave none."""
    if brush is None:
        return aggregate
    place = time.place(aggregate["second"].to_numpy())
    part = aggregate.filter(pa.array((place >= np.floor(brush[0])) & (place < np.ceil(brush[1]))))
    return part if part.num_rows else aggregate


def _of(aggregate: pa.Table, population: Population | None) -> pa.Table:
    """The rows of one population, or all."""
    if population is None:
        return aggregate
    return aggregate.filter(pa.array(np.isin(aggregate["cache"].to_numpy(), POPULATIONS[population])))
