"""A capacity search on disk, of a server whose truth is known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests.closed_system import ClosedSystem
from tests.measured_runs import Stretch, minutes_later, save_measured

SYSTEM = ClosedSystem(servers=12, rate=20.0, think_s=1.0)
"""Holds about 250 users."""

LOADS = (50, 100, 200, 240, 280, 400)


def save_search(
    root: Path,
    experiment: str,
    *,
    loads: Sequence[int] = LOADS,
    system: ClosedSystem = SYSTEM,
    slo: str = "p99<400ms,failed<1%",
    generator_bound: Sequence[int] = (),
    minutes: float = 0.0,
    **manifest: Any,
) -> list[str]:
    """Write the search, two repeats of ten seconds a level, and return its runs' ids, least load first."""
    ids = []
    for place, load in enumerate(loads):
        stretches = []
        for repeat in range(2):
            rng = np.random.default_rng([load, repeat])
            took = system.latencies_ms(load, 10.0, rng)
            bound = {"generator_cpu": 0.97} if load in generator_bound else {}
            stretches.append(
                Stretch(
                    miss_ms=took.tolist(),
                    hit_ms=rng.lognormal(1.0, 0.3, took.size // 2).tolist(),
                    at_s=20.0 * repeat,
                    server_cpu_s=took.size * 0.0004,
                    **bound,
                )
            )
        given: dict[str, Any] = {
            "mode": "async",
            "commit": "7f3a91d0c4b25e6f8a9b0c1d2e3f405162738495",
            "command": ["python", "-m", "loadtests", "capacity", "--slo", slo],
            "label": f"{manifest.get('mode', 'async')}, {load} users",
            "started_at": minutes_later(minutes + place),
            **manifest,
        }
        ids.append(save_measured(root, stretches, users=load, experiment=experiment, **given).manifest.id)
    return ids
