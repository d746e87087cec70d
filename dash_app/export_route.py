"""`/export`: a run, or two compared, as one HTML file to keep."""

from __future__ import annotations

import asyncio

from fastapi import FastAPI, Request, Response

from dash_app.library import Library
from reports.errors import StoreError
from reports.figures import DARK, THEMES
from reports.views.export import export_html

_MOST_RUNS = 2


def add_route(server: FastAPI, library: Library) -> None:
    """Register the route; before Dash's catch-all, which takes every path that is left."""

    @server.get("/export", include_in_schema=False)
    async def export(request: Request) -> Response:
        """`?run=<id>[&run=<id>][&theme=light]`: the report as a download; a run that is not there is one line."""
        ids = request.query_params.getlist("run")
        if not 1 <= len(ids) <= _MOST_RUNS:
            return Response("give one run to export, or two to compare: /export?run=ID\n", 400, media_type="text/plain")
        theme = THEMES.get(request.query_params.get("theme", ""), DARK)
        try:
            runs = [library.store.open(run_id) for run_id in ids]
            page = await asyncio.to_thread(export_html, runs, theme)
        except StoreError as error:
            return Response(f"{error}\n", 404, media_type="text/plain")
        name = "-vs-".join(ids)
        headers = {"Content-Disposition": f'attachment; filename="tailgate-{name}.html"', "Cache-Control": "no-store"}
        return Response(page, media_type="text/html", headers=headers)
