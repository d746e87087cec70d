"""What takes all samples of a run to say, and is therefore said once: SLO attainment, and B against A.

Kept until the run's directory changes. Call these in a thread: five million samples take about a second.
"""

from __future__ import annotations

from functools import lru_cache

from dash_app.library import Library
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


@lru_cache(maxsize=64)
def _attained(run: _Unchanged, slo: Slo) -> tuple[Attainment, ...]:
    return attain(slo, observe(run.run.manifest, run.run.iter_batches))


@lru_cache(maxsize=32)
def _compared(a: _Unchanged, b: _Unchanged) -> Comparison:
    return compare(a.run, b.run)
