"""What stands where the address names a run that cannot be shown."""

from __future__ import annotations

from collections.abc import Callable

from dash import html
from dash.development.base_component import Component

from dash_app import cards
from reports.errors import RunDamaged, RunNotFound, StoreError


def missing(error: StoreError, address: Callable[[str], str]) -> html.Div:
    """Why the run is not there; where ids resemble it, links to ``address`` of each; the first steps where none is."""
    if isinstance(error, RunNotFound) and error.run_id == "latest":
        return first_run("Run")
    content: list[Component] = []
    if isinstance(error, RunNotFound):
        content.append(html.P(["Nothing is saved as ", html.Code(error.run_id), "."]))
        if error.nearest:
            links = [html.Li(html.A(run_id, href=address(run_id), className="mono")) for run_id in error.nearest]
            content += [html.P("Nearest to it:"), html.Ul(links)]
    else:
        content.append(html.P(_sentence(error)))
    title = "Damaged run" if isinstance(error, RunDamaged) else "No such run"
    content.append(html.P(html.A("All runs", href="/runs")))
    return html.Div(
        [html.Div(html.H1(title), className="page-head"), html.Section(content, className="empty")], className="page"
    )


def first_run(title: str) -> html.Div:
    """What stands where no run has been saved yet: what to do, and what will be here then."""
    return html.Div(
        [
            html.Div(html.H1(title), className="page-head"),
            cards.empty(
                "No runs yet",
                "A bench of two minutes leaves two here, sync and async. Watch them on the Live page as they run.",
                command="make bench",
            ),
        ],
        className="page",
    )


def _sentence(error: StoreError) -> str:
    said = str(error)
    return f"{said[:1].upper()}{said[1:]}."
