"""The table of a run's failures: a row a reason and status."""

from __future__ import annotations

import pyarrow as pa
from dash import html

from dash_app import cards
from reports import readable
from reports.figures import Theme
from reports.figures.failures import reason_styles
from reports.statistics.percentiles import samples_needed
from reports.summary.failures import FailureKind, failure_kinds

_NAMES = (
    "reason",
    "status",
    "failures",
    "of failures",
    "of requests",
    "attempts",
    "waited p50",
    "waited p99",
    "first",
    "last",
)


def table(aggregate: pa.Table, theme: Theme, reason: str | None) -> html.Table | html.P:
    """All measured failures, or those of one ``reason``; colours and dashes are those of the figures."""
    kinds = [kind for kind in failure_kinds(aggregate) if reason in (None, kind.reason)]
    if not kinds:
        return html.P("None in the measured window.", className="muted")
    styles = reason_styles(aggregate, theme)
    head = html.Thead(html.Tr([html.Th(name, scope="col") for name in _NAMES]))
    body = html.Tbody([_row(kind, styles[kind.reason].colour) for kind in kinds])
    return html.Table([head, body], className="figures-table")


def _row(kind: FailureKind, colour: str) -> html.Tr:
    cells: list[cards.Children] = [
        str(kind.status) if kind.status else "no reply",
        readable.count(kind.count),
        readable.share(kind.of_failures),
        readable.share(kind.of_requests),
        readable.number(kind.attempts),
        _waited(kind.p50_ms, 0.5),
        _waited(kind.p99_ms, 0.99),
        readable.elapsed(kind.first_s),
        readable.elapsed(kind.last_s),
    ]
    name: cards.Children = [html.Span(className="square", style={"background": colour}), kind.reason]
    return html.Tr([html.Th(name, scope="row"), *(html.Td(cell) for cell in cells)])


def _waited(ms: float | None, q: float) -> str:
    return f"n < {samples_needed(q):,}" if ms is None else readable.latency(ms)
