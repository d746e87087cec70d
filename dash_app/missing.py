"""What stands where the address names a run that cannot be shown."""

from __future__ import annotations

from collections.abc import Callable

from dash import html
from dash.development.base_component import Component

from reports.errors import RunDamaged, RunNotFound, StoreError


def missing(error: StoreError, address: Callable[[str], str]) -> html.Div:
    """Why the run is not there; where ids resemble it, links to ``address`` of each."""
    near: list[Component] = []
    if isinstance(error, RunNotFound) and error.nearest:
        links = [html.Li(html.A(run_id, href=address(run_id), className="mono")) for run_id in error.nearest]
        near = [html.P("Nearest to it:"), html.Ul(links)]
    return html.Div(
        [
            html.H1("Damaged run" if isinstance(error, RunDamaged) else "No such run"),
            html.P(str(error), className="headline"),
            *near,
            html.P(html.A("All runs", href="/runs")),
        ],
        className="page",
    )
