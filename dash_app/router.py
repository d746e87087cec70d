"""From an address to a page.

Dash's own pages want their layouts synchronous unless a package of Flask's is there, which would read runs on the event
loop, and let a query parameter replace a part of the path. This router is shorter than the work around both.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote

from dash import ClientsideFunction, Dash, Input, Output, html
from dash.development.base_component import Component

LOG = logging.getLogger("dash_app")

Layout = Callable[..., Awaitable[Component]]


@dataclass(frozen=True, slots=True)
class Page:
    """A page: its address, the browser's title for it, and its layout.

    ``layout`` gets the named groups of ``path`` that matched as keyword arguments, and the query as ``query``: a dict
    of the last value given to each name.
    """

    path: re.Pattern[str]
    title: str
    layout: Layout


def register(app: Dash, pages: Sequence[Page], not_found: Page) -> None:
    """Fill ``content`` with the page of the address in ``url``; ``not_found`` takes every other path."""

    @app.callback(
        Output("content", "children"),
        Output("title", "data"),
        Input("url", "pathname"),
        Input("url", "search"),
    )
    async def show(pathname: str | None, search: str | None) -> tuple[Component, str]:
        page, arguments = match(pathname or "/", pages, not_found)
        try:
            content = await page.layout(query=dict(parse_qsl((search or "").lstrip("?"))), **arguments)
        except Exception:  # a fault of ours: told where it can be read, and the app goes on
            LOG.exception("the page at %s could not be made", pathname)
            return _fault(), "Fault · Tailgate"
        return content, page.title

    app.clientside_callback(
        ClientsideFunction("tailgate", "title"), Output("title", "modified_timestamp"), Input("title", "data")
    )


def _fault() -> html.Div:
    return html.Div(
        [
            html.H1("This page could not be made"),
            html.P("That is a fault of Tailgate. What went wrong stands where python -m dash_app was started."),
            html.P(html.A("All runs", href="/runs")),
        ],
        className="page",
    )


def match(pathname: str, pages: Sequence[Page], not_found: Page) -> tuple[Page, dict[str, Any]]:
    """The page of a path and what its address says; a closing slash makes no difference."""
    path = pathname.rstrip("/") or "/"
    for page in pages:
        if found := page.path.fullmatch(path):
            return page, {name: unquote(value) for name, value in found.groupdict().items() if value}
    return not_found, {}
