"""Figures of runs, one a file: pure functions from an aggregate to a plotly figure, for pages and exports alike.

All take keyword-only ``theme`` (``DARK`` or ``LIGHT``) and leave titles to the HTML around them. Every figure keeps a
constant ``uirevision``, so that zoom survives an update.
"""

from reports.figures.hit_miss_ecdf import hit_miss_ecdf
from reports.figures.latency_over_time import latency_over_time
from reports.figures.percentiles import percentiles
from reports.figures.relative_change import relative_change
from reports.figures.retries_over_time import retries_over_time
from reports.figures.theme import DARK, LIGHT, THEMES, Theme

__all__ = [
    "DARK",
    "LIGHT",
    "THEMES",
    "Theme",
    "hit_miss_ecdf",
    "latency_over_time",
    "percentiles",
    "relative_change",
    "retries_over_time",
]
