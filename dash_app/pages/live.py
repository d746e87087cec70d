"""What happens now: the running run, or a server that is followed, drawn in the browser as frames come."""

from __future__ import annotations

import asyncio
import re
from functools import cache
from typing import Any

import dash_mantine_components as dmc
import orjson
from dash import ClientsideFunction, Dash, Input, Output, dcc, html
from dash.development.base_component import Component

from dash_app import cards
from dash_app.router import Page
from dash_app.view import population
from reports.figures import THEMES
from reports.figures.live import live_figures

_WINDOWS_S = {"60": "1 min", "300": "5 min", "900": "15 min"}

_KPIS = (
    ("throughput", "Throughput"),
    ("miss-p50", "Miss latency p50"),
    ("miss-p99", "Miss latency p99"),
    ("hit-share", "Cache hit share"),
    ("attempts", "Attempts / request"),
    ("failed", "Failed"),
)


def register(app: Dash) -> Page:
    """The page; what moves on it is `assets/live_*.js`."""

    async def layout(query: dict[str, str]) -> html.Div:
        window = query.get("window", "300")
        skeletons = await asyncio.to_thread(_skeletons)
        return _layout(skeletons, window if window in _WINDOWS_S else "300", population(query.get("show")) or "all")

    app.clientside_callback(
        ClientsideFunction("tailgate", "live"),
        Output("live-settings", "data"),
        Input("theme", "data"),
        Input("live-figures", "data"),
        Input("live-window", "value"),
        Input("live-show", "value"),
        Input("live-pause", "n_clicks"),
    )
    return Page(re.compile("/"), "Live · Tailgate", layout)


@cache
def _skeletons() -> dict[str, dict[str, Any]]:
    """The figures without data, by theme; made when first asked for: a fifth of the time it takes to start."""
    return {
        theme.name: {place: orjson.loads(figure.to_json()) for place, figure in live_figures(theme).items()}
        for theme in THEMES.values()
    }


def _layout(skeletons: dict[str, Any], window: str, shown: str) -> html.Div:
    return html.Div(
        [
            dcc.Store(id="live-figures", data=skeletons),
            dcc.Store(id="live-settings"),
            html.Div(
                [
                    html.Div([html.H1("Live", id="live-title"), html.P(id="live-subline", className="subline")]),
                    html.Div(id="live-chips", className="pills", role="status"),
                ],
                className="page-head",
            ),
            html.Div(id="live-banner", className="banner warn", role="status", hidden=True),
            html.Div(id="live-server-banner", className="banner warn", role="status", hidden=True),
            html.Div(
                cards.empty(
                    "No run active",
                    "Start one and it appears here by itself. Saved runs are under Runs.",
                    command="make bench",
                ),
                className="live-idle",
            ),
            html.Div(
                [_controls(window, shown), _kpis(), html.Div(_cards(), className="cards")], className="live-active"
            ),
        ],
        id="live-root",
        className="page",
        **cards.attributes(data_state="connecting"),
    )


def _controls(window: str, shown: str) -> html.Div:
    return html.Div(
        [
            html.Button(
                [html.Span(className="icon icon-pause"), "Pause"],
                id="live-pause",
                className="button",
                **cards.attributes(aria_pressed="false", data_key="P"),
            ),
            dmc.SegmentedControl(
                id="live-window",
                value=window,
                data=[{"value": value, "label": label} for value, label in _WINDOWS_S.items()],
                size="xs",
                **cards.attributes(aria_label="Window of time"),
            ),
            dmc.SegmentedControl(
                id="live-show",
                value=shown,
                data=[
                    {"value": "all", "label": "All"},
                    {"value": "hit", "label": "Hits"},
                    {"value": "miss", "label": "Misses"},
                ],
                size="xs",
                **cards.attributes(aria_label="Population shown"),
            ),
            html.Span("Key figures are of the requests that ended in the last 10 s.", className="muted hint"),
        ],
        className="controls",
    )


def _kpis() -> html.Div:
    def one(name: str, label: str) -> html.Section:
        children: list[Component] = [
            html.H2(label),
            html.P([html.Span("–", className="kpi-value"), html.Span(className="kpi-unit")]),
            html.P(className="kpi-note"),
            html.Div(className="kpi-drawn", **cards.attributes(aria_hidden="true")),
        ]
        return html.Section(children, id=f"live-kpi-{name}", className="kpi")

    return html.Div([one(name, label) for name, label in _KPIS], className="kpis")


def _cards() -> list[html.Section]:
    def place(
        figure_id: str, title: str, subtitle: cards.Children, span: int, reading: str, height: int = 230
    ) -> html.Section:
        drawn = html.Div(id=figure_id, className="figure live-figure", style={"minHeight": height})
        return cards.card(title, subtitle, drawn, span=span, reading=reading, figure_id=figure_id)

    return [
        place(
            "live-latency",
            "Latency over time",
            [
                "successful requests, ",
                html.Span("from their intended start", id="live-latency-from"),
                "; stronger colour = more requests",
            ],
            8,
            "Drag across to hold a stretch still in all figures; double click to follow again. The newest seconds "
            "still lack their slow requests.",
            300,
        ),
        place(
            "live-retries",
            "Retries over time",
            "share of requests that reached Gemini, by attempts",
            4,
            "Requests that took two, three, four, or five and more attempts, by the time at which they ended.",
            300,
        ),
        place(
            "live-shares",
            "Hits and failures",
            "hits of successes, failures of all, as they end",
            4,
            "A hit share that climbs is a cache that warms up; a dip in it is a stampede or an expiry.",
        ),
        place(
            "live-in-flight",
            "In flight",
            "requests on the server by state",
            4,
            "The request state machine, sampled: queued, validating, waiting for Gemini, or waiting to try again.",
        ),
        place(
            "live-load",
            "Load",
            "users held, requests ended each second",
            4,
            "A closed loop: users wait for their answer, so a slower server is asked less.",
        ),
        place(
            "live-cpu",
            "CPU",
            "cores busy, server and generator",
            12,
            "A generator near one core (dashed) measures itself, not the server.",
            180,
        ),
    ]
