"""What pages are laid out with: cards of a figure, of one number, of plain content, and the states in between."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from dash import dcc, html
from dash.development.base_component import Component

Children = str | Component | Sequence[str | Component]


def attributes(**named: str) -> dict[str, Any]:
    """HTML attributes whose names have dashes: ``attributes(aria_label="x")`` is ``{"aria-label": "x"}``."""
    return {name.replace("_", "-"): value for name, value in named.items()}


GRAPH_CONFIG: Any = {
    "displayModeBar": False,
    "displaylogo": False,
    "responsive": True,
    "doubleClick": "reset",
    "showTips": False,
}

BLANK: dict[str, Any] = {
    "data": [],
    "layout": {
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "xaxis": {"visible": False},
        "yaxis": {"visible": False},
    },
}
"""What a graph shows before its figure has come: nothing, in any theme."""


def card(
    title: str,
    subtitle: Children,
    body: Children,
    *,
    span: int,
    reading: str | None = None,
    figure_id: str | None = None,
) -> html.Section:
    """A titled card, ``span`` twelfths wide on a wide screen.

    ``reading`` is how to read the card, behind its question mark; with ``figure_id`` the same place offers the figure
    as a file.
    """
    head: list[Component] = [html.Div([html.H2(title), html.P(subtitle, className="subline")])]
    if reading is not None:
        head.append(_how_to_read(title, reading, figure_id))
    return html.Section([html.Header(head), html.Div(body, className="card-body")], className=f"card span-{span}")


def figure_card(
    figure_id: str, title: str, subtitle: str, *, span: int, reading: str, height: int = 260
) -> html.Section:
    """A card around one graph, empty until a callback fills ``figure_id``. ``height`` is the least, in px."""
    graph = dcc.Graph(
        id=figure_id,
        figure=BLANK,
        config=GRAPH_CONFIG,
        responsive=True,
        className="figure",
        style={"minHeight": height},
    )
    return card(title, subtitle, graph, span=span, reading=reading, figure_id=figure_id)


def _how_to_read(title: str, reading: str, figure_id: str | None) -> html.Details:
    content: list[Component] = [html.P(reading)]
    if figure_id is not None:
        content.append(
            html.Div(
                [
                    html.Button(
                        f"Save {kind.upper()}",
                        className="small-button",
                        **attributes(data_save=kind, data_figure=figure_id),
                    )
                    for kind in ("svg", "png")
                ],
                className="reading-actions",
            )
        )
    summary = html.Summary("?", **attributes(aria_label=f"How to read: {title}"))
    return html.Details([summary, html.Div(content, className="reading")], className="how")


def kpi(
    label: str, value: str, unit: str, *, note: Children = "", spark: str | None = None, spark_says: str = ""
) -> html.Section:
    """One number with its unit, what it is of, and its course over time.

    ``spark`` is an SVG used as a mask, so that it takes the theme's colour; ``spark_says`` tells it in words.
    """
    children: list[Component] = [
        html.H2(label),
        html.P([html.Span(value, className="kpi-value"), html.Span(unit, className="kpi-unit")]),
        html.P(note, className="kpi-note"),
    ]
    if spark is not None:
        mask = f'url("data:image/svg+xml,{quote(spark)}")'
        children.append(
            html.Div(
                className="kpi-spark",
                role="img",
                style={"maskImage": mask, "WebkitMaskImage": mask},
                **attributes(aria_label=spark_says),
            )
        )
    return html.Section(children, className="kpi")


def facts(pairs: Sequence[tuple[str, Children]]) -> html.Dl:
    """Names and values, two columns."""
    return html.Dl([part for name, value in pairs for part in (html.Dt(name), html.Dd(value))], className="facts")


def figures_table(heads: Sequence[Children], rows: Sequence[Sequence[Children]]) -> html.Table:
    """Rows of figures under their heads; the first of each row is its name, the first of the heads may be empty."""
    head = html.Thead(html.Tr([html.Th(name, scope="col") if name else html.Td() for name in heads]))
    body = html.Tbody([html.Tr([html.Th(row[0], scope="row"), *(html.Td(cell) for cell in row[1:])]) for row in rows])
    return html.Table([head, body], className="figures-table")


def empty(title: str, text: Children, *, command: str | None = None) -> html.Section:
    """What stands where there is nothing to show: why, and the command that changes it."""
    children: list[Component] = [html.H2(title), html.P(text)]
    if command is not None:
        children.append(copyable(command))
    return html.Section(children, className="empty")


def copyable(command: str) -> html.Div:
    """A command with a button that copies it."""
    return html.Div(
        [html.Code(command), html.Button("Copy", className="small-button", **attributes(data_copy=command))],
        className="command",
    )


def banner(text: Children, *, tone: str) -> html.Div:
    """A line across the page; ``tone`` is ``warn`` or ``bad``."""
    return html.Div(text, className=f"banner {tone}", role="status")


def pill(text: str, *, tone: str) -> html.Span:
    """A short verdict; ``tone`` is ``good``, ``warn``, ``bad`` or ``plain``. The text must tell it without colour."""
    return html.Span(text, className=f"pill {tone}")
