"""All runs in one table: find, compare, mark and delete them."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import dash_ag_grid as dag
import dash_mantine_components as dmc
from dash import ClientsideFunction, Dash, Input, Output, State, ctx, dcc, html, no_update

from dash_app import cards
from dash_app.library import Library
from dash_app.missing import first_run
from dash_app.router import Page
from dash_app.runs.rows import digest, row
from dash_app.view import DEFAULT_SLO, RunsView
from reports.errors import StoreError
from reports.judge.slo import parse_slo
from reports.store.store import RunEntry

_REFRESH_MS = 5000

SLO = parse_slo(DEFAULT_SLO)
"""What the table judges every run by; a run's own page takes any other."""

_GRID_OPTIONS: dict[str, Any] = {
    "theme": {"function": "tailgateGridTheme(themeQuartz)"},
    "rowSelection": {"mode": "multiRow", "enableClickSelection": False},
    "animateRows": False,
    "suppressCellFocus": False,
    "ensureDomOrder": True,
    "tooltipShowDelay": 300,
    "localeText": {"noRowsToShow": "No run matches", "noMatchingRows": "No run matches"},
}


def register(app: Dash, library: Library) -> Page:
    """The page and its callbacks over ``library``."""

    async def layout(query: dict[str, str]) -> html.Div:
        entries = await asyncio.to_thread(library.entries)
        return _layout(entries, RunsView.of(query)) if entries else first_run("Runs")

    @app.callback(
        Output("runs-grid", "rowData"),
        Output("runs-seen", "data"),
        Output("runs-said", "children"),
        Output("runs-confirm", "opened"),
        Input("runs-refresh", "n_intervals"),
        Input("runs-tag-apply", "n_clicks"),
        Input("runs-baseline", "n_clicks"),
        Input("runs-delete-yes", "n_clicks"),
        State("runs-grid", "selectedRows"),
        State("runs-tags", "value"),
        State("runs-seen", "data"),
        prevent_initial_call=True,
    )
    async def change(
        _ticks: int,
        _tag: int | None,
        _baseline: int | None,
        _delete: int | None,
        selected: list[dict[str, Any]] | None,
        tags: list[str] | None,
        seen: str,
    ) -> tuple[Any, Any, Any, Any]:
        chosen = [row["id"] for row in selected or []]
        said = await asyncio.to_thread(_apply, library, ctx.triggered_id, chosen, tags or [])
        entries = await asyncio.to_thread(library.entries)
        now = digest(entries)
        rows = no_update if now == seen else [row(entry, SLO) for entry in entries]
        asked = ctx.triggered_id == "runs-delete-yes"  # a mere refresh leaves the question open
        return rows, now, (no_update if said is None else said), (False if asked else no_update)

    app.clientside_callback(
        ClientsideFunction("tailgate", "selection"),
        Output("runs-compare", "disabled"),
        Output("runs-baseline", "disabled"),
        Output("runs-delete", "disabled"),
        Output("runs-tag-apply", "disabled"),
        Output("runs-compare", "children"),
        Input("runs-grid", "selectedRows"),
    )
    app.clientside_callback(
        ClientsideFunction("tailgate", "confirmDelete"),
        Output("runs-confirm", "opened", allow_duplicate=True),
        Output("runs-confirm-what", "children"),
        Input("runs-delete", "n_clicks"),
        Input("runs-delete-no", "n_clicks"),
        State("runs-grid", "selectedRows"),
        prevent_initial_call=True,
    )
    app.clientside_callback(
        ClientsideFunction("tailgate", "compare"),
        Output("url", "href"),
        Input("runs-compare", "n_clicks"),
        State("runs-grid", "selectedRows"),
        prevent_initial_call=True,
    )
    app.clientside_callback(
        ClientsideFunction("tailgate", "quickFilter"),
        Output("runs-grid", "dashGridOptions"),
        Input("runs-filter", "value"),
        State("runs-grid", "dashGridOptions"),
        prevent_initial_call=True,
    )
    app.clientside_callback(
        ClientsideFunction("tailgate", "runsAddress"),
        Output("runs-address", "data"),
        Input("runs-filter", "value"),
        prevent_initial_call=True,
    )
    return Page(re.compile("/runs"), "Runs · Tailgate", layout)


def _layout(entries: list[RunEntry], view: RunsView) -> html.Div:
    damaged = sum(entry.damage is not None for entry in entries)
    said = f"{len(entries):,} runs, newest first" + (f" · {damaged:,} damaged" if damaged else "")
    toolbar = html.Div(
        [
            dmc.TextInput(
                id="runs-filter",
                placeholder="Filter",
                value=view.text,
                debounce=150,
                size="xs",
                className="filter",
                attributes={"input": {"data-filter": "", "aria-label": "Filter runs"}},
            ),
            html.Button("Compare", id="runs-compare", className="button", disabled=True),
            html.Button("Baseline", id="runs-baseline", className="button", disabled=True),
            html.Button("Delete", id="runs-delete", className="button", disabled=True),
            dmc.TagsInput(
                id="runs-tags",
                placeholder="Tags",
                size="xs",
                className="tags",
                **cards.attributes(aria_label="Tags to set"),
            ),
            html.Button("Set tags", id="runs-tag-apply", className="button", disabled=True),
        ],
        className="toolbar",
    )
    confirm = dmc.Modal(
        [
            html.P(id="runs-confirm-what"),
            html.Div(
                [
                    html.Button("Delete for good", id="runs-delete-yes", className="button danger"),
                    html.Button("Keep", id="runs-delete-no", className="button"),
                ],
                className="toolbar",
            ),
        ],
        id="runs-confirm",
        title="Delete runs?",
        centered=True,
    )
    return html.Div(
        [
            html.Div(
                [
                    html.Div([html.H1("Runs"), html.P(said, id="runs-said", className="subline", role="status")]),
                    toolbar,
                ],
                className="page-head",
            ),
            dag.AgGrid(
                id="runs-grid",
                rowData=[row(entry, SLO) for entry in entries],
                columnDefs=[_sorted(column, view) for column in _columns()],
                defaultColDef={"sortable": True, "resizable": True, "suppressMovable": True, "minWidth": 70},
                dashGridOptions={**_GRID_OPTIONS, "quickFilterText": view.text},
                eventListeners={"sortChanged": ["tailgateSorted(params)"]},
                getRowId="params.data.id",
                className="runs-grid",
                style={"height": None},
            ),
            confirm,
            dcc.Store(id="runs-seen", data=digest(entries)),
            dcc.Store(id="runs-address"),
            dcc.Interval(id="runs-refresh", interval=_REFRESH_MS),
        ],
        className="page",
    )


def _sorted(column: dict[str, Any], view: RunsView) -> dict[str, Any]:
    return {**column, "sort": view.order if column["field"] == view.column else None}


def _columns() -> list[dict[str, Any]]:
    def figure(field: str, name: str, width: int, read: str, tooltip: str) -> dict[str, Any]:
        return {
            "field": field,
            "headerName": name,
            "minWidth": width,
            "flex": 1,
            "type": "rightAligned",
            "headerTooltip": tooltip,
            "valueFormatter": {"function": f"tailgateRead('{read}', params.value)"},
            "sortingOrder": ["asc", "desc", None],
        }

    return [
        {
            "field": "id",
            "headerName": "Started (UTC)",
            "cellRenderer": "RunLink",
            # the cell shows more than its field: it is drawn again when its value changes only
            "valueGetter": {"function": "params.data.id + (params.data.baseline ? ' baseline' : '')"},
            "width": 164,
            "pinned": "left",
            "lockPinned": True,
        },
        {
            "field": "mode",
            "headerName": "Mode",
            "cellRenderer": "RunMode",
            "minWidth": 96,
            "flex": 1,
            "colSpan": {"function": "params.data.state === 'damaged' ? 14 : 1"},
        },
        {"field": "scenario", "headerName": "Scenario", "minWidth": 93, "flex": 1},
        {"field": "commit", "headerName": "Commit", "minWidth": 82, "flex": 1, "cellClass": "mono"},
        figure("users", "Users", 60, "count", "Simulated users held at once"),
        figure("rps", "req/s", 60, "number", "Requests completed by measured second"),
        figure("hit_p50", "Hit p50", 72, "latency", "Median latency of cache hits, from the intended start"),
        figure("hit_p99", "Hit p99", 74, "latency", "99th percentile of cache hits, from the intended start"),
        figure("miss_p50", "Miss p50", 82, "latency", "Median latency of cache misses, from the intended start"),
        figure("miss_p99", "Miss p99", 82, "latency", "99th percentile of cache misses, from the intended start"),
        figure("hit_share", "Hit share", 78, "share", "Cache hits in successful requests"),
        figure("attempts", "Attempts", 80, "ratio", "Gemini attempts by request that reached Gemini"),
        figure("failed", "Failed", 70, "share", "Failed requests in all"),
        {
            "field": "slo",
            "headerName": "SLO",
            "width": 50,
            "minWidth": 50,
            "cellRenderer": "RunSlo",
            "headerTooltip": DEFAULT_SLO,
        },
        {
            "field": "state",
            "headerName": "Validity",
            "cellRenderer": "RunState",
            "flex": 1,
            "minWidth": 138,
            "tooltipField": "remark",
        },
        {
            "field": "tags",
            "headerName": "Tags",
            "minWidth": 60,
            "flex": 1,
            "tooltipField": "tags",
            "valueFormatter": {"function": "params.value.join(', ')"},
        },
    ]


def _apply(library: Library, action: Any, chosen: list[str], tags: list[str]) -> str | None:
    """Do what a button asked for to the chosen runs; what to say about it, None for a mere refresh."""
    store = library.store
    try:
        if action == "runs-tag-apply":
            for run_id in chosen:
                store.tag(run_id, tags)
            return f"{_runs(chosen)} tagged {', '.join(tags)}" if tags else f"{_runs(chosen)} without tags"
        if action == "runs-baseline" and len(chosen) == 1:
            on = not store.open(chosen[0]).manifest.baseline
            store.set_baseline(chosen[0], on)
            return f"{chosen[0]} is {'now' if on else 'no longer'} the baseline of its scenario and mode"
        if action == "runs-delete-yes":
            for run_id in chosen:
                store.delete(run_id)
            return f"{_runs(chosen)} deleted"
    except (StoreError, OSError) as error:
        return str(error)
    return None


def _runs(chosen: list[str]) -> str:
    return "1 run" if len(chosen) == 1 else f"{len(chosen):,} runs"
