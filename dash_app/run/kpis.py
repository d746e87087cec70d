"""The strip of key figures of a run: six numbers with their course, and against the other arm if there is one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from dash import html

from dash_app import cards
from dash_app.run.courses import Courses, Values
from reports import readable
from reports.figures.sparkline import sparkline
from reports.summary.summary import Summary

_SAME: Final = 0.005
"""A change below half a per cent is called none."""


@dataclass(frozen=True, slots=True)
class _Kpi:
    """One key figure: where it comes from, how it reads, what it is of."""

    label: str
    of: Callable[[Summary], float | None]
    read: Callable[[float | None], str]
    course: Callable[[Courses], Values]
    count: Callable[[Summary], str]
    interval: Callable[[Summary], tuple[float, float] | None] = lambda _summary: None
    """The figure's 95% interval, where the summary has one. Only latencies do, and of them less is better."""


def _latency(percentile: str) -> Callable[[Summary], float | None]:
    return lambda summary: summary.latency["miss"]["intended"].percentiles.get(percentile)


def _interval(percentile: str) -> Callable[[Summary], tuple[float, float] | None]:
    return lambda summary: summary.latency["miss"]["intended"].intervals.get(percentile)


def _misses(summary: Summary) -> str:
    return f"{readable.count(summary.latency['miss']['intended'].count)} misses"


_KPIS: Final = (
    _Kpi(
        "Throughput",
        lambda s: s.throughput_rps,
        lambda v: readable.number(v, "req/s"),
        lambda c: c.throughput_rps,
        lambda s: f"{readable.count(s.requests)} requests",
    ),
    *(
        _Kpi(f"Miss latency {name}", _latency(name), readable.latency, course, _misses, _interval(name))
        for name, course in (("p50", lambda c: c.miss_p50_ms), ("p99", lambda c: c.miss_p99_ms))
    ),
    _Kpi(
        "Cache hit share",
        lambda s: s.cache.hit_share,
        readable.share,
        lambda c: c.hit_share,
        lambda s: f"{readable.count(s.latency['hit']['intended'].count)} hits",
    ),
    _Kpi(
        "Attempts / request",
        lambda s: s.attempts.amplification,
        lambda v: readable.DASH if v is None else f"{v:.3f} ×",
        lambda c: c.attempts,
        lambda s: f"n = {readable.count(s.attempts.count)}",
    ),
    _Kpi(
        "Failed",
        lambda s: s.failed_share,
        readable.share,
        lambda c: c.failed_share,
        lambda s: f"{readable.count(s.failures)} of {readable.count(s.requests)}",
    ),
)


def strip(summary: Summary, courses: Courses, *, other: Summary | None) -> html.Div:
    """The strip for a run; ``other`` is arm A when the run is arm B of the same experiment."""
    return html.Div([_card(kpi, summary, courses, other) for kpi in _KPIS], className="kpis")


def _card(kpi: _Kpi, summary: Summary, courses: Courses, other: Summary | None) -> html.Section:
    value, unit = apart(kpi.read(kpi.of(summary)))
    note: cards.Children = kpi.count(summary)
    if other is not None:
        note = _against(kpi, summary, other)
    course = kpi.course(courses)
    known = course[np.isfinite(course)]
    says = f"{kpi.label} over time: no course"
    if known.size:
        says = f"{kpi.label} over time, from {kpi.read(float(known.min()))} to {kpi.read(float(known.max()))}"
    return cards.kpi(kpi.label, value, unit, note=note, spark=sparkline(course.tolist()) or None, spark_says=says)


def apart(text: str) -> tuple[str, str]:
    """A figure and its unit: ``1.02 s`` is (1.02, s), ``56.4%`` is (56.4, %)."""
    if text.endswith("%"):
        return text[:-1], "%"
    value, _, unit = text.partition(" ")
    return value, unit


def _against(kpi: _Kpi, mine: Summary, theirs: Summary) -> cards.Children:
    """The change from arm A. Good or bad only where both runs are valid and their intervals lie apart."""
    value, other = kpi.of(mine), kpi.of(theirs)
    if value is None or not other:
        return f"A: {kpi.read(other)}"
    ratio = value / other
    if abs(ratio - 1.0) < _SAME:
        return [html.Span("≈ no change", className="delta-same"), " vs A"]
    tone, b, a = "same", kpi.interval(mine), kpi.interval(theirs)
    if a is not None and b is not None and mine.validity.verdict == theirs.validity.verdict == "VALID":
        if b[0] <= a[1] and a[0] <= b[1]:
            return [html.Span("? cannot tell", className="delta-same"), " vs A"]
        tone = "good" if ratio < 1 else "bad"
    arrow = "▲" if ratio > 1 else "▼"
    return [html.Span(f"{arrow} {readable.change(ratio).lstrip('+-')}", className=f"delta-{tone}"), " vs A"]
