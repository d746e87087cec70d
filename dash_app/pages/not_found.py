"""What an address that leads nowhere shows."""

from __future__ import annotations

from dash import Dash, html, register_page

from dash_app.settings import Settings


def register(app: Dash, settings: Settings) -> None:
    """Put the page in the place where Dash looks for it."""
    register_page("dash_app.pages.not_found_404", path="/404", title="Not found · Tailgate", layout=layout())


def layout() -> html.Div:
    """A short way back."""
    return html.Div(
        [
            html.H1("Nothing here"),
            html.P(["This address leads nowhere. ", html.A("All runs", href="/runs"), " are one step away."]),
        ],
        className="page",
    )
