"""What a reader has set on a page, as it stands in the address: a shared link restores it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from reports.records.schema import POPULATIONS, Population

DEFAULT_SLO = "p99<2s,failed<1%"


@dataclass(frozen=True, slots=True)
class RunView:
    """``slo``: an SLO expression, perhaps wrong. ``population``: the one that figures show, None for both.

    ``brush``: the stretch of the time axis, in seconds of load, that all figures but latency over time are restricted
    to; None for the whole run.
    """

    slo: str = DEFAULT_SLO
    population: Population | None = None
    brush: tuple[float, float] | None = None

    @classmethod
    def of(cls, query: dict[str, str]) -> RunView:
        """The view that a query asks for; what is missing or makes no sense counts as not said."""
        return cls(query.get("slo", DEFAULT_SLO)[:200], population(query.get("show")), _brush(query.get("time", "")))


@dataclass(frozen=True)
class RunsView:
    """The table of runs: ``text`` filters it, ``column`` and ``order`` (asc or desc) sort it."""

    text: str = ""
    column: str = "id"
    order: str = "desc"

    @classmethod
    def of(cls, query: dict[str, str]) -> RunsView:
        """The view that a query asks for: ``filter=blocking&sort=miss_p99:asc``; newest first where it does not say."""
        column, _, order = query.get("sort", "").partition(":")
        known = column and order in ("asc", "desc")
        return cls(query.get("filter", "")[:200], *((column, order) if known else (cls.column, cls.order)))


def population(name: str | None) -> Population | None:
    """A population by name; None for any other word, which means both."""
    return next((known for known in POPULATIONS if known == name), None)


def _brush(text: str) -> tuple[float, float] | None:
    try:
        first, last = (float(part) for part in text.split("-"))
    except ValueError:
        return None
    return (first, last) if 0 <= first < last < math.inf else None
