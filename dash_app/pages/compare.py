"""Two runs side by side: the verdict that their intervals give, and what it stands on."""

from __future__ import annotations

import asyncio
import re
from typing import Any
from urllib.parse import urlencode

from dash import Dash, Input, Output, State, dcc, html

from dash_app import cards, compare_tables, facts, judging
from dash_app.library import Library, OpenRun
from dash_app.router import Page
from dash_app.settings_diff import settings_diff
from reports.compare import why_refused
from reports.errors import RunDamaged, RunNotFound, StoreError
from reports.figures import THEMES, percentiles, relative_change
from reports.figures.arms_ecdf import arms_ecdf

_PAIRS_OFFERED = 8


def register(app: Dash, library: Library) -> Page:
    """The page and its callbacks over ``library``."""

    async def layout(query: dict[str, str]) -> html.Div:
        asked = [query[name] for name in ("a", "b", "c") if query.get(name)]
        if len(asked) < 2:
            return _choose(await asyncio.to_thread(_experiments, library))
        try:
            opened = await asyncio.to_thread(lambda: [library.open(run_id) for run_id in asked])
        except StoreError as error:
            return _not_there(error, asked)
        return _layout(opened)

    @app.callback(
        Output("compare-change", "figure"),
        Output("compare-percentiles", "figure"),
        Output("compare-ecdf", "figure"),
        Input("theme", "data"),
        State("compare-ids", "data"),
    )
    async def draw(theme: str, ids: list[str]) -> list[Any]:
        return await asyncio.to_thread(_figures, library, ids[0], ids[1], theme)

    @app.callback(
        Output("compare-verdict", "children"),
        Output("compare-differences", "children"),
        Input("compare-ids", "data"),
    )
    async def judge(ids: list[str]) -> tuple[list[Any], Any]:
        comparison = await asyncio.to_thread(judging.compared, library, ids[0], ids[1])
        said = [html.Strong(comparison.sentence), " " + ". ".join(_sentence(c) for c in comparison.cautions)]
        return said, compare_tables.differences(comparison)

    return Page(re.compile("/compare"), "Compare · Tailgate", layout)


def address(a: str, b: str, *more: str) -> str:
    """Where B is compared against A; one more run stays at hand as C."""
    return "/compare?" + urlencode(dict(zip("abc", (a, b, *more), strict=False)))


def _figures(library: Library, a: str, b: str, theme_name: str) -> list[Any]:
    theme = THEMES[theme_name]
    of_a, of_b = library.open(a).aggregate, library.open(b).aggregate
    return [
        relative_change(judging.compared(library, a, b), theme=theme),
        percentiles(of_b, other=of_a, theme=theme),
        arms_ecdf(of_a, of_b, theme=theme),
    ]


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


def _not_there(error: StoreError, asked: list[str]) -> html.Div:
    nearest = error.nearest if isinstance(error, RunNotFound) else []
    near: list[Any] = []
    if isinstance(error, RunNotFound) and nearest:
        instead = [[near if run_id == error.run_id else run_id for run_id in asked] for near in nearest]
        links = [
            html.Li(html.A(near, href=address(*ids), className="mono"))
            for near, ids in zip(nearest, instead, strict=True)
        ]
        near = [html.P("Compare with the nearest to it:"), html.Ul(links)]
    return html.Div(
        [
            html.H1("Damaged run" if isinstance(error, RunDamaged) else "No such run"),
            html.P(str(error), className="headline"),
            *near,
            html.P(html.A("All runs", href="/runs")),
        ],
        className="page",
    )


def _layout(opened: list[OpenRun]) -> html.Div:
    a, b = opened[:2]
    refusal = why_refused(a.manifest, b.manifest, a.summary, b.summary)
    if a.id == b.id:
        refusal = "A and B are the same run"
    ids = [run.id for run in opened]
    differing = settings_diff(a.manifest, b.manifest)
    return html.Div(
        [
            dcc.Store(id="compare-ids", data=ids),
            _sides(a, b),
            _actions(ids),
            html.Div(
                html.Div([html.H1("B against A"), html.P(_subline(a, b), className="subline")]), className="page-head"
            ),
            *([cards.banner(f"No verdict: {refusal}.", tone="warn")] if refusal else []),
            html.P(id="compare-verdict", className="headline", hidden=refusal is not None),
            *_third(opened),
            html.Div(
                [
                    _change_card(),
                    _percentiles_card(),
                    _ecdf_card(),
                    cards.card(
                        "Latency, B against A",
                        "from the intended start · intervals hold together with 95%",
                        html.Div(id="compare-differences", className="wide-table", tabIndex="0"),
                        span=7,
                        reading="The interval of the change decides, nothing else: where it holds 0% the runs cannot "
                        "tell. 'Could tell from' is the smallest change that these runs would have told.",
                    ),
                    cards.card(
                        "What differs",
                        f"settings, server and machine; {differing.equal:,} more are equal",
                        compare_tables.settings(differing),
                        span=5,
                    ),
                    cards.card(
                        "Everything measured",
                        "both runs by the same reckoning as python -m reports compare",
                        compare_tables.everything(a.summary, b.summary),
                        span=12,
                    ),
                ],
                className="cards",
            ),
        ],
        className="page" + (" unproven" if refusal else ""),
        style={"--verdict": "'NO VERDICT'"},
    )


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _subline(a: OpenRun, b: OpenRun) -> str:
    return f"{facts.subline(a.manifest, a.summary)} (A)  ·  {facts.subline(b.manifest, b.summary)} (B)"


def _sides(a: OpenRun, b: OpenRun) -> html.Div:
    def side(arm: str, run: OpenRun) -> html.A:
        name = html.Span(facts.title(run.manifest), className="mono")
        return html.A([html.Span(arm, className=f"arm arm-{arm}"), name], href=f"/run/{run.id}")

    return html.Div([side("A", a), html.Span("vs", className="muted"), side("B", b)], className="header-context")


def _actions(ids: list[str]) -> html.Div:
    swap = html.A("Swap", href=address(ids[1], ids[0], *ids[2:]), className="button", **cards.attributes(data_key="S"))
    share = html.Button("Share link", className="button", **cards.attributes(data_share=""))
    return html.Div([swap, share], className="header-actions")


def _third(opened: list[OpenRun]) -> list[html.P]:
    """Where three runs were chosen: the other two pairs, one click away."""
    if len(opened) < 3:
        return []
    a, b, c = opened
    name = facts.title(c.manifest)
    return [
        html.P(
            [
                f"Third run: {name}. Compare it ",
                html.A("against A", href=address(a.id, c.id, b.id)),
                " or ",
                html.A("against B", href=address(b.id, c.id, a.id)),
                ".",
            ],
            className="headline",
        )
    ]


def _change_card() -> html.Section:
    return cards.figure_card(
        "compare-change",
        "B relative to A",
        "change at each percentile · 95% block-bootstrap interval",
        span=4,
        height=300,
        reading="Below zero B is faster. Where the band holds zero, these runs cannot tell.",
    )


def _percentiles_card() -> html.Section:
    return cards.figure_card(
        "compare-percentiles",
        "Latency by percentile",
        "both runs; tail drawn only as far as samples support",
        span=4,
        height=300,
        reading="The axis stretches the tail: p99.9 is as far from p99 as p99 from p90. Hits are drawn solid, misses "
        "dashed; a curve ends where fewer than ten samples lie beyond it.",
    )


def _ecdf_card() -> html.Section:
    return cards.figure_card(
        "compare-ecdf",
        "Cache hit vs miss",
        "share of requests finished within x; hits solid, misses dashed",
        span=4,
        height=300,
        reading="Read upwards from a time: so many per cent of the hits, or of the misses, of either run were "
        "answered within it.",
    )
