"""Whether a summary keeps an SLO, from its printed figures alone: quick enough for a table of thousands of runs.

A run's own page judges by the samples (``dash_app.judging``), with the counts that lie beyond.
"""

from __future__ import annotations

from reports.judge.slo import Slo, Threshold
from reports.records.schema import POPULATIONS
from reports.summary.summary import PERCENTILES, Summary


def keeps(slo: Slo, summary: Summary) -> bool | None:
    """False where a threshold is missed, else None where one cannot be told, else True."""
    told = [met for threshold in slo for met in _met(threshold, summary)]
    if False in told:
        return False
    return None if None in told or not told else True


def _met(threshold: Threshold, summary: Summary) -> list[bool | None]:
    """One answer a population for latency, one for anything else; a population without requests is left out."""
    indicator = threshold.indicator
    values: list[float | None]
    if indicator.kind == "latency":
        name = next((name for name, q in PERCENTILES.items() if q == indicator.quantile), "")
        asked = [p for p in POPULATIONS if indicator.population in (None, p)]
        latencies = [summary.latency[p]["intended"] for p in asked if summary.latency[p]["intended"].count]
        values = [latency.percentiles.get(name) for latency in latencies]
    else:
        values = [
            {
                "failed": summary.failed_share,
                "goodput": summary.goodput_rps,
                "hit_share": summary.cache.hit_share,
                "attempts": summary.attempts.per_success,
            }[indicator.kind]
        ]
    return [None if value is None else threshold.holds(value) for value in values]
