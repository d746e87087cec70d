"""Whether a run keeps an SLO, one pill a threshold."""

from __future__ import annotations

from functools import lru_cache

from dash import html

from dash_app import cards
from dash_app.library import Library
from reports.attainment import Attainment, attain, observe
from reports.run import Run
from reports.slo import Slo


def slo_pills(library: Library, run_id: str, slo: Slo) -> list[html.Span]:
    """A pill for each threshold and population. Reads the run's samples: call it in a thread."""
    run = library.store.open(run_id)
    return [_pill(attainment) for attainment in _attained(_Judged(run), slo)]


class _Judged:
    """A run as a key: the same until its directory changes, so that five million samples are read once an SLO."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self._key = (run.path, run.path.stat().st_mtime_ns)

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Judged) and other._key == self._key


@lru_cache(maxsize=64)
def _attained(judged: _Judged, slo: Slo) -> tuple[Attainment, ...]:
    return attain(slo, observe(judged.run.manifest, judged.run.iter_batches))


def _pill(attainment: Attainment) -> html.Span:
    sign, tone = {True: ("✓", "good"), False: ("✕", "bad"), None: ("?", "plain")}[attainment.met]
    return cards.pill(f"{sign} {attainment.name}", tone=tone)
