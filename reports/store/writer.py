"""Writing a run: its directory, manifest, ticks, and what is made of the samples at the end."""

from __future__ import annotations

import errno
import os
import re
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import orjson
import pyarrow.parquet as pq

from reports.records.samples import compact
from reports.records.schema import Manifest, Status
from reports.records.ticks import ticks_path
from reports.store.run import Run

ROOM_BYTES: Final = 256 << 20
"""Free space that a run asks for before it starts: two million samples as a stream are about 200 MB."""


class RunWriter:
    """The one writer of a run. Load processes write their samples beside it with ``SampleWriter``."""

    def __init__(self, directory: Path, manifest: Manifest) -> None:
        self.directory = directory
        self.manifest = manifest
        ticks_path(directory).touch(exist_ok=False)

    @property
    def id(self) -> str:
        """The run's id, which is its directory's name."""
        return self.manifest.id

    def save(self, manifest: Manifest) -> None:
        """Replace ``run.json`` atomically and durably. Tags and baseline stay as people have set them on disk."""
        if manifest.id != self.id:
            raise ValueError(f"manifest of {manifest.id!r} saved into run {self.id!r}")
        marks = _marks(self.directory)
        self.manifest = manifest.model_copy(update=marks)
        replace_file(self.directory / "run.json", self.manifest.model_dump_json(indent=1).encode())

    def append_tick(self, tick: dict[str, Any]) -> None:
        """Add one line to ``ticks.jsonl``; readers see it at once."""
        line = orjson.dumps(tick, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE)
        with ticks_path(self.directory).open("ab") as file:
            file.write(line)

    def finish(self, status: Status, reason: str | None = None) -> None:
        """End the run: compact the streams, write aggregate and summary, and last replace the manifest.

        Call it when the load processes have ended and ``save`` has had the final blocks. If it dies half-way the
        run still reads as crashed, with every sample; it may be called again.
        """
        compact(self.directory)
        run = Run(self.directory, self.manifest)
        partial = self.directory / "aggregate.parquet-partial"
        pq.write_table(run.count_samples(), partial, compression="zstd")
        partial.replace(self.directory / "aggregate.parquet")
        replace_file(self.directory / "summary.json", run.summarise().model_dump_json(indent=1).encode())
        ended = {"status": status, "reason": reason, "ended_at": datetime.now(UTC)}
        self.save(self.manifest.model_copy(update=ended))


def create_run(root: Path, manifest: Manifest, *, room_bytes: int | None = None) -> RunWriter:
    """Make a fresh run directory below ``root`` and write its manifest. Raises ``OSError`` where that cannot be."""
    root.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(root).free < (ROOM_BYTES if room_bytes is None else room_bytes):
        raise OSError(errno.ENOSPC, "too little room on the disk")
    fresh = root / f".new-{os.getpid()}-{os.urandom(4).hex()}"
    fresh.mkdir()
    try:
        for number in range(1, 10_000):
            named = manifest.model_copy(update={"id": _run_id(manifest, number)})
            replace_file(fresh / "run.json", named.model_dump_json(indent=1).encode())
            try:
                fresh.rename(root / named.id)  # refuses to replace a directory that holds anything
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                    raise
            else:
                return RunWriter(root / named.id, named)
        raise OSError(errno.EEXIST, f"ten thousand runs are named {_run_id(manifest, 1)}")
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def replace_file(path: Path, data: bytes) -> None:
    """Put ``data`` at ``path`` so that a reader, or a crash, sees the old file or the new one and nothing between."""
    partial = path.with_name(f".{path.name}-{os.getpid()}")
    with partial.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def _run_id(manifest: Manifest, number: int) -> str:
    started = manifest.started_at.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    words = [
        re.sub(r"[^a-z0-9.+]+", "_", word.lower()).strip("_.") or "x" for word in (manifest.scenario, manifest.mode)
    ]
    commit = re.sub(r"[^0-9a-f]", "", manifest.commit.lower())[:7] or "nocommit"
    return "-".join([started, *words, commit, *([str(number)] if number > 1 else [])])


def _marks(directory: Path) -> dict[str, Any]:
    """What people have set in a run's manifest, ``tags`` and ``baseline``; empty if it cannot be read."""
    try:
        loaded = orjson.loads((directory / "run.json").read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return {}
    return {name: loaded[name] for name in ("tags", "baseline") if name in loaded}
