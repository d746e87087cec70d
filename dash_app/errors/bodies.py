"""What the server said when it failed: samples of its replies, as text, whatever stands in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import orjson
from dash import html
from dash.development.base_component import Component

from dash_app.facts import size
from reports import readable
from reports.figures.failures import ReasonStyle
from reports.records.error_bodies import ErrorBody


def samples(
    bodies: Sequence[ErrorBody], started_s: float, styles: Mapping[str, ReasonStyle], reason: str | None
) -> Component:
    """The kept replies, or those of one ``reason``; ``started_s``: the run's start in s since the epoch."""
    shown = [body for body in bodies if reason in (None, body.reason)]
    if not shown:
        return html.P("None was kept: these failed without a reply, or the run is older.", className="muted")
    alike: dict[tuple[str, int, str], list[ErrorBody]] = {}
    for body in shown:
        alike.setdefault((body.reason, body.status, body.body), []).append(body)
    said = [_sample(same[0], len(same), started_s, styles.get(same[0].reason)) for same in alike.values()]
    return html.Ol(said, className="bodies")


def _sample(body: ErrorBody, times: int, started_s: float, style: ReasonStyle | None) -> html.Li:
    square = [html.Span(className="square", style={"background": style.colour})] if style else []
    kept = len(body.body.encode())
    cut = f", the first {size(kept)} of {size(body.bytes)}" if body.bytes > kept else ""
    alike = f", {times} alike" if times > 1 else ""
    said = f" {body.status} at {readable.elapsed(body.time - started_s)}{alike}{cut}"
    return html.Li([html.P([*square, html.Strong(body.reason), said]), html.Pre(_laid_out(body.body), tabIndex="0")])


def _laid_out(text: str) -> str:
    """JSON over several lines; anything else as it came."""
    try:
        return orjson.dumps(orjson.loads(text), option=orjson.OPT_INDENT_2).decode()
    except orjson.JSONDecodeError:
        return text
