"""One run: its key figures, its course, its distributions, and what it was made under."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import dash_mantine_components as dmc
from dash import ClientsideFunction, Dash, Input, Output, State, dcc, html
from dash.development.base_component import Component

from dash_app import cards, facts, judging
from dash_app.capacity.searches import is_of_search
from dash_app.library import Library, OpenRun
from dash_app.missing import missing
from dash_app.router import Page
from dash_app.run import figures as run_figures
from dash_app.run import kpis
from dash_app.run.courses import courses
from dash_app.view import RunView, population
from reports import readable
from reports.errors import StoreError
from reports.figures import THEMES, relative_change
from reports.judge.attainment import Attainment
from reports.judge.slo import SloError, parse_slo
from reports.records.schema import Manifest


def register(app: Dash, library: Library) -> Page:
    """The page and its callbacks over ``library``."""

    async def layout(run_id: str, query: dict[str, str]) -> html.Div:
        try:
            opened, other = await asyncio.to_thread(_open, library, run_id)
        except StoreError as error:
            return missing(error, lambda near: f"/run/{near}")
        return _layout(opened, other, RunView.of(query))

    @app.callback(
        Output("run-latency", "figure"),
        Input("theme", "data"),
        Input("run-show", "value"),
        State("run-id", "data"),
    )
    async def draw_latency(theme: str, shown: str, run_id: str) -> Any:
        return await asyncio.to_thread(run_figures.latency, library, run_id, THEMES[theme], population(shown))

    @app.callback(
        [Output(figure_id, "figure") for figure_id in run_figures.IDS],
        Input("theme", "data"),
        Input("run-show", "value"),
        Input("run-slo", "value"),
        Input("run-brush", "data"),
        State("run-id", "data"),
    )
    async def draw(theme: str, shown: str, slo: str, brush: list[float] | None, run_id: str) -> list[Any]:
        view = RunView(slo, population(shown), (brush[0], brush[1]) if brush else None)
        return await asyncio.to_thread(run_figures.rest, library, run_id, THEMES[theme], view)

    @app.callback(
        Output("run-pills", "children"), Output("run-slo", "error"), Input("run-slo", "value"), State("run-id", "data")
    )
    async def judge(expression: str, run_id: str) -> tuple[list[html.Span], str | None]:
        try:
            slo = parse_slo(expression)
        except SloError as error:
            return [], str(error)
        attained = await asyncio.to_thread(judging.attained, library, run_id, slo)
        return [_pill(attainment) for attainment in attained], None

    @app.callback(
        Output("run-change", "figure"),
        Output("run-verdict", "children"),
        Input("theme", "data"),
        State("run-id", "data"),
        State("run-a", "data"),
    )
    async def compare(theme: str, run_id: str, a: str) -> tuple[Any, list[str | Component]]:
        comparison = await asyncio.to_thread(judging.compared, library, a, run_id)
        said: list[str | Component] = [html.Strong(comparison.sentence), " " + "; ".join(comparison.cautions)]
        return relative_change(comparison, theme=THEMES[theme]), said

    app.clientside_callback(
        ClientsideFunction("tailgate", "brush"),
        Output("run-brush", "data"),
        Output("run-time", "value"),
        Output("run-time", "error"),
        Input("run-latency", "relayoutData"),
        Input("run-time", "value"),
        State("run-brush", "data"),
        prevent_initial_call=True,
    )
    app.clientside_callback(
        ClientsideFunction("tailgate", "runAddress"),
        Output("run-address", "data"),
        Input("run-show", "value"),
        Input("run-slo", "value"),
        Input("run-brush", "data"),
        prevent_initial_call=True,
    )
    return Page(re.compile("/run/(?P<run_id>.+)"), "Run · Tailgate", layout)


def _open(library: Library, name: str) -> tuple[OpenRun, OpenRun | None]:
    """The run that is meant by an id, the beginning of one, or ``latest``; and its arm A. Raises ``StoreError``."""
    return library.open_with_arm_a(library.store.resolve(name))


def _layout(opened: OpenRun, other: OpenRun | None, view: RunView) -> html.Div:
    manifest, summary = opened.manifest, opened.summary
    verdict = summary.validity.verdict if opened.state == "complete" else opened.state.upper()
    head = html.Div(
        [
            html.Div(
                [
                    html.H1([facts.title(manifest), *_arm(manifest)]),
                    html.P(facts.subline(manifest, summary), className="subline"),
                ]
            ),
            html.Div([_validity(opened), html.Span(id="run-pills", className="pills")], className="pills"),
        ],
        className="page-head",
    )
    return html.Div(
        [
            dcc.Store(id="run-id", data=opened.id),
            dcc.Store(id="run-brush", data=list(view.brush) if view.brush else None),
            dcc.Store(id="run-address"),
            *([dcc.Store(id="run-a", data=other.id), _arms(other, opened)] if other is not None else []),
            _actions(opened, other),
            head,
            *_remarks(opened),
            *([html.P(id="run-verdict", className="headline verdict")] if other is not None else []),
            html.P(_headline(opened), className="headline"),
            kpis.strip(
                summary,
                opened.drawn("courses", lambda: courses(opened.aggregate)),
                other=other.summary if other else None,
            ),
            _controls(view),
            html.Div(run_figures.cards_of(opened, other), className="cards"),
        ],
        className="page" + ("" if verdict == "VALID" else " unproven"),
        style={"--verdict": f"'{verdict}'"},
    )


def _arm(manifest: Manifest) -> list[html.Span]:
    return [html.Span(manifest.arm, className=f"arm arm-{manifest.arm}")] if manifest.arm else []


def _arms(a: OpenRun, b: OpenRun) -> html.Div:
    """Both arms of the experiment, in the header where there is room."""

    def side(arm: str, run: OpenRun) -> html.A:
        name = facts.title(run.manifest)
        return html.A(
            [html.Span(arm, className=f"arm arm-{arm}"), html.Span(name, className="mono")], href=f"/run/{run.id}"
        )

    return html.Div([side("A", a), html.Span("vs", className="muted"), side("B", b)], className="header-context")


def _actions(opened: OpenRun, other: OpenRun | None) -> html.Div:
    """What can be done with the run, in the header where there is room."""
    runs = [other.id, opened.id] if other is not None else [opened.id]
    export = "/export?" + "&".join(f"run={run_id}" for run_id in runs)
    manifest = opened.manifest
    search = html.A("Capacity search", href=f"/capacity/{manifest.experiment}", className="button")
    return html.Div(
        [
            *([search] if is_of_search(manifest) else []),
            html.Button("Share link", className="button", **cards.attributes(data_share="")),
            html.A("Save report", href=export, className="button", download="", **cards.attributes(data_export=export)),
        ],
        className="header-actions",
    )


def _validity(opened: OpenRun) -> html.Span:
    if opened.state != "complete":
        return cards.pill(opened.state, tone="warn" if opened.state == "running" else "bad")
    verdict = opened.summary.validity.verdict
    return cards.pill("✓ valid", tone="good") if verdict == "VALID" else cards.pill(verdict.lower(), tone="warn")


def _pill(attainment: Attainment) -> html.Span:
    sign, tone = {True: ("✓", "good"), False: ("✕", "bad"), None: ("?", "plain")}[attainment.met]
    return cards.pill(f"{sign} {attainment.name}", tone=tone)


def _remarks(opened: OpenRun) -> list[html.Div]:
    """Why the figures are not, or not all, to be trusted."""
    remarks: list[html.Div] = []
    if opened.state == "running":
        remarks.append(cards.banner(["This run still goes on: ", html.A("watch it live", href="/"), "."], tone="warn"))
    elif opened.state != "complete":
        why = opened.manifest.reason or "its writer stopped without ending it"
        remarks.append(
            cards.banner(f"This run was {opened.state}: {why}. What follows is what it had measured.", tone="bad")
        )
    remarks += [
        cards.banner([html.Strong(reason.what), f": {reason.advice}"], tone="warn")
        for reason in opened.summary.validity.remarks
    ]
    return remarks


def _headline(opened: OpenRun) -> list[str | Component]:
    summary = opened.summary
    hit, miss = (summary.latency[p]["intended"] for p in ("hit", "miss"))
    said: list[str | Component] = [
        html.Strong(
            f"{readable.number(summary.throughput_rps, 'req/s')} at {readable.count(opened.manifest.users)} users. "
        )
    ]
    for name, latency in (("Misses", miss), ("Hits", hit)):
        told = [(p, latency.percentiles.get(p)) for p in ("p50", "p99")]
        known = ", ".join(f"{p} {readable.latency(ms)}" for p, ms in told if ms is not None)
        if known:
            said.append(f"{name}: {known}. ")
    if summary.failures:
        worst = max(summary.failures_by_reason.items(), key=lambda item: item[1], default=("", 0))
        failed = html.A(f"{readable.count(summary.failures)} failed", href=f"/errors/{opened.id}")
        said += [failed, f", most {worst[0]} ({readable.count(worst[1])})."]
    else:
        said.append(f"No failures in {readable.count(summary.requests)} requests.")
    return said


def _controls(view: RunView) -> html.Div:
    return html.Div(
        [
            dmc.SegmentedControl(
                id="run-show",
                value=view.population or "all",
                data=[
                    {"value": "all", "label": "All"},
                    {"value": "hit", "label": "Hits"},
                    {"value": "miss", "label": "Misses"},
                ],
                size="xs",
                **cards.attributes(aria_label="Population shown"),
            ),
            dmc.TextInput(
                id="run-slo",
                value=view.slo,
                leftSection="SLO",
                leftSectionWidth=46,
                debounce=400,
                size="xs",
                className="slo-input",
                **cards.attributes(aria_label="Service level objective"),
            ),
            dmc.TextInput(
                id="run-time",
                value="-".join(map(readable.elapsed, view.brush)) if view.brush else "",
                placeholder="all, or 0:30-1:00",
                leftSection="Time",
                leftSectionWidth=50,
                debounce=400,
                size="xs",
                className="time-input",
                **cards.attributes(aria_label="Stretch of load that the other figures show"),
            ),
            html.Span("or drag across latency over time", className="muted hint"),
        ],
        className="controls",
    )
