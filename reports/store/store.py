"""The runs on disk: list, open, mark and delete them. No other room opens a run's files by name.

``RunStore(root)`` is cheap and holds nothing; every call looks at the disk anew, so that runs may come and go.
"""

from __future__ import annotations

import difflib
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import orjson
from pydantic import BaseModel, ValidationError

from reports.errors import RunBusy, RunDamaged, RunNotFound, StoreError
from reports.records.samples import SampleTail, SampleWriter
from reports.records.schema import SCHEMA_VERSION, Manifest
from reports.records.ticks import TickTail
from reports.store.run import Run
from reports.store.writer import RunWriter, create_run, replace_file
from reports.summary.summary import Summary

__all__ = [
    "DEFAULT_ROOT",
    "Run",
    "RunBusy",
    "RunDamaged",
    "RunEntry",
    "RunNotFound",
    "RunStore",
    "RunWriter",
    "SampleTail",
    "SampleWriter",
    "StoreError",
    "TickTail",
]

DEFAULT_ROOT: Final = Path("reports/runs")

_Model = TypeVar("_Model", bound=BaseModel)
_LATEST = re.compile(r"latest(?:~(\d{1,6}))?")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,199}")


@dataclass(frozen=True)
class RunEntry:
    """A line of the list: manifest and summary where they can be read, else why not.

    ``live`` as in ``Run``; a run that says "running" and is not live has crashed.
    """

    id: str
    path: Path
    manifest: Manifest | None
    summary: Summary | None
    damage: str | None
    live: bool

    @property
    def state(self) -> str:
        """``running``, ``crashed``, ``complete``, ``aborted``, ``failed`` or ``damaged``."""
        if self.manifest is None:
            return "damaged"
        if self.manifest.status == "running" and not self.live:
            return "crashed"
        return self.manifest.status


class RunStore:
    """All runs below one directory, which need not exist yet."""

    def __init__(self, root: Path = DEFAULT_ROOT) -> None:
        self.root = root

    def create(self, manifest: Manifest, *, room_bytes: int | None = None) -> RunWriter:
        """Make a run's directory with its manifest, whose id the store sets, and return its writer.

        Raises ``StoreError`` if the root cannot be written to or has less than ``room_bytes`` (default 256 MiB) free.
        """
        try:
            return create_run(self.root, manifest, room_bytes=room_bytes)
        except OSError as error:
            reason = error.strerror or str(error)
            raise StoreError(f"cannot save runs in {self.root}: {reason}; choose another place with --runs") from error

    def ids(self) -> list[str]:
        """Ids of all runs, damaged ones too, oldest first (ids open with the start's time)."""
        try:
            return sorted(p.name for p in self.root.iterdir() if _is_run(p))
        except (FileNotFoundError, NotADirectoryError):
            return []

    def entries(self) -> list[RunEntry]:
        """One entry a run, newest first. Never raises for what a run's directory holds."""
        return [_entry(self.root / run_id) for run_id in reversed(self.ids())]

    def entry(self, run_id: str) -> RunEntry:
        """The list's line for one run. Raises ``RunNotFound``."""
        return _entry(self._path(run_id))

    def open(self, run_id: str) -> Run:
        """The run of that id. Raises ``RunNotFound`` (ids that climb out of the root too) or ``RunDamaged``."""
        path = self._path(run_id)
        return Run(path, _read_manifest(path))

    def resolve(self, name: str) -> str:
        """The id meant by ``name``. Raises ``RunNotFound``.

        It may be an id, the unique beginning of one, ``latest``, or ``latest~N`` for the Nth run before that.
        """
        ids = self.ids()
        if name in ids:
            return name
        back = _LATEST.fullmatch(name)
        if back is not None and int(back[1] or 0) < len(ids):
            return ids[-1 - int(back[1] or 0)]
        starting = [i for i in ids if name and i.startswith(name)]
        if len(starting) == 1:
            return starting[0]
        raise RunNotFound(name, starting[-3:] or _nearest(name, ids), self.root)

    def meant(self, name: str) -> list[Run]:
        """The runs that a reader means by ``name``: an experiment's, or one. Raises ``RunNotFound``, ``RunDamaged``.

        ``latest`` is what was measured last, so it means both arms where that was an A/B.
        """
        if runs := self.experiment(name):
            return runs
        run = self.open(self.resolve(name))
        if name == "latest" and run.manifest.experiment is not None:
            arms = self.experiment(run.manifest.experiment)
            if [each.manifest.arm for each in arms] == ["A", "B"]:
                return arms
        return [run]

    def experiment(self, experiment_id: str) -> list[Run]:
        """The readable runs of an experiment by arm, oldest first; empty if there are none."""
        found = [e for e in reversed(self.entries()) if e.manifest and e.manifest.experiment == experiment_id]
        runs = [Run(e.path, e.manifest) for e in found if e.manifest]
        return sorted(runs, key=lambda run: run.manifest.arm or "")

    def delete(self, run_id: str) -> None:
        """Remove a run for good. Raises ``RunNotFound``; ``RunBusy`` while it is being written."""
        path = self._path(run_id)
        if self.entry(run_id).live:
            raise RunBusy(f"run {run_id} is still going on: stop it before you delete it")
        going = path.with_name(f".deleting-{run_id}")  # renamed first: nobody sees half a run
        path.rename(going)
        shutil.rmtree(going)

    def tag(self, run_id: str, tags: Sequence[str]) -> Manifest:
        """Replace a run's tags and return its manifest. Raises ``RunNotFound``, ``RunDamaged``."""
        return self._change(run_id, tags=list(dict.fromkeys(tags)))

    def set_baseline(self, run_id: str, on: bool = True) -> Manifest:
        """Make a run the baseline of its scenario and mode, of which there is at most one; or no longer."""
        chosen = self.open(run_id).manifest
        for entry in self.entries() if on else []:
            other = entry.manifest
            if other and other.baseline and (other.scenario, other.mode) == (chosen.scenario, chosen.mode):
                self._change(entry.id, baseline=False)
        return self._change(run_id, baseline=on)

    def _change(self, run_id: str, **fields: object) -> Manifest:
        path = self._path(run_id)
        changed = _read_manifest(path).model_copy(update=fields)
        replace_file(path / "run.json", changed.model_dump_json(indent=1).encode())
        return changed

    def _path(self, run_id: str) -> Path:
        path = self.root / run_id
        if not _is_run(path) or path.name != run_id:
            raise RunNotFound(run_id, _nearest(run_id, self.ids()), self.root)
        return path


def _is_run(path: Path) -> bool:
    """Whether a path may be a run: a directory of its own, no link to elsewhere, whose name is an id."""
    return _ID.fullmatch(path.name) is not None and path.is_dir() and not path.is_symlink()


def _entry(path: Path) -> RunEntry:
    try:
        manifest = _read_manifest(path)
    except RunDamaged as error:
        return RunEntry(path.name, path, None, None, error.reason, live=False)
    damage = None
    try:
        summary = _read_summary(path)
    except RunDamaged as error:
        summary, damage = None, error.reason
    return RunEntry(path.name, path, manifest, summary, damage, live=Run(path, manifest).live)


def _nearest(name: str, ids: Sequence[str]) -> list[str]:
    return difflib.get_close_matches(name, ids, n=3, cutoff=0.5)


def _read_manifest(path: Path) -> Manifest:
    manifest = _read_model(path, "run.json", Manifest)
    if manifest is None:
        raise RunDamaged(path.name, "run.json is missing")
    return manifest


def _read_summary(path: Path) -> Summary | None:
    return _read_model(path, "summary.json", Summary)


def _read_model(path: Path, name: str, model: type[_Model]) -> _Model | None:
    """The file as a model; None if it is not there. Raises ``RunDamaged`` with where it went wrong."""
    try:
        data = (path / name).read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RunDamaged(path.name, f"{name}: {error.strerror}") from None
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        raise RunDamaged(path.name, _why(name, data, error)) from None


def _why(name: str, data: bytes, error: ValidationError) -> str:
    try:
        loaded = orjson.loads(data)
    except orjson.JSONDecodeError as bad:
        return f"{name} is not whole JSON (line {bad.lineno}, column {bad.colno})"
    version = loaded.get("schema_version") if isinstance(loaded, dict) else None
    if isinstance(version, int) and version != SCHEMA_VERSION:
        return f"{name} has schema version {version}, this program reads {SCHEMA_VERSION}"
    first = error.errors()[0]
    return f"{name}: {'.'.join(str(part) for part in first['loc']) or 'top level'}: {first['msg']}"
