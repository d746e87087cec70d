"""Runs as rows of the table: plain values, which the browser words as the reports do."""

from __future__ import annotations

import hashlib
import re
from typing import Any

from dash_app.capacity.searches import is_of_search
from dash_app.runs.slo_of_summary import keeps
from reports.judge.slo import Slo
from reports.store.store import RunEntry
from reports.summary.summary import Summary


def row(entry: RunEntry, slo: Slo) -> dict[str, Any]:
    """What the grid gets of a run; a figure that could not be had is None, or not there for a damaged run."""
    told: dict[str, Any] = {"id": entry.id, "started": _started(entry.id), "tags": [], "state": entry.state}
    told["remark"] = entry.damage or ""
    manifest = entry.manifest
    if manifest is None or entry.damage is not None:  # a summary may be torn where the manifest is whole
        return told | {"state": "damaged"}
    told |= {
        "started": f"{manifest.started_at:%Y-%m-%d %H:%M}",
        "mode": manifest.mode,
        "arm": manifest.arm,
        "scenario": manifest.scenario,
        "commit": manifest.commit[:7] + ("+" if manifest.dirty else ""),
        "users": manifest.users,
        "tags": manifest.tags,
        "baseline": manifest.baseline,
        "search": manifest.experiment if is_of_search(manifest) else None,
    }
    told["remark"] = manifest.reason or ""
    if entry.summary is not None:
        _add_figures(told, entry.summary)
        told["slo"] = keeps(slo, entry.summary)
    if entry.state == "crashed":
        told["remark"] = told["remark"] or "its writer stopped without ending it; what it had written can be read"
    return told


def _started(run_id: str) -> str:
    """When a run whose manifest cannot be read began, by its id; the id itself where it does not say."""
    found = re.match(r"(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)", run_id)
    return "{}-{}-{} {}:{}".format(*found.groups()) if found else run_id


def _add_figures(told: dict[str, Any], summary: Summary) -> None:
    for population in ("hit", "miss"):
        percentiles = summary.latency[population]["intended"].percentiles
        for name in ("p50", "p99"):
            told[f"{population}_{name}"] = _short(percentiles.get(name))
    told |= {
        "rps": _short(summary.throughput_rps),
        "hit_share": _short(summary.cache.hit_share),
        "attempts": _short(summary.attempts.amplification),
        "failed": _short(summary.failed_share),
    }
    if told["state"] == "complete":
        told["state"] = summary.validity.verdict
        told["remark"] = "; ".join(f"{reason.what}: {reason.advice}" for reason in summary.validity.reasons)


def _short(value: float | None) -> float | None:
    """Six digits: what is shown has three, and two thousand rows travel."""
    return None if value is None else float(f"{value:.6g}")


def digest(entries: list[RunEntry]) -> str:
    """Changes when a run comes, goes, ends, or is marked."""
    marks = [
        (e.id, e.state, e.damage, e.summary is None, e.manifest and (e.manifest.tags, e.manifest.baseline))
        for e in entries
    ]
    return hashlib.blake2b(repr(marks).encode(), digest_size=12).hexdigest()
