"""One tick of a run as one short frame for browsers, encoded once for all of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import orjson

from reports.records.schema import POPULATIONS, Manifest

HIT, MISS, OTHER, FAILED = range(4)
"""What a cell's requests were: the populations of latency, successes whose cache is unknown, failures."""

_KIND = {cache: kind for kind, name in ((HIT, "hit"), (MISS, "miss")) for cache in POPULATIONS[name]}  # type: ignore[index]


@dataclass(frozen=True, slots=True)
class Frame:
    """A tick of one run, encoded. ``seq`` is the tick's; a browser asks for what it lacks by it."""

    run: str
    seq: int
    time: float
    encoded: bytes


def tick_frame(run_id: str, tick: dict[str, Any]) -> Frame | None:
    """The frame of a tick, None if the tick is not one (a writer of another version, a file edited by hand).

    ``cells`` becomes a flat list of ``second, kind, attempts, bin, count`` with the other columns summed out: a fifth
    of the tick's size, and all that the live figures are drawn from.
    """
    try:
        counted: Counter[tuple[int, int, int, int]] = Counter()
        for second, _block, _scenario, cache, attempts, status, error, _measured, bin_, count in tick.get("cells", ()):
            ok = 200 <= status < 300 and not error
            kind = _KIND.get(cache, OTHER) if ok else FAILED
            counted[int(second), kind, int(attempts), int(bin_)] += int(count)
        seq, time = int(tick["seq"]), float(tick["time"])
        frame = {
            "type": "tick",
            "run": run_id,
            "seq": seq,
            "time": time,
            "t": float(tick["t"]),
            "block": int(tick.get("block", -1)),
            "phase": str(tick.get("phase", "")),
            "users": int(tick.get("users", 0)),
            "generator": dict(tick.get("generator") or {}),
            "server": dict(tick.get("server") or {}),
            "cells": [part for key, count in counted.items() for part in (*key, count)],
        }
        return Frame(run_id, seq, time, orjson.dumps(frame))
    except (KeyError, TypeError, ValueError):
        return None


def about_run(manifest: Manifest) -> dict[str, Any]:
    """What a browser is told of a run before its frames."""
    return {
        "id": manifest.id,
        "experiment": manifest.experiment,
        "arm": manifest.arm,
        "mode": manifest.mode,
        "scenario": manifest.scenario,
        "users": manifest.users,
        "commit": manifest.commit[:7],
        "started": manifest.started_ns / 1e9,
        "blocks": [
            {
                "index": b.index,
                "arm": b.arm,
                "started": b.started_ns / 1e9,
                "ended": b.ended_ns and b.ended_ns / 1e9,
                "faults": [(start_ns / 1e9, end_ns / 1e9) for start_ns, end_ns in b.faults],
            }
            for b in manifest.blocks
        ],
    }
