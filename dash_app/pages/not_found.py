"""What an address that leads nowhere shows."""

from __future__ import annotations

import re

from dash import html

from dash_app.router import Page


async def _layout(query: dict[str, str]) -> html.Div:
    return html.Div(
        [
            html.Div(html.H1("Nothing here"), className="page-head"),
            html.Section(
                html.P(["This address leads nowhere. ", html.A("All runs", href="/runs"), " are one step away."]),
                className="empty",
            ),
        ],
        className="page",
    )


PAGE = Page(re.compile(".*"), "Not found · Tailgate", _layout)
