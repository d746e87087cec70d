"""The parts of a run whose users change by design: a percentile of all of them together is of none of them.

The scenario's profile is in the manifest: stages, each with ``at`` and ``over`` as shares of a block's measured time
and ``users`` as a share of all. A part lasts from one change to the next; one over which users come or go is cut into
parts of a fifth of the measured time, so that a ramp tells where latency began to rise.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Final

import numpy as np

from reports.records.schema import Manifest, Population
from reports.statistics.percentiles import quantiles
from reports.summary.collect import POPULATION_CODE, Collected
from reports.summary.summary import PERCENTILES, Latency, Phase

LONGEST_CHANGE: Final = 0.2


def phases(manifest: Manifest, found: Collected) -> list[Phase]:
    """What was measured in each part, over all blocks; empty where the users do not change, or nothing was measured."""
    try:
        profile = [
            (float(s["at"]), float(s["users"]), float(s["over"])) for s in manifest.workload.parameters["profile"]
        ]
    except (KeyError, TypeError, ValueError):
        return []
    if len(profile) < 2:
        return []
    return [
        phase
        for begin, end in _parts(profile)
        if (phase := _phase(manifest, found, profile, begin, end)).measured_s and phase.requests
    ]


def _parts(profile: list[tuple[float, float, float]]) -> Iterator[tuple[float, float]]:
    """The parts of the measured time, as shares of it."""
    edges = {0.0, 1.0}
    for at, _, over in profile:
        pieces = max(1, math.ceil(over / LONGEST_CHANGE - 1e-9))
        edges |= {round(at + over * piece / pieces, 9) for piece in range(pieces + 1)}
    inside = sorted(edge for edge in edges if 0.0 <= edge <= 1.0)
    return pairwise(inside)


def _wanted(profile: list[tuple[float, float, float]], users: int, moment: float) -> int:
    """How many users the profile wants at a moment (a share of the measured time)."""
    level = profile[0][1]
    for at, wanted, over in profile[1:]:
        if moment < at:
            break
        level += (wanted - level) * (1.0 if over == 0.0 else min(1.0, (moment - at) / over))
    return max(1, round(users * level))


def _phase(
    manifest: Manifest, found: Collected, profile: list[tuple[float, float, float]], begin: float, end: float
) -> Phase:
    begin_s, end_s = begin * manifest.duration_s, end * manifest.duration_s
    measured_s = sum(max(0.0, min(end_s, b.measured_s) - begin_s) for b in manifest.blocks)
    mine = _between(found.scheduled_ms, begin_s, end_s)
    failed = int(_between(found.failed_ms, begin_s, end_s).sum())
    requests = int(mine.sum()) + failed

    def latency(population: Population) -> Latency:
        ns = found.intended_ns[mine & (found.success_population == POPULATION_CODE[population])]
        exact = quantiles(ns, list(PERCENTILES.values())) if ns.size else [None] * len(PERCENTILES)
        told = {name: None if v is None else v / 1e6 for name, v in zip(PERCENTILES, exact, strict=True)}
        return Latency(count=ns.size, percentiles=told)

    return Phase(
        begin_s=begin_s,
        end_s=end_s,
        users=(_wanted(profile, manifest.users, begin), _wanted(profile, manifest.users, end - 1e-9)),
        measured_s=measured_s,
        requests=requests,
        failures=failed,
        throughput_rps=requests / measured_s if measured_s else None,
        latency={population: latency(population) for population in POPULATION_CODE},
    )


def _between(since_ms: np.ndarray[Any, Any], begin_s: float, end_s: float) -> np.ndarray[Any, Any]:
    inside: np.ndarray[Any, Any] = (since_ms >= begin_s * 1000.0) & (since_ms < end_s * 1000.0)
    return inside
