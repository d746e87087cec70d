"""The tables of a comparison: changes with their intervals, every figure of both runs, and the settings that differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from dash import html

from dash_app import cards
from dash_app.compare.settings_diff import Differences
from reports import readable
from reports.compare.comparison import Comparison, Difference
from reports.summary.rows import summary_rows
from reports.summary.summary import Summary

_TONE: Final = {"faster": "good", "slower": "bad", "cannot tell": "same"}
_SIGN: Final = {"faster": "▼", "slower": "▲", "cannot tell": "?"}


def differences(comparison: Comparison) -> html.Table | html.P:
    """A row a population and percentile: both values, the change with its interval, and what that says."""
    if not comparison.differences:
        return html.P("Too few samples for intervals.", className="muted")
    return _table(
        ("", "A", "B", "change", "95% interval", "verdict", "could tell from"),
        [_difference(d) for d in comparison.differences],
    )


def _difference(d: Difference) -> list[cards.Children]:
    return [
        html.Span([html.Span(className=f"swatch {d.population}"), f"{d.population} {d.percentile}"]),
        readable.latency(d.a_ms),
        readable.latency(d.b_ms),
        readable.change(d.ratio),
        f"{readable.change(d.low)} … {readable.change(d.high)}",
        html.Span(f"{_SIGN[d.direction]} {d.direction}", className=f"delta-{_TONE[d.direction]}"),
        readable.either_way(d.detectable),
    ]


def everything(a: Summary, b: Summary) -> html.Div:
    """Every figure of both summaries, latency from the intended start and in brackets from the send."""
    groups = [
        _table(("", "A", "B", "B / A"), [[row.name.strip(), *map(_unbroken, row.texts), row.ratio] for row in group])
        for group in summary_rows([a, b])
        if group
    ]
    return html.Div(groups, className="table-columns")


def settings(found: Differences) -> html.Div | html.P:
    """The settings that differ, or that none does."""
    if not found.changed:
        return html.P(f"Nothing: all {found.equal:,} settings are equal.", className="muted")
    return html.Div(
        _table(("", "A", "B"), [[html.Span(name, className="mono"), a, b] for name, a, b in found.changed]),
        className="scroll wide-table settings-diff",
        tabIndex="0",
        role="group",
        **cards.attributes(aria_label="Settings that differ"),
    )


def _table(names: Sequence[str], rows: Sequence[Sequence[cards.Children]]) -> html.Table:
    return cards.figures_table([_name(name) for name in names], rows)


def _name(name: str) -> cards.Children:
    return html.Span(name, className=f"arm arm-{name}") if name in ("A", "B") else name


def _unbroken(text: str) -> str:
    """A figure that breaks before its bracket only, where the column is narrow."""
    return text.replace(" ", "\u00a0").replace("\u00a0(", " (")
