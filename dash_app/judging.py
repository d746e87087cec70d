"""What takes all samples of a run to say, and is therefore said once: SLO attainment, B against A, and capacity.

Kept until the run's directory changes. Call these in a thread: five million samples take about a second.
"""

from __future__ import annotations

from functools import lru_cache

from dash_app.library import Library
from reports.capacity.assess import Capacity, assess, level_of, unit_of
from reports.capacity.levels import Level
from reports.compare.comparison import Comparison
from reports.compare.verdict import compare
from reports.judge.attainment import Attainment, attain, observe
from reports.judge.slo import Slo
from reports.store.run import Run


class _Unchanged:
    """A run as a key that is equal as long as nothing in its directory has been replaced."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self._key = (run.path, run.path.stat().st_mtime_ns)

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Unchanged) and other._key == self._key


def attained(library: Library, run_id: str, slo: Slo) -> tuple[Attainment, ...]:
    """How a run keeps each threshold. Raises ``StoreError``."""
    return _attained(_Unchanged(library.store.open(run_id)), slo)


def compared(library: Library, a: str, b: str) -> Comparison:
    """Run ``b`` against run ``a``. Raises ``StoreError``."""
    return _compared(_Unchanged(library.store.open(a)), _Unchanged(library.store.open(b)))


def capacity(library: Library, run_ids: tuple[str, ...], slo: Slo) -> Capacity:
    """What the levels of a search, a run each, say to an SLO. Raises ``StoreError``."""
    return _capacity(tuple(_Unchanged(library.store.open(run_id)) for run_id in run_ids), slo)


@lru_cache(maxsize=64)
def _attained(run: _Unchanged, slo: Slo) -> tuple[Attainment, ...]:
    return attain(slo, observe(run.run.manifest, run.run.iter_batches))


@lru_cache(maxsize=32)
def _compared(a: _Unchanged, b: _Unchanged) -> Comparison:
    return compare(a.run, b.run)


@lru_cache(maxsize=64)
def _capacity(runs: tuple[_Unchanged, ...], slo: Slo) -> Capacity:
    return assess(slo, [_level(run) for run in runs], unit_of(runs[0].run.manifest))


@lru_cache(maxsize=64)
def _level(run: _Unchanged) -> Level:
    return level_of(run.run)
