"""A capacity search: the most users within an SLO that the reader may change, the knee, the law, and larger sizes."""

from __future__ import annotations

import asyncio
import re
from typing import Any, Final

import dash_mantine_components as dmc
from dash import ClientsideFunction, Dash, Input, Output, State, dcc, html, no_update

from dash_app import cards, facts, judging
from dash_app.capacity import facts as capacity_facts
from dash_app.capacity import tables as capacity_tables
from dash_app.capacity.searches import Search, search, searches
from dash_app.library import Library
from dash_app.missing import missing
from dash_app.router import Page
from reports import readable
from reports.capacity.assess import MIN_LEVELS
from reports.errors import StoreError
from reports.figures import THEMES
from reports.figures.capacity_knee import capacity_knee
from reports.figures.throughput_by_load import throughput_by_load
from reports.judge.slo import SloError, parse_slo

_STEP: Final = 0.01
"""Of the slider, in log10 ms: 2.3%."""

_LIMITS: Final = (0.0, 5.0)
"""From 1 ms to 100 s, in log10 ms."""

_MARKS: Final = tuple(
    (float(place), readable.latency(10.0**place).replace(".00", "").replace(".0", "")) for place in range(6)
)

_SLO_LENGTH: Final = 200


def register(app: Dash, library: Library) -> Page:
    """The page and its callbacks over ``library``."""

    async def layout(query: dict[str, str], name: str | None = None) -> html.Div:
        known = await asyncio.to_thread(searches, library)
        if name is None and not known:
            return _none_yet()
        try:
            chosen = known[0] if name in (None, "latest") and known else search(library, name or "latest")
            other = search(library, query["b"]) if query.get("b") else None
        except StoreError as error:
            return missing(error, lambda near: f"/capacity/{near}")
        if len(chosen.levels) < MIN_LEVELS:
            return _too_few(chosen)
        return _layout(chosen, other, known, query.get("slo", chosen.slo)[:_SLO_LENGTH])

    @app.callback(
        Output("capacity-knee", "figure"),
        Output("capacity-growth", "figure"),
        Output("capacity-said", "children"),
        Output("capacity-kpis", "children"),
        Output("capacity-levels", "children"),
        Output("capacity-sizes", "children"),
        Output("capacity-slo", "error"),
        Input("theme", "data"),
        Input("capacity-slo", "value"),
        State("capacity-ids", "data"),
    )
    async def draw(theme: str, expression: str, ids: list[str]) -> tuple[Any, ...]:
        return await asyncio.to_thread(_draw, library, theme, expression, ids)

    app.clientside_callback(
        ClientsideFunction("tailgate", "capacitySlo"),
        Output("capacity-slo", "value"),
        Output("capacity-limit", "value"),
        Output("capacity-limit", "disabled"),
        Input("capacity-limit", "value"),
        Input("capacity-slo", "value"),
    )
    app.clientside_callback(
        ClientsideFunction("tailgate", "capacityBeside"),
        Output("url", "href", allow_duplicate=True),
        Input("capacity-beside", "value"),
        State("capacity-ids", "data"),
        prevent_initial_call=True,
    )
    return Page(re.compile("/capacity(?:/(?P<name>.+))?"), "Capacity · Tailgate", layout)


def _draw(library: Library, theme_name: str, expression: str, ids: list[str]) -> tuple[Any, ...]:
    """Everything on the page that an SLO decides; only what is wrong with it where it cannot be read."""
    try:
        slo = parse_slo(expression)
    except SloError as error:
        return (*[no_update] * 6, str(error))
    found = [search(library, name) for name in ids]
    judged = {
        arm: (one, judging.capacity(library, one.run_ids, slo))
        for arm, one in zip("AB" if len(found) > 1 else "B", found, strict=True)
    }
    theme = THEMES[theme_name]
    drawn = {
        arm: (f"{arm} {one.first.mode}" if len(found) > 1 else one.first.mode, capacity)
        for arm, (one, capacity) in judged.items()
    }
    return (
        capacity_knee(drawn, theme=theme),
        throughput_by_load(drawn, theme=theme),
        capacity_facts.said(judged),
        capacity_facts.strip(judged),
        capacity_tables.levels(judged),
        capacity_tables.sizes(judged),
        "",
    )


def _none_yet() -> html.Div:
    return html.Div(
        [
            html.Div(html.H1("Capacity"), className="page-head"),
            cards.empty(
                "No capacity search yet",
                "One raises the load level by level until the SLO is missed, then closes in on the limit: how many "
                "users the server holds, and at which latency.",
                command="make capacity",
            ),
        ],
        className="page",
    )


def _too_few(chosen: Search) -> html.Div:
    """Fewer levels than a curve takes: what to run for more."""
    first = chosen.first
    levels = "1 level" if len(chosen.levels) == 1 else f"{len(chosen.levels)} levels"
    mode = "" if first.mode == "async" else f" MODE={first.mode}"
    return html.Div(
        [
            html.Div(html.H1(f"Capacity of {chosen.title}"), className="page-head"),
            cards.empty(
                f"{levels} measured, {MIN_LEVELS} are needed",
                [
                    "Neither a limit nor a knee can be read from ",
                    *_links(chosen),
                    ". A capacity search tries as many levels as it takes:",
                ],
                command=f"make capacity SCENARIO={first.scenario}{mode} SLO='{chosen.slo}'",
            ),
        ],
        className="page",
    )


def _links(chosen: Search) -> list[Any]:
    links: list[Any] = []
    for load in sorted(chosen.levels):
        text = f"{readable.count(load)} {chosen.unit}"
        links += [" and " if links else "", html.A(text, href=f"/run/{chosen.levels[load].id}")]
    return links


def _layout(chosen: Search, other: Search | None, known: list[Search], expression: str) -> html.Div:
    arms = [("A", chosen), ("B", other)] if other is not None else []
    context = [
        part
        for arm, one in arms
        if one is not None
        for part in (
            html.Span("vs", className="muted") if arm == "B" else None,
            html.A(
                [html.Span(arm, className=f"arm arm-{arm}"), html.Span(one.title, className="mono")],
                href=f"/capacity/{one.id}",
            ),
        )
        if part is not None
    ]
    share = html.Button("Share link", className="button", **cards.attributes(data_share=""))
    return html.Div(
        [
            dcc.Store(id="capacity-ids", data=[chosen.id] + ([other.id] if other else [])),
            *([html.Div(context, className="header-context")] if context else []),
            html.Div(share, className="header-actions"),
            html.Div(
                [
                    html.Div([html.H1(f"Capacity of {chosen.title}"), html.P(_subline(chosen), className="subline")]),
                    _beside(chosen, other, known),
                ],
                className="page-head",
            ),
            html.Div(id="capacity-said"),
            html.Div(id="capacity-kpis"),
            _controls(expression),
            html.Div(_cards(), className="cards"),
        ],
        className="page",
    )


def _subline(chosen: Search) -> str:
    first = chosen.first
    loads = sorted(chosen.levels)
    return " · ".join(
        [
            first.scenario,
            f"{len(loads)} levels, {readable.count(loads[0])} to {readable.count(loads[-1])} {chosen.unit}",
            f"{facts.duration(first.duration_s)} a repeat",
            f"seed {first.seed}",
            f"{first.environment.cpu_count} cores",
            f"started {first.started_at:%Y-%m-%d %H:%M} UTC",
        ]
    )


def _beside(chosen: Search, other: Search | None, known: list[Search]) -> dmc.Select:
    """The searches that can be laid beside this one: all that count their load in the same unit."""
    offered = [one for one in known if one.id != chosen.id and one.unit == chosen.unit]
    return dmc.Select(
        id="capacity-beside",
        value=other.id if other is not None else None,
        data=[
            {"value": one.id, "label": f"{one.title} · {one.first.started_at:%m-%d %H:%M} · {one.first.scenario}"}
            for one in offered
        ],
        placeholder="Beside another search",
        clearable=True,
        disabled=not offered,
        size="xs",
        className="run-choice",
        comboboxProps={"transitionProps": {"duration": 0}},
        **cards.attributes(aria_label="Another search beside this one"),
    )


def _controls(expression: str) -> html.Div:
    return html.Div(
        [
            dmc.TextInput(
                id="capacity-slo",
                value=expression,
                leftSection="SLO",
                leftSectionWidth=46,
                debounce=400,
                size="xs",
                className="slo-input",
                **cards.attributes(aria_label="Service level objective"),
            ),
            dmc.Slider(
                id="capacity-limit",
                min=_LIMITS[0],
                max=_LIMITS[1],
                step=_STEP,
                value=_LIMITS[1],
                marks=[{"value": place, "label": name} for place, name in _MARKS],
                label={"function": "tailgateLimit"},
                thumbLabel="Latency limit of the SLO",
                size="sm",
                className="limit-slider",
            ),
        ],
        className="controls",
    )


def _cards() -> list[html.Section]:
    return [
        cards.figure_card(
            "capacity-knee",
            "Capacity",
            "the latency that the SLO binds, against what was achieved; one dot a level",
            span=6,
            height=340,
            reading="Numbers are the load of each dot. Filled dots surely hold the SLO, open ones miss it or cannot be "
            "decided, small ones are single repeats. Where the curve turns upwards more load adds waiting only.",
        ),
        cards.figure_card(
            "capacity-growth",
            "Throughput by load",
            "one dot a valid repeat, filled where the SLO holds; the Universal Scalability Law with its 95% band",
            span=6,
            height=340,
            reading="Dotted lines are growth in proportion and the highest throughput; they cross at the knee, whose "
            "interval is shaded. The law is drawn only where it describes the measurements.",
        ),
        cards.card(
            "Levels",
            "pooled over valid repeats; a verdict needs all repeats to agree beyond doubt",
            html.Div(
                id="capacity-levels",
                className="wide-table",
                tabIndex="0",
                role="group",
                **cards.attributes(aria_label="Levels"),
            ),
            span=12,
        ),
        cards.card(
            "Sizes for many more",
            "calculated from the most that surely holds, not measured",
            html.Div(id="capacity-sizes", className="wide-table"),
            span=12,
        ),
    ]
