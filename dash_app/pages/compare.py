"""Two runs side by side: the verdict that their intervals give, and what it stands on."""

from __future__ import annotations

import asyncio
import re
from typing import Any
from urllib.parse import urlencode

import dash_mantine_components as dmc
from dash import ClientsideFunction, Dash, Input, Output, State, dcc, html
from dash.development.base_component import Component

from dash_app import cards, facts, judging
from dash_app.compare import tables as compare_tables
from dash_app.compare.settings_diff import settings_diff
from dash_app.library import Library, OpenRun
from dash_app.missing import missing
from dash_app.router import Page
from reports import readable
from reports.compare.verdict import why_refused
from reports.errors import RunNotFound, StoreError
from reports.figures import THEMES, percentiles, relative_change
from reports.figures.arms_ecdf import arms_ecdf

_PAIRS_OFFERED = 8
_RUNS_OFFERED = 100


def register(app: Dash, library: Library) -> Page:
    """The page and its callbacks over ``library``."""

    async def layout(query: dict[str, str]) -> html.Div:
        asked = [query[name] for name in ("a", "b", "c") if query.get(name)]
        if len(asked) < 2:
            return _choose(await asyncio.to_thread(_experiments, library))
        try:
            opened = await asyncio.to_thread(lambda: [library.open(run_id) for run_id in asked])
        except StoreError as error:
            wrong = error.run_id if isinstance(error, RunNotFound) else None
            return missing(error, lambda near: address(*(near if run_id == wrong else run_id for run_id in asked)))
        return _layout(opened, await asyncio.to_thread(_choices, library, opened))

    @app.callback(
        Output("compare-percentiles", "figure"),
        Output("compare-ecdf", "figure"),
        Input("theme", "data"),
        State("compare-ids", "data"),
    )
    async def overlay(theme: str, ids: list[str]) -> list[Any]:
        tables = await asyncio.to_thread(lambda: [library.open(run_id).aggregate for run_id in ids])
        a, b, c = (*tables, None)[:3]
        return [percentiles(b, other=a, third=c, theme=THEMES[theme]), arms_ecdf(a, b, c=c, theme=THEMES[theme])]

    @app.callback(
        Output("compare-change", "figure"),
        Output("compare-verdict", "children"),
        Output("compare-differences", "children"),
        Input("theme", "data"),
        State("compare-ids", "data"),
    )
    async def judge(theme: str, ids: list[str]) -> tuple[Any, list[str | Component], Component]:
        comparison = await asyncio.to_thread(judging.compared, library, ids[0], ids[1])
        cautions = ". ".join(caution[:1].upper() + caution[1:] for caution in comparison.cautions)
        said: list[str | Component] = [html.Strong(comparison.sentence), f" {cautions}." if cautions else ""]
        return relative_change(comparison, theme=THEMES[theme]), said, compare_tables.differences(comparison)

    app.clientside_callback(
        ClientsideFunction("tailgate", "comparePair"),
        Output("url", "href", allow_duplicate=True),
        Input("compare-a", "value"),
        Input("compare-b", "value"),
        Input("compare-c", "value"),
        State("compare-ids", "data"),
        prevent_initial_call=True,
    )
    app.clientside_callback(
        ClientsideFunction("tailgate", "pin"),
        Output("compare-pin", "children"),
        Input("compare-pin", "n_clicks"),
        Input("compare-ids", "data"),
    )
    return Page(re.compile("/compare"), "Compare · Tailgate", layout)


def address(a: str, b: str, *more: str) -> str:
    """Where B is compared against A; one more run stays at hand as C."""
    return "/compare?" + urlencode(dict(zip("abc", (a, b, *more), strict=False)))


def _experiments(library: Library) -> list[tuple[str, str, str]]:
    """The newest pairs of arms: (A, B, what to call them)."""
    arms: dict[str, dict[str, Any]] = {}
    for entry in library.entries():
        manifest = entry.manifest
        if manifest is not None and manifest.experiment and manifest.arm:
            arms.setdefault(manifest.experiment, {})[manifest.arm] = manifest
    pairs = [(pair["A"], pair["B"]) for pair in arms.values() if len(pair) == 2]
    return [
        (a.id, b.id, f"{facts.title(a)} vs {facts.title(b)} · {a.scenario} · {a.started_at:%Y-%m-%d %H:%M} UTC")
        for a, b in pairs[:_PAIRS_OFFERED]
    ]


def _choices(library: Library, opened: list[OpenRun]) -> list[dict[str, str]]:
    """The runs that A or B can be changed for: those on the screen, and the newest that were measured."""
    shown = {run.id for run in opened}
    entries = [entry for entry in library.entries() if entry.summary is not None or entry.id in shown]
    kept = [entry for place, entry in enumerate(entries) if place < _RUNS_OFFERED or entry.id in shown]
    return [
        {
            "value": e.id,
            "label": f"{facts.title(e.manifest)} · {e.manifest.started_at:%m-%d %H:%M:%S} · {e.manifest.scenario}",
        }
        for e in kept
        if e.manifest is not None
    ]


def _choose(pairs: list[tuple[str, str, str]]) -> html.Div:
    """What stands where an address names fewer than two runs."""
    content: list[Any] = [html.P(["Select two in the ", html.A("table of runs", href="/runs"), "."])]
    if pairs:
        links = [html.Li(html.A(said, href=address(a, b))) for a, b, said in pairs]
        content += [html.P("Or one of the latest experiments:"), html.Ul(links)]
    else:
        content.append(cards.copyable("make bench"))
    return html.Div(
        [
            html.Div(html.H1("Compare"), className="page-head"),
            html.Section([html.H2("Which runs?"), *content], className="empty"),
        ],
        className="page",
    )


def _layout(opened: list[OpenRun], choices: list[dict[str, str]]) -> html.Div:
    a, b = opened[:2]
    refusal = why_refused(a.manifest, b.manifest, a.summary, b.summary)
    if a.id == b.id:
        refusal = "A and B are the same run"
    ids = [run.id for run in opened]
    return html.Div(
        [
            dcc.Store(id="compare-ids", data=ids),
            _sides(a, b),
            _actions(ids),
            html.Div(
                [
                    html.Div([html.H1("B against A"), html.P(_subline(a, b), className="subline")]),
                    html.Div(
                        [
                            _choice("A", a.id, choices),
                            _choice("B", b.id, choices),
                            _choice("C", ids[2] if len(ids) > 2 else None, choices, may_be_none=True),
                        ],
                        className="toolbar",
                    ),
                ],
                className="page-head",
            ),
            cards.banner(f"No verdict: {refusal}.", tone="warn")
            if refusal
            else html.P(id="compare-verdict", className="headline verdict-said"),
            *_third(opened),
            html.Div(_cards(a, b, judged=refusal is None), className="cards"),
        ],
        className="page" + (" unproven" if refusal else ""),
        style={"--verdict": "'NO VERDICT'"},
    )


def _subline(a: OpenRun, b: OpenRun) -> str:
    """What both runs share, then what each measured; why_refused has told of whatever they should share and do not."""
    sizes = [
        f"{arm} {facts.duration(window.measured_s)} measured, {readable.count(requests)} requests"
        for arm, window, requests in (
            ("A", a.summary.window, a.summary.requests),
            ("B", b.summary.window, b.summary.requests),
        )
    ]
    return " · ".join(
        [
            a.manifest.scenario,
            f"{readable.count(a.manifest.users)} users",
            f"seed {a.manifest.seed}",
            f"{a.manifest.environment.cpu_count} cores",
            *sizes,
        ]
    )


def _sides(a: OpenRun, b: OpenRun) -> html.Div:
    def side(arm: str, run: OpenRun) -> html.A:
        name = html.Span(facts.title(run.manifest), className="mono")
        return html.A([html.Span(arm, className=f"arm arm-{arm}"), name], href=f"/run/{run.id}")

    return html.Div([side("A", a), html.Span("vs", className="muted"), side("B", b)], className="header-context")


def _choice(arm: str, chosen: str | None, choices: list[dict[str, str]], *, may_be_none: bool = False) -> dmc.Select:
    return dmc.Select(
        id=f"compare-{arm.lower()}",
        value=chosen,
        data=choices,
        searchable=True,
        allowDeselect=may_be_none,
        clearable=may_be_none,
        placeholder="Third run",
        size="xs",
        leftSection=html.Span(arm, className=f"arm arm-{arm}"),
        className="run-choice",
        comboboxProps={"transitionProps": {"duration": 0}},
        **cards.attributes(aria_label=f"Run {arm}"),
    )


def _actions(ids: list[str]) -> html.Div:
    swap = html.A("Swap", href=address(ids[1], ids[0], *ids[2:]), className="button", **cards.attributes(data_key="S"))
    pin = html.Button(
        "Pin A",
        id="compare-pin",
        className="button",
        title="Keep A at hand: the table of runs then compares any single run with it",
        **cards.attributes(data_key="P"),
    )
    share = html.Button("Share link", className="button", **cards.attributes(data_share=""))
    export = f"/export?run={ids[0]}&run={ids[1]}"
    save = html.A("Save report", href=export, className="button", download="", **cards.attributes(data_export=export))
    return html.Div([swap, pin, share, save], className="header-actions")


def _third(opened: list[OpenRun]) -> list[html.P]:
    """Where three runs were chosen: the other two pairs, one click away."""
    if len(opened) < 3:
        return []
    a, b, c = opened
    return [
        html.P(
            [
                "The verdict is of A and B. Compare the third run, ",
                html.Span("C", className="arm arm-C"),
                " ",
                html.A(facts.title(c.manifest), href=f"/run/{c.id}"),
                ", ",
                html.A("against A", href=address(a.id, c.id, b.id)),
                " or ",
                html.A("against B", href=address(b.id, c.id, a.id)),
                ".",
            ],
            className="headline",
        )
    ]


def _cards(a: OpenRun, b: OpenRun, *, judged: bool) -> list[html.Section]:
    """The cards row by row; without a verdict those that would hold it are left out."""
    differing = settings_diff(a.manifest, b.manifest)
    rest = cards.card(
        "What differs",
        f"settings, server and machine; {differing.equal:,} more are equal",
        compare_tables.settings(differing),
        span=5 if judged else 12,
    )
    everything = cards.card(
        "Everything measured",
        "latency from the intended start, in brackets from the send",
        compare_tables.everything(a.summary, b.summary),
        span=12,
    )
    overlays = [_percentiles_card(4 if judged else 6), _ecdf_card(4 if judged else 6)]
    return (
        [_change_card(), *overlays, _differences_card(), rest, everything] if judged else [*overlays, rest, everything]
    )


def _differences_card() -> html.Section:
    return cards.card(
        "Latency, B against A",
        "from the intended start · all intervals hold together with 95%",
        html.Div(
            id="compare-differences",
            className="wide-table",
            tabIndex="0",
            role="group",
            **cards.attributes(aria_label="Changes with their intervals"),
        ),
        span=7,
        reading="The interval of the change decides, nothing else: where it holds 0% the runs cannot tell. "
        "'Could tell from' is the smallest change that these runs would have told.",
    )


def _change_card() -> html.Section:
    return cards.figure_card(
        "compare-change",
        "B relative to A",
        "change at each percentile · 95% block-bootstrap interval",
        span=4,
        height=300,
        reading="Below zero B is faster. Where the band holds zero, these runs cannot tell.",
    )


def _percentiles_card(span: int) -> html.Section:
    return cards.figure_card(
        "compare-percentiles",
        "Latency by percentile",
        "each run; tail drawn only as far as samples support",
        span=span,
        height=300,
        reading="The axis stretches the tail: p99.9 is as far from p99 as p99 from p90. Hits are drawn solid, misses "
        "dashed; a curve ends where fewer than ten samples lie beyond it.",
    )


def _ecdf_card(span: int) -> html.Section:
    return cards.figure_card(
        "compare-ecdf",
        "Cache hit vs miss",
        "share of requests finished within x; hits solid, misses dashed",
        span=span,
        height=300,
        reading="Read upwards from a time: so many per cent of the hits, or of the misses, of each run were "
        "answered within it.",
    )
