"""Runs as pages need them: read once, read again only when their directory has changed.

The store looks at the disk on every call. Two thousand runs are listed from memory here, and a run's aggregate is read
once for all figures and tabs. Safe to call from several threads.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa

from reports.errors import RunDamaged, StoreError
from reports.records.schema import Manifest
from reports.store.store import RunEntry, RunStore
from reports.summary.summary import Summary

T = TypeVar("T")

_OPEN_RUNS = 8
"""Runs kept open: an aggregate of five million samples takes a few megabytes."""


_DRAWINGS = 24
"""Drawings kept of an open run: two themes, three populations, and a few stretches of time."""


@dataclass(frozen=True, eq=False)
class OpenRun:
    """A run with everything that its page draws."""

    id: str
    state: str
    manifest: Manifest
    summary: Summary
    aggregate: pa.Table
    ticks: list[dict[str, Any]]
    """The run's ticks without their cells, which the aggregate holds."""
    _drawn: dict[Hashable, Any] = field(default_factory=dict, repr=False)

    def drawn(self, what: Hashable, draw: Callable[[], T]) -> T:
        """What ``draw`` gives, drawn once as long as the run is kept; ``what`` names it with all that it depends on."""
        kept: T | None = self._drawn.get(what)
        if kept is not None:
            return kept
        drawing = draw()
        if len(self._drawn) >= _DRAWINGS:
            self._drawn.clear()
        self._drawn[what] = drawing
        return drawing


class Library:
    """The runs of one directory, with what has been read of them.

    A run's directory changes its modification time whenever a file in it is replaced, which is how every run file but
    the ticks is written: that is what tells a stale entry. Runs that are still written are never kept.
    """

    def __init__(self, root: Path) -> None:
        self.store = RunStore(root)
        self._lock = threading.Lock()
        self._entries: dict[str, tuple[int, RunEntry]] = {}
        self._open: OrderedDict[str, tuple[int, OpenRun]] = OrderedDict()

    def entries(self) -> list[RunEntry]:
        """One entry a run, newest first; a run that goes away while it is read is left out."""
        found: list[RunEntry] = []
        ids = self.store.ids()
        for run_id in reversed(ids):
            try:
                found.append(self._entry(run_id))
            except (OSError, StoreError):
                continue
        with self._lock:
            for gone in self._entries.keys() - set(ids):
                del self._entries[gone]
        return found

    def open(self, run_id: str) -> OpenRun:
        """The run of that id. Raises ``StoreError``: ``RunNotFound`` or ``RunDamaged``."""
        entry = self.store.entry(run_id)
        if entry.damage is not None:
            raise RunDamaged(run_id, entry.damage)
        changed = entry.path.stat().st_mtime_ns
        with self._lock:
            kept = self._open.get(run_id)
            if kept is not None and kept[0] == changed and not entry.live:
                self._open.move_to_end(run_id)
                return kept[1]
        run = self.store.open(run_id)
        ticks = [{name: value for name, value in tick.items() if name != "cells"} for tick in run.ticks()]
        opened = OpenRun(run_id, entry.state, run.manifest, run.summary(), run.aggregate(), ticks)
        with self._lock:
            self._open[run_id] = (changed, opened)
            if len(self._open) > _OPEN_RUNS:
                self._open.popitem(last=False)
        return opened

    def open_with_arm_a(self, run_id: str) -> tuple[OpenRun, OpenRun | None]:
        """The run, and if it is arm B of an experiment the readable run that is its arm A. Raises as ``open``."""
        opened = self.open(run_id)
        if opened.manifest.arm != "B" or opened.manifest.experiment is None:
            return opened, None
        for entry in self.entries():
            other = entry.manifest
            if other is not None and other.arm == "A" and other.experiment == opened.manifest.experiment:
                try:
                    return opened, self.open(entry.id)
                except (OSError, StoreError):
                    break
        return opened, None

    def _entry(self, run_id: str) -> RunEntry:
        changed = (self.store.root / run_id).stat().st_mtime_ns
        with self._lock:
            kept = self._entries.get(run_id)
        if kept is not None and kept[0] == changed:
            return kept[1]
        entry = self.store.entry(run_id)
        if not (entry.manifest is not None and entry.manifest.status == "running"):
            with self._lock:
                self._entries[run_id] = (changed, entry)
        return entry
