"""The parts of a run that differ by design, in users or in faults: a table each, none for a run that has none."""

from __future__ import annotations

from collections.abc import Iterator

from dash import html

from dash_app import cards
from reports.summary.rows import PHASE_COLUMNS, phase_rows
from reports.summary.summary import Summary


def phase_cards(summary: Summary) -> Iterator[html.Section]:
    """A card for each way in which the run changed by design."""
    for what, rows in phase_rows(summary).items():
        title = f"By {what}"
        table = html.Div(
            cards.figures_table([what, *PHASE_COLUMNS], rows),
            className="scroll wide-table",
            tabIndex="0",
            role="group",
            **cards.attributes(aria_label=title),
        )
        yield cards.card(
            title,
            "hits and misses: p50, p99 from the intended start (n)",
            table,
            span=12,
            reading="The run changed by design, so a percentile of all of it describes no part of it. "
            "Seconds are of each block's measured window.",
        )
