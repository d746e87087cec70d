"""The tables of a capacity search: its levels, and processes and hosts for many more users."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from dash import html

from dash_app import cards
from dash_app.capacity.searches import Search
from reports import readable
from reports.capacity.assess import Capacity, JudgedLevel, process_load
from reports.capacity.saved import host_of
from reports.capacity.search import LevelVerdict
from reports.capacity.sizing import TARGETS, assumptions, size_for
from reports.capacity.wording import attained

Judged = Mapping[str, tuple[Search, Capacity]]
"""Searches judged by one SLO, by arm: B, beside A where two are compared."""

_SAID: Final[dict[LevelVerdict, tuple[str, str]]] = {
    "holds": ("✓ holds", "good"),
    "misses": ("✕ misses", "bad"),
    "undecided": ("? undecided", "same"),
    "too-few-samples": ("? too few samples", "same"),
    "generator-bound": ("– generator limit", "same"),
    "invalid": ("– not valid", "same"),
}


def levels(judged: Judged) -> html.Table:
    """A row a level: what it says to the SLO, what was achieved, each threshold, and what the server used."""
    names = list(dict.fromkeys(a.name for _, c in judged.values() for one in c.levels for a in one.attainments))
    unit = next(iter(judged.values()))[1].unit
    heads = [unit, "verdict", "goodput", *names, "server CPU", "valid repeats"]
    rows = [
        _level(search, one, names, arm if len(judged) > 1 else "")
        for arm, (search, capacity) in judged.items()
        for one in capacity.levels
    ]
    return _table(heads, rows)


def _level(search: Search, one: JudgedLevel, names: list[str], arm: str) -> list[cards.Children]:
    said, tone = _SAID[one.verdict]
    by_name = {attainment.name: attainment for attainment in one.attainments}
    used = process_load(one.level)
    badge = [html.Span(arm, className=f"arm arm-{arm}")] if arm else []
    return [
        [html.A(readable.count(one.level.load), href=f"/run/{search.levels[one.level.load].id}"), *badge],
        html.Span(said, className=f"delta-{tone}"),
        readable.number(one.goodput, "req/s"),
        *(_attained(attained(by_name.get(name))) for name in names),
        readable.number(used.cores if used else None, "cores"),
        f"{len(one.level.valid)} of {len(one.level.repeats)}",
    ]


def _attained(told: tuple[str, str]) -> cards.Children:
    value, samples = told
    return [value, html.Span(samples, className="samples")] if samples else value


def sizes(judged: Judged) -> html.Div:
    """Processes and hosts for many more users from each search that has a size, with what has to be true for them."""
    parts = [_sizes(search, capacity, arm if len(judged) > 1 else "") for arm, (search, capacity) in judged.items()]
    return html.Div(parts, className="sizes")


def _sizes(search: Search, capacity: Capacity, arm: str) -> html.Div:
    process = capacity.process
    if process is None:
        return html.Div(html.P(f"No size for {search.title}: {_why_no_size(capacity)}.", className="muted"))
    host = host_of(search.first)
    rows: list[list[cards.Children]] = []
    for size in (size_for(target, process, host) for target in TARGETS):
        numbers = (readable.count(size.target), readable.count(size.processes), readable.count(size.hosts))
        rows.append([*numbers, readable.number(size.gemini_rps, "req/s")])
    assumed = html.Ul(
        [html.Li(sentence) for sentence in assumptions(process, host, capacity.unit)], className="assumed"
    )
    heads = [f"{capacity.unit} {arm}".strip(), "processes", "hosts", "to Gemini"]
    return html.Div([_table(heads, rows), assumed])


def _why_no_size(capacity: Capacity) -> str:
    if capacity.most.low is None:
        return "no level surely holds the SLO"
    return "what the server used is not known"


def _table(heads: list[str], rows: list[list[cards.Children]]) -> html.Table:
    head = html.Thead(html.Tr([html.Th(name, scope="col") for name in heads]))
    body = html.Tbody([html.Tr([html.Th(row[0], scope="row"), *(html.Td(cell) for cell in row[1:])]) for row in rows])
    return html.Table([head, body], className="figures-table")
