"""In what two runs differ by their manifests: what was asked for, how the server was set, where it ran."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from dash_app.facts import flat
from reports.readable import DASH
from reports.records.schema import Manifest


@dataclass(frozen=True, slots=True)
class Differences:
    """``changed``: name, value in A, value in B, as text. ``equal``: how many settings both runs share."""

    changed: list[tuple[str, str, str]]
    equal: int


def settings_diff(a: Manifest, b: Manifest) -> Differences:
    """Every setting, one dotted name each, that is not the same in both; in the manifest's order, A's names first."""
    of_a, of_b = dict(_settings(a)), dict(_settings(b))
    names = list(dict.fromkeys([*of_a, *of_b]))
    texts = [(name, _text(of_a.get(name)), _text(of_b.get(name))) for name in names]
    changed = [line for line in texts if line[1] != line[2]]
    return Differences(changed, len(texts) - len(changed))


def _settings(manifest: Manifest) -> Iterator[tuple[str, Any]]:
    """What a run was made with. Not its times, its ids and its blocks, which differ in any two runs."""
    yield "mode", manifest.mode
    yield "label", manifest.label
    yield "scenario", manifest.scenario
    yield "users", manifest.users
    yield "seed", manifest.seed
    yield "duration_s", manifest.duration_s
    yield "commit", manifest.commit[:12] + (" + changes" if manifest.dirty else "")
    yield from flat(manifest.workload.parameters, "workload.")
    if manifest.server is not None:
        yield from flat(manifest.server.config, "server.")
    environment = manifest.environment
    yield from flat(environment.model_dump(exclude={"packages"}), "environment.")
    yield from flat(environment.packages, "package.")


def _text(value: Any) -> str:
    return DASH if value is None or value == "" else "yes" if value is True else "no" if value is False else str(value)
