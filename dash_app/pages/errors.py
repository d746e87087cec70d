"""What failed in a run: when, why, after how many attempts, and how long callers had waited for it."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import dash_mantine_components as dmc
import pyarrow.compute as pc
from dash import ClientsideFunction, Dash, Input, Output, State, dcc, html
from dash.development.base_component import Component

from dash_app import cards, facts
from dash_app.errors import bodies as error_bodies
from dash_app.errors import failure_table
from dash_app.library import Library, OpenRun
from dash_app.missing import missing
from dash_app.router import Page
from reports import readable
from reports.errors import StoreError
from reports.figures import THEMES
from reports.figures.failures import failures_by_attempts, failures_over_time, reason_styles, waits_for_failure
from reports.records.error_bodies import KEPT, MOST_BYTES
from reports.summary.failures import FailureKind, failure_kinds, failures

_ALL = "all"


def register(app: Dash, library: Library) -> Page:
    """The page and its callbacks over ``library``."""

    async def layout(run_id: str, query: dict[str, str]) -> html.Div:
        try:
            opened = await asyncio.to_thread(lambda: library.open(library.store.resolve(run_id)))
        except StoreError as error:
            return missing(error, lambda near: f"/errors/{near}")
        return _layout(opened, query.get("reason", _ALL))

    @app.callback(
        Output("errors-time", "figure"),
        Output("errors-attempts", "figure"),
        Output("errors-waits", "figure"),
        Output("errors-table", "children"),
        Output("errors-bodies", "children"),
        Input("theme", "data"),
        Input("errors-reason", "value"),
        State("errors-id", "data"),
    )
    async def draw(theme: str, reason: str, run_id: str) -> list[Any]:
        return await asyncio.to_thread(_draw, library, run_id, theme, None if reason == _ALL else reason)

    app.clientside_callback(
        ClientsideFunction("tailgate", "errorsAddress"),
        Output("errors-address", "data"),
        Input("errors-reason", "value"),
        prevent_initial_call=True,
    )
    return Page(re.compile("/errors/(?P<run_id>.+)"), "Errors · Tailgate", layout)


def _draw(library: Library, run_id: str, theme_name: str, reason: str | None) -> list[Any]:
    opened, theme = library.open(run_id), THEMES[theme_name]
    aggregate = opened.aggregate
    bodies = library.store.open(run_id).error_bodies()
    figures = (failures_over_time, failures_by_attempts, waits_for_failure)
    return [
        *(figure(aggregate, theme=theme, reason=reason) for figure in figures),
        failure_table.table(aggregate, theme, reason),
        error_bodies.samples(bodies, opened.manifest.started_ns / 1e9, reason_styles(aggregate, theme), reason),
    ]


def _layout(opened: OpenRun, asked: str) -> html.Div:
    failed = failures(opened.aggregate)
    outside = int(failed.filter(pc.invert(failed["measured"]))["count"].to_numpy().sum())
    kinds = failure_kinds(opened.aggregate)
    reasons = list(dict.fromkeys([*(kind.reason for kind in kinds), *failed["reason"].to_pylist()]))
    head = html.Div(
        [
            html.Div(
                [
                    html.H1(f"Errors of {facts.title(opened.manifest)}"),
                    html.P(facts.subline(opened.manifest, opened.summary), className="subline"),
                ]
            )
        ],
        className="page-head",
    )
    back = html.Div(
        [
            html.A("The run", href=f"/run/{opened.id}", className="button"),
            html.Button("Share link", className="button", **cards.attributes(data_share="")),
        ],
        className="header-actions",
    )
    return html.Div([back, head, *_body(opened, kinds, reasons, outside, asked)], className="page")


def _body(opened: OpenRun, kinds: list[FailureKind], reasons: list[str], outside: int, asked: str) -> list[Component]:
    if not reasons:
        return [
            cards.empty(
                f"No failures in {readable.count(opened.summary.requests)} requests",
                ["Neither in the measured window nor outside it. ", _retried(opened)],
            ),
            html.Div(_waits_card(opened), className="cards after-empty"),
        ]
    return [
        dcc.Store(id="errors-id", data=opened.id),
        dcc.Store(id="errors-address"),
        html.P(_headline(opened, kinds, outside), className="headline"),
        html.Div(
            dmc.SegmentedControl(
                id="errors-reason",
                value=asked if asked in reasons else _ALL,
                data=[{"value": _ALL, "label": "All reasons"}, *({"value": r, "label": r} for r in reasons)],
                size="xs",
                className="reason-choice",
                **cards.attributes(aria_label="Reason shown"),
            ),
            className="controls",
        ),
        html.Div([*_figure_cards(), _table_card(), _bodies_card(), _waits_card(opened)], className="cards"),
    ]


def _headline(opened: OpenRun, kinds: list[FailureKind], outside: int) -> list[str | Component]:
    summary = opened.summary
    said: list[str | Component] = [
        html.Strong(
            f"{readable.count(summary.failures)} of {readable.count(summary.requests)} measured requests failed "
            f"({readable.share(summary.failed_share)})."
        )
    ]
    if kinds:
        said.append(f" Most: {kinds[0].reason}, {readable.share(kinds[0].of_failures)} of them.")
    if outside:
        said.append(f" {readable.count(outside)} more outside the measured window (ramp, warm-up, end).")
    return said


def _retried(opened: OpenRun) -> str:
    attempts = opened.summary.attempts
    retried = sum(number for spent, number in attempts.distribution.items() if spent > 1)
    if not retried:
        return f"None of {readable.count(attempts.count)} requests that reached Gemini had to try again."
    return f"{readable.count(retried)} of {readable.count(attempts.count)} requests that reached Gemini tried again."


def _figure_cards() -> list[html.Section]:
    return [
        cards.figure_card(
            "errors-time",
            "Failures over time",
            "share of all requests that failed, by reason",
            span=8,
            height=300,
            reading="Each bar is a stretch of time; shaded stretches were not measured. Reasons keep their colour and "
            "pattern in all figures of this page.",
        ),
        cards.figure_card(
            "errors-attempts",
            "Failures by attempts",
            "Gemini attempts spent before giving up",
            span=4,
            height=300,
            reading="'none' was refused before Gemini was asked (rate limit, open breaker, full queue); 'unknown' "
            "failed without a reply that could have said.",
        ),
        cards.figure_card(
            "errors-waits",
            "Wait for a failure",
            "share of failures that came within x of the intended start",
            span=4,
            reading="A failure that comes at once can be retried by the caller; one that comes after a long wait has "
            "cost the caller that wait.",
        ),
    ]


def _table_card() -> html.Section:
    return cards.card(
        "Failures by reason",
        "measured window; attempts are means, waits from the intended start",
        html.Div(
            id="errors-table",
            className="wide-table",
            tabIndex="0",
            role="group",
            **cards.attributes(aria_label="Failures by reason"),
        ),
        span=8,
    )


def _bodies_card() -> html.Section:
    return cards.card(
        "What the server said",
        f"the first {KEPT} replies of each reason and status, at most {facts.size(MOST_BYTES)} of each",
        html.Div(id="errors-bodies"),
        span=12,
    )


def _waits_card(opened: OpenRun) -> html.Section:
    """How often requests tried again, and what they waited for on the server; failed requests' stages are not told."""
    summary = opened.summary
    total = summary.attempts.count
    pairs: facts.Pairs = [
        (
            f"{spent} attempt{'s' * (spent > 1)}",
            f"{readable.count(number)} requests ({readable.share(number / total)} of those that reached Gemini)",
        )
        for spent, number in sorted(summary.attempts.distribution.items())
    ]
    for name, time in (
        ("queue, hits", summary.stages["hit"]["queue"]),
        ("queue, misses", summary.stages["miss"]["queue"]),
        ("backoff, misses", summary.stages["miss"]["backoff"]),
    ):
        if time.count:
            told = [f"mean {readable.latency(time.mean_ms)}"]
            told += [f"p99 {readable.latency(time.p99_ms)}"] if time.p99_ms is not None else []
            pairs.append((name, ", ".join([*told, f"n\u00a0=\u00a0{readable.count(time.count)}"])))
    return cards.card(
        "Attempts and waits",
        "all requests by attempts; time in queue and backoff of those that succeeded",
        cards.facts(pairs) if pairs else html.P("The server told neither.", className="muted"),
        span=12,
    )
