"""What a capacity search found, in words and key figures."""

from __future__ import annotations

from collections.abc import Sequence

from dash import html
from dash.development.base_component import Component

from dash_app import cards
from dash_app.capacity.tables import Judged
from dash_app.run.kpis import apart
from reports import readable
from reports.capacity.assess import Capacity
from reports.capacity.wording import cautions, knee_sentence, law_sentence, limit_sentence


def said(judged: Judged) -> list[Component]:
    """The limit of each search, then knee, law and what to be wary of."""
    told: list[Component] = []
    for arm, (search, capacity) in judged.items():
        badge: list[str | Component] = []
        if len(judged) > 1:
            badge = [html.Span(arm, className=f"arm arm-{arm}"), f" {search.title}: "]
        sentences = [knee_sentence(capacity), law_sentence(capacity), *map(_capital, cautions(capacity))]
        told.append(
            html.P([*badge, html.Strong(limit_sentence(capacity)), " " + " ".join(sentences)], className="headline")
        )
    return told


def strip(judged: Judged) -> html.Div:
    """Six key figures of the search; of two, with A's beside B's."""
    found = [_figures(capacity) for _, capacity in judged.values()]
    tiles = []
    for place, (label, text, note) in enumerate(found[-1]):
        value, unit = apart(text)
        beside = f"A: {found[0][place][1]}" if len(found) > 1 else note
        tiles.append(cards.kpi(label, value, unit, note=beside))
    return html.Div(tiles, className="kpis wide-notes")


def _figures(capacity: Capacity) -> Sequence[tuple[str, str, str]]:
    """Name, value with its unit, and what it is of."""
    most, knee, process, unit = capacity.most, capacity.knee, capacity.process, capacity.unit
    held = next((judged for judged in capacity.levels if judged.level.load == most.low), None)
    above = {"server": f"{readable.count(most.high)} miss", "generator": "then the generator was the limit"}
    limit = capacity.generator_limit
    highest = capacity.levels[-1].level.load if capacity.levels else None
    return (
        (
            "Most within the SLO",
            readable.DASH if most.low is None else f"{readable.count(most.low)} {unit}",
            above.get(most.limited_by, f"up to {readable.count(highest)} tried"),
        ),
        (
            "Throughput there",
            readable.number(held.goodput if held else None, "req/s"),
            f"{len(held.level.valid)} valid repeats" if held else "no level holds",
        ),
        (
            "Knee",
            readable.DASH if knee is None else f"{readable.count(round(knee.load))} {unit}",
            "none in sight"
            if knee is None
            else f"95%: {readable.count(round(knee.interval[0]))} to {readable.count(round(knee.interval[1]))}",
        ),
        ("Highest throughput", readable.number(knee.ceiling if knee else _best(capacity), "req/s"), "mean of a level"),
        (
            "Server CPU there",
            readable.number(process.cores if process else None, "cores"),
            "not known" if process is None else f"{readable.number(process.rss_bytes / 1e6, 'MB')} memory",
        ),
        (
            "Generator limit",
            readable.DASH if limit is None else f"{readable.count(limit)} {unit}",
            f"not reached up to {readable.count(highest)}"
            if limit is None
            else "beyond it nothing is known of the server",
        ),
    )


def _best(capacity: Capacity) -> float | None:
    return max((judged.goodput for judged in capacity.levels if judged.goodput is not None), default=None)


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]
