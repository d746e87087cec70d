"""The run directory of a load that Locust itself conducts: its UI, ``--headless``, ``--processes``, master and workers.

Written by the process that conducts (the only one, or the master); the load processes write their samples beside it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import gevent
import numpy as np

from loadtests.bench.environment import environment
from loadtests.bench.monitor import Edge, cores_used, edge, usage_of, window_figures
from loadtests.bench.record import RunRecord
from loadtests.bench.revisions import working_tree
from loadtests.target import Target
from loadtests.workload.workload import Workload
from reports.records.schema import Block, Manifest, Server
from reports.records.schema import Target as TargetRecord
from reports.records.schema import Workload as WorkloadRecord
from reports.store.store import RunStore

_MEASURE_AHEAD_S = 1.5  # the window must open in the future, or a tick has already counted what falls into it


class LocustRun:
    """One run, from Locust's test_start to its test_stop. Raises StoreError when there is no place for it.

    ``users`` tells how many are up; ``lags_ms``, kept up to date by the caller, has the last event-loop lag of each
    load process by its pid. The measured window opens ``warmup_s`` after :meth:`spawned` and closes at
    :meth:`stopping`.
    """

    def __init__(
        self,
        store: RunStore,
        workload: Workload,
        target: Target,
        config: dict[str, Any],
        *,
        users: Callable[[], int],
        target_users: int,
        warmup_s: float,
        lags_ms: Mapping[int, float],
    ) -> None:
        self._users = users
        self._warmup_s = warmup_s
        self._last_lags_ms = lags_ms
        self._lags_ms: list[float] = []
        self._opening: Edge | None = None
        self._closing: Edge | None = None
        self._usage = usage_of(list(lags_ms))
        code = working_tree()
        manifest = Manifest(
            label="locust",
            scenario=workload.scenario.name,
            mode=str(config.get("settings", {}).get("mode", "unknown")),
            seed=workload.seed,
            users=target_users,
            duration_s=0.0,
            started_at=datetime.now(UTC),
            commit=code.commit,
            dirty=code.dirty,
            command=[Path(sys.argv[0]).name, *sys.argv[1:]],
            target=TargetRecord(url=target.base_url, owned=False),
            workload=WorkloadRecord.of({**workload.manifest(), "users": target_users}),
            server=Server(config=config) if config else None,
            environment=environment({}),
        )
        self._record = RunRecord(store.create(manifest))
        self._block = Block(index=0, started_ns=time.time_ns())
        self._record.put_block(self._block)
        self._ticking = gevent.spawn(self._tick_forever)

    @property
    def directory(self) -> Path:
        """Where the load processes write their samples."""
        return self._record.writer.directory

    @property
    def id(self) -> str:
        """The run's id."""
        return self._record.writer.id

    def spawned(self) -> None:
        """All users are up: the measured window opens after the warm-up. Only the first call counts."""
        if self._block.measure_from_ns is None:
            ahead_s = max(self._warmup_s, _MEASURE_AHEAD_S)
            self._put(measure_from_ns=time.time_ns() + int(ahead_s * 1e9))

    def stopping(self) -> None:
        """No new request is wanted: the measured window closes."""
        if self._block.measure_until_ns is None and self._phase() == "measure":
            self._closing = edge(None, list(self._last_lags_ms))
            self._put(measure_until_ns=time.time_ns())

    def finish(self) -> None:
        """End the run, all load processes having closed their samples."""
        self._ticking.kill()
        self._tick()
        figures: dict[str, Any] = {}
        if self._opening is not None and self._closing is not None:
            figures = window_figures(self._opening, self._closing, max(1, len(list(self._last_lags_ms))))
        if self._lags_ms:
            figures["generator_lag_ms"] = float(np.percentile(self._lags_ms, 99))
        self._put(ended_ns=time.time_ns(), recorded=self._record.recorded[0], **figures)
        writer = self._record.writer
        self._record.add_load_pids(list(self._last_lags_ms))
        writer.save(writer.manifest.model_copy(update={"duration_s": self._block.measured_s}))
        if self._block.measured_s > 0:
            writer.finish("complete")
        else:
            writer.finish("aborted", "stopped before the warm-up had ended")

    def _put(self, **changes: Any) -> None:
        self._block = self._block.model_copy(update=changes)
        self._record.put_block(self._block)

    def _phase(self) -> str:
        block = self._block
        if block.measure_until_ns is not None:
            return "drain"
        if block.measure_from_ns is None:
            return "ramp"
        return "warmup" if time.time_ns() < block.measure_from_ns else "measure"

    def _tick_forever(self) -> None:
        while True:
            gevent.sleep(1.0)
            self._tick()

    def _tick(self) -> None:
        phase = self._phase()
        pids = list(self._last_lags_ms)
        if phase == "measure":
            self._lags_ms += self._last_lags_ms.values()
            if self._opening is None:
                self._opening = edge(None, pids)
        usage = usage_of(pids)
        self._record.tick(
            phase=phase,
            block=0,
            users=self._users(),
            generator={
                "cpu": round(cores_used(self._usage, usage), 3),
                "rss_bytes": usage.rss_bytes if usage else 0,
                "lag_ms": max(self._last_lags_ms.values(), default=None),
            },
            server={},
        )
        self._usage = usage
