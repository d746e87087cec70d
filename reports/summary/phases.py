"""The parts of a run that differ by design: a percentile of all of them together is of none of them.

Users that change: the scenario's profile is in the manifest as stages, each with ``at`` and ``over`` as shares of a
block's measured time and ``users`` as a share of all. A part lasts from one change to the next; one over which users
come or go is cut into parts of a fifth of the measured time, so that a ramp tells where latency began to rise. Faults:
all stretches in which a script disturbed calls against all in which it did not.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from reports.records.schema import Block, Manifest
from reports.statistics.percentiles import quantiles
from reports.summary.collect import POPULATION_CODE, Collected
from reports.summary.summary import PERCENTILES, Latency, Phase

LONGEST_CHANGE: Final = 0.2

_Stages = list[tuple[float, float, float]]
_Rows = npt.NDArray[np.bool_]


def phases(manifest: Manifest, found: Collected) -> list[Phase]:
    """What was measured in each part, over all blocks; empty where nothing changes by design."""
    return [*_by_users(manifest, found), *_by_faults(manifest, found)]


def _by_users(manifest: Manifest, found: Collected) -> Iterator[Phase]:
    try:
        stages = [
            (float(s["at"]), float(s["users"]), float(s["over"])) for s in manifest.workload.parameters["profile"]
        ]
    except (KeyError, TypeError, ValueError):
        return
    if len(stages) < 2:
        return
    for begin, end in _parts(stages):
        begin_s, end_s = begin * manifest.duration_s, end * manifest.duration_s
        measured_s = sum(max(0.0, min(end_s, b.measured_s) - begin_s) for b in manifest.blocks)
        succeeded, failed = (
            (since_ms >= begin_s * 1000.0) & (since_ms < end_s * 1000.0)
            for since_ms in (found.scheduled_ms, found.failed_ms)
        )
        users = (_wanted(stages, manifest.users, begin), _wanted(stages, manifest.users, end - 1e-9))
        if measured_s:
            yield _phase(found, succeeded, failed, measured_s, users=users, begin_s=begin_s, end_s=end_s)


def _parts(stages: _Stages) -> Iterator[tuple[float, float]]:
    """The parts of the measured time, as shares of it."""
    edges = {0.0, 1.0}
    for at, _, over in stages:
        pieces = max(1, math.ceil(over / LONGEST_CHANGE - 1e-9))
        edges |= {round(at + over * piece / pieces, 9) for piece in range(pieces + 1)}
    return pairwise(sorted(edge for edge in edges if 0.0 <= edge <= 1.0))


def _wanted(stages: _Stages, users: int, moment: float) -> int:
    """How many users the profile wants at a moment (a share of the measured time)."""
    level = stages[0][1]
    for at, wanted, over in stages[1:]:
        if moment < at:
            break
        level += (wanted - level) * (1.0 if over == 0.0 else min(1.0, (moment - at) / over))
    return max(1, round(users * level))


def _by_faults(manifest: Manifest, found: Collected) -> Iterator[Phase]:
    measured = [block for block in manifest.blocks if block.measured_s]
    edges_ms = {block.index: _fault_edges_ms(block) for block in measured}
    faulty_s = sum(float((edges[1::2] - edges[::2]).sum()) for edges in edges_ms.values()) / 1000.0
    if not faulty_s:
        return
    succeeded = _in_faults(found.block, found.scheduled_ms, edges_ms)
    failed = _in_faults(found.failed_block, found.failed_ms, edges_ms)
    calm_s = manifest.measured_s - faulty_s
    if calm_s > 1e-3:
        yield _phase(found, ~succeeded, ~failed, calm_s, faults=False)
    yield _phase(found, succeeded, failed, faulty_s, faults=True)


def _fault_edges_ms(block: Block) -> npt.NDArray[np.float64]:
    """Starts and ends of the faults in a block's measured window, in turn, in ms since its start."""
    opens_ns, length_ms = block.measure_from_ns or 0, block.measured_s * 1000.0
    inside = (
        (max(0.0, (start - opens_ns) / 1e6), min(length_ms, (end - opens_ns) / 1e6)) for start, end in block.faults
    )
    return np.array([edge for start, end in inside if start < end for edge in (start, end)], np.float64)


def _in_faults(
    block: npt.NDArray[np.int16], since_ms: npt.NDArray[np.int32], edges_ms: dict[int, npt.NDArray[np.float64]]
) -> _Rows:
    inside = np.zeros(block.size, bool)
    for index, edges in edges_ms.items():
        mine = block == index
        inside[mine] = np.searchsorted(edges, since_ms[mine], side="right") % 2 == 1
    return inside


def _phase(found: Collected, succeeded: _Rows, failed: _Rows, measured_s: float, **what: Any) -> Phase:
    failures = int(failed.sum())
    requests = int(succeeded.sum()) + failures
    latency = {}
    for population, code in POPULATION_CODE.items():
        ns = found.intended_ns[succeeded & (found.success_population == code)]
        exact = quantiles(ns, list(PERCENTILES.values()))
        told = {name: None if v is None else v / 1e6 for name, v in zip(PERCENTILES, exact, strict=True)}
        latency[population] = Latency(count=ns.size, percentiles=told)
    return Phase(
        measured_s=measured_s,
        requests=requests,
        failures=failures,
        throughput_rps=requests / measured_s,
        latency=latency,
        **what,
    )
