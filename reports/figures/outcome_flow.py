"""Where requests went: from the cache over Gemini's attempts to their outcome, as a flow."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
import pyarrow as pa
import pyarrow.compute as pc

from reports.figures.layout import bare_layout, nothing
from reports.figures.theme import Theme
from reports.readable import count
from reports.records.schema import HIT_CACHES

_NODES: Final = ("requests", "cache hit", "cache miss", "refused", "first try", "retried", "ok", "failed")

Mask = npt.NDArray[np.bool_]


def outcome_flow(aggregate: pa.Table, *, theme: Theme) -> go.Figure:
    """The measured requests by cache outcome, by Gemini attempts and by success; widths are counts.

    A failure carries no cache outcome: with an attempt spent it missed the cache, without one it was refused before
    Gemini was asked. Collapsed requests count as misses; they share another's attempts.
    """
    flows = _flows(aggregate.filter(aggregate["measured"]))
    if not flows:
        return nothing(theme, "No measured request yet")
    totals = dict.fromkeys(_NODES, 0)
    for (source, target), requests in flows.items():
        totals[target] += requests
        if source == "requests":
            totals[source] += requests
    shown = [node for node in _NODES if totals[node]]
    colours = {
        "requests": theme.muted,
        "cache hit": theme.hit,
        "cache miss": theme.miss,
        "refused": theme.bad,
        "first try": theme.miss,
        "retried": theme.attempts[2],
        "ok": theme.good,
        "failed": theme.bad,
    }
    figure = go.Figure(
        go.Sankey(
            arrangement="snap",
            textfont={"color": theme.text, "size": 12, "shadow": "none"},
            node={
                "label": [f"{node}<br>{count(totals[node])}" for node in shown],
                "color": [colours[node] for node in shown],
                "line": {"width": 0},
                "thickness": 10,
                "pad": 22,
                "hovertemplate": "%{label}<extra></extra>",
            },
            link={
                "source": [shown.index(source) for source, _ in flows],
                "target": [shown.index(target) for _, target in flows],
                "value": list(flows.values()),
                "color": [_faint(theme.bad if target == "failed" else colours[_by(s, target)]) for s, target in flows],
                "hovertemplate": "%{source.label} → %{target.label}<br>%{value:,} requests<extra></extra>",
            },
        ),
        layout=bare_layout(theme),
    )
    figure.update_layout(margin={"l": 8, "r": 8, "t": 20, "b": 24})
    return figure


def _flows(measured: pa.Table) -> dict[tuple[str, str], int]:
    """Requests by (from, to), zeros left out."""
    counts = measured["count"].to_numpy()
    status = measured["status"].to_numpy()
    attempts = measured["attempts"].to_numpy()
    ok = pc.equal(measured["error"], "").to_numpy() & (status >= 200) & (status < 300)
    hit = ok & pc.is_in(measured["cache"], pa.array(HIT_CACHES)).to_numpy()
    miss = ~hit & (ok | (attempts > 0))
    retried = miss & (attempts > 1)
    first = miss & ~retried

    def total(mask: Mask) -> int:
        return int(counts[mask].sum())

    flows = {
        ("requests", "cache hit"): total(hit),
        ("requests", "cache miss"): total(miss),
        ("requests", "refused"): total(~hit & ~miss),
        ("cache miss", "first try"): total(first),
        ("cache miss", "retried"): total(retried),
        ("cache hit", "ok"): total(hit),
        ("first try", "ok"): total(first & ok),
        ("retried", "ok"): total(retried & ok),
        ("first try", "failed"): total(first & ~ok),
        ("retried", "failed"): total(retried & ~ok),
        ("refused", "failed"): total(~hit & ~miss),
    }
    return {flow: requests for flow, requests in flows.items() if requests}


def _by(source: str, target: str) -> str:
    """The node whose colour a flow takes: the one that says more."""
    return target if source == "requests" else source


def _faint(colour: str) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.34)"
