"""Capacity searches among the runs: which experiments are one, what was asked, and what the page shows of them."""

from __future__ import annotations

from dataclasses import dataclass

from dash_app.library import Library
from reports.capacity.assess import load_of, unit_of
from reports.judge.slo import EXAMPLE
from reports.records.schema import Manifest

_COMMAND = "capacity"


@dataclass(frozen=True, slots=True)
class Search:
    """One search: its experiment's id (a run's, where that stands alone) and the manifest of each level by load."""

    id: str
    levels: dict[int, Manifest]

    @property
    def first(self) -> Manifest:
        """The level with the least load, to say what all levels share."""
        return self.levels[min(self.levels)]

    @property
    def title(self) -> str:
        """What the search is called: the mode that it measured, and the commit."""
        return f"{self.first.mode} · {self.first.commit[:7] or 'no commit'}"

    @property
    def unit(self) -> str:
        """What a load is counted in."""
        return unit_of(self.first)

    @property
    def run_ids(self) -> tuple[str, ...]:
        """The levels' runs, least load first."""
        return tuple(self.levels[load].id for load in sorted(self.levels))

    @property
    def slo(self) -> str:
        """The SLO that the search was made for, as it was written; an example where its command does not say."""
        command = self.first.command
        for place, word in enumerate(command):
            if word == "--slo" and place + 1 < len(command):
                return command[place + 1]
            if word.startswith("--slo="):
                return word.removeprefix("--slo=")
        return EXAMPLE


def searches(library: Library) -> list[Search]:
    """All capacity searches, newest first."""
    found: dict[str, dict[int, Manifest]] = {}
    for entry in library.entries():
        manifest = entry.manifest
        if manifest is not None and is_of_search(manifest):
            found.setdefault(manifest.experiment or "", {}).setdefault(load_of(manifest), manifest)
    return [Search(experiment, levels) for experiment, levels in found.items()]


def search(library: Library, name: str) -> Search:
    """The search of an experiment, or that which a run is a level of; any other run is a search of one level.

    Raises ``StoreError`` where there is neither.
    """
    known = {one.id: one for one in searches(library)}
    if name in known:
        return known[name]
    manifest = library.store.open(library.store.resolve(name)).manifest
    return known.get(manifest.experiment or "") or Search(manifest.id, {load_of(manifest): manifest})


def is_of_search(manifest: Manifest) -> bool:
    """Whether a run is a level of a capacity search."""
    return manifest.experiment is not None and _COMMAND in manifest.command
