"""What runs cost, on the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from reports.cost.pricing import Cost, Prices, cost_of
from reports.readable import count, number, share
from reports.store.run import Run


def print_costs(console: Console, runs: Sequence[Run], prices: Prices) -> None:
    """A line a run: spent and saved, per thousand successes and per hour at the measured rate."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("run", overflow="fold")
    for name in ("priced as", "tokens", f"{prices.currency}/1000 req", f"{prices.currency}/h", "saved/h by the cache"):
        table.add_column(name, justify="right")
    for run in runs:
        summary, server = run.summary(), run.manifest.server
        cost = cost_of(summary, server.config if server else {}, prices)
        tokens = summary.tokens.prompt + summary.tokens.output
        table.add_row(run.manifest.id, *_cells(cost, tokens))
    console.print(table)
    note = (
        f"Prices of {prices.as_of}, from reports/cost/prices.toml unless --prices says otherwise: check and edit them."
    )
    console.print(Text(note, "dim"))


def _cells(cost: Cost | None, tokens: int) -> tuple[str, ...]:
    if cost is None:
        return ("the server says no tokens",)
    saved = f"{number(cost.saved_per_hour)} ({share(cost.saved_share)})"
    return cost.model, count(tokens), number(cost.per_thousand), number(cost.per_hour), saved
