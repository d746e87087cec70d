"""One arm's run on disk while it grows: its blocks, its ticks, and what its samples have added since the last look."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from loadtests.bench.monitor import usage_of
from reports.records.aggregate import cells, to_rows
from reports.records.samples import SampleTail
from reports.records.schema import SAMPLE_SCHEMA, Block
from reports.store.writer import RunWriter


class RunRecord:
    """Keeps a run's directory up to date. `recorded` counts the samples that are on disk, by block."""

    def __init__(self, writer: RunWriter) -> None:
        self.writer = writer
        self.recorded: Counter[int] = Counter()
        self._tail = SampleTail(writer.directory)
        self._next_seq = 0

    def put_block(self, block: Block) -> None:
        """Save a block, new or known by its index, in the manifest."""
        blocks = {known.index: known for known in self.writer.manifest.blocks} | {block.index: block}
        self._save(blocks=[blocks[index] for index in sorted(blocks)])

    def add_load_pids(self, pids: Sequence[int]) -> None:
        """Note load processes in the manifest."""
        self._save(load_pids=[*self.writer.manifest.load_pids, *pids])

    def tick(
        self, phase: str, block: int, users: int, generator: Mapping[str, Any], server: Mapping[str, Any]
    ) -> pa.Table:
        """Append a tick with the samples that are new on disk; their counts, as `reports.records.aggregate.cells`."""
        manifest = self.writer.manifest
        samples = pa.Table.from_batches(self._tail.read_new(), SAMPLE_SCHEMA)  # together: counting has a price a call
        new = cells(samples, manifest.blocks, manifest.started_ns)
        indices, counts = np.unique(samples["block"].to_numpy(), return_counts=True)
        self.recorded.update(dict(zip(indices.tolist(), counts.tolist(), strict=True)))
        now_ns = time.time_ns()
        self.writer.append_tick(
            {
                "seq": self._next_seq,
                "t": round((now_ns - manifest.started_ns) / 1e9, 3),
                "time": round(now_ns / 1e9, 3),
                "block": block,
                "phase": phase,
                "users": users,
                "cells": to_rows(new),
                "generator": dict(generator),
                "server": dict(server),
            }
        )
        self._next_seq += 1
        return new

    def idle_tick(self, server_pids: Sequence[int]) -> None:
        """Append the tick of a second in which the other arm's block runs: it says that this run is still alive."""
        usage = usage_of(server_pids)
        self.tick(
            phase="idle",
            block=max(0, len(self.writer.manifest.blocks) - 1),
            users=0,
            generator={"cpu": 0.0, "rss_bytes": 0, "lag_ms": None},
            server={"cpu": 0.0, "rss_bytes": 0 if usage is None else usage.rss_bytes, "in_flight": {}},
        )

    def _save(self, **fields: object) -> None:
        self.writer.save(self.writer.manifest.model_copy(update=fields))
