"""A capacity search on disk: an experiment of one run a level."""

from __future__ import annotations

from reports.capacity.sizing import Host
from reports.records.schema import Manifest
from reports.store.run import Run
from reports.store.store import RunStore


def runs_of_search(store: RunStore, name: str) -> list[Run]:
    """The runs of an experiment, or of that which a run belongs to; at least one. Raises ``StoreError``."""
    runs = store.experiment(name)
    if runs:
        return runs
    run = store.open(store.resolve(name))
    return (store.experiment(run.manifest.experiment) if run.manifest.experiment else []) or [run]


def host_of(manifest: Manifest) -> Host:
    """The machine that a run was made on, as a kind of host to size for."""
    return Host(manifest.environment.cpu_count, manifest.environment.memory_bytes)
