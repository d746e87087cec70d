"""Runs."""

from __future__ import annotations

from dash import Dash, html, register_page

from dash_app.settings import Settings


def register(app: Dash, settings: Settings) -> None:
    """Runs."""
    register_page(
        "dash_app.pages.runs",
        path="/runs",
        title="Runs · Tailgate",
        layout=html.Div([html.H1("Runs")], className="page"),
    )
