"""What a run was made under, in words: settings, environment, what was measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dash import html

from dash_app import cards
from reports import readable
from reports.records.schema import Manifest
from reports.summary.summary import Summary

Pairs = list[tuple[str, cards.Children]]


def title(manifest: Manifest) -> str:
    """What a run is called: its label, or mode and commit."""
    commit = manifest.commit[:7] + ("+" if manifest.dirty else "")
    return manifest.label or f"{manifest.mode} · {commit or 'no commit'}"


def subline(manifest: Manifest, summary: Summary) -> str:
    """The run in one line: load, length, size, seed, end."""
    ended = f"finished {manifest.ended_at:%Y-%m-%d %H:%M} UTC" if manifest.ended_at else "not finished"
    return " · ".join(
        [
            manifest.scenario,
            f"{readable.count(manifest.users)} users",
            f"{duration(summary.window.measured_s)} measured",
            f"{readable.count(summary.requests)} requests",
            f"seed {manifest.seed}",
            f"{manifest.environment.cpu_count} cores",
            ended,
        ]
    )


def measured(manifest: Manifest, summary: Summary) -> Pairs:
    """What was measured, and how well."""
    cpu, window = summary.cpu, summary.window
    pairs: Pairs = [
        ("Measured", f"{duration(window.measured_s)} in {_plural(window.blocks, 'block')}"),
        ("Cut", f"{duration(window.warmup_s)} warm-up, {readable.count(window.samples_outside)} samples outside"),
        ("Server CPU", f"{readable.number(cpu.server_us, 'µs/request')}"),
        ("Generator CPU", f"{readable.number(cpu.generator_us, 'µs/request')}"),
    ]
    lag = [b.generator_lag_ms for b in manifest.blocks if b.generator_lag_ms is not None]
    if lag:
        pairs.append(("Generator lag", f"{readable.latency(max(lag))} p99, worst block"))
    memory = [b.server_rss_bytes for b in manifest.blocks if b.server_rss_bytes is not None]
    if memory:
        pairs.append(("Server memory", size(max(memory))))
    counted = summary.reconciliation
    if counted.matches is not None:
        said = "equal" if counted.matches else f"{len(counted.differences)} kinds differ"
        pairs.append(("Recorded = served", f"{readable.count(counted.recorded)} recorded, {said}"))
    if summary.little is not None:
        little = summary.little
        pairs.append(
            (
                "Little's law",
                f"{readable.number(little.observed)} in flight, {readable.number(little.expected)} expected",
            )
        )
    tokens = summary.tokens
    pairs.append(("Tokens", f"{readable.count(tokens.prompt)} prompt, {readable.count(tokens.output)} output"))
    return pairs


def environment(manifest: Manifest) -> Pairs:
    """Where it ran, and how to run it again."""
    where = manifest.environment
    pairs: Pairs = [
        ("CPU", f"{where.cpu_model}, {where.cpu_count} cores"),
        ("Memory", size(where.memory_bytes)),
        ("Platform", where.platform),
        ("Python", where.python),
        ("Commit", html.Span((manifest.commit or "none") + (" + changes" if manifest.dirty else ""), className="mono")),
        ("Workload", html.Span(manifest.workload.digest, className="mono")),
        ("Target", manifest.target.url + ("" if manifest.target.owned else " (not ours)")),
        ("Command", html.Span(" ".join(manifest.command) or readable.DASH, className="mono")),
    ]
    if where.affinity:
        pinned = ", ".join(f"{role} on {' '.join(map(str, cpus))}" for role, cpus in where.affinity.items())
        pairs.insert(2, ("Pinned", pinned))
    return pairs


def settings(manifest: Manifest) -> Pairs:
    """Workload and server settings, one dotted name a line."""
    pairs = [(name, _shown(value)) for name, value in flat(manifest.workload.parameters)]
    if manifest.server is not None:
        pairs += [(name, _shown(value)) for name, value in flat(manifest.server.config)]
    return [(name, value) for name, value in pairs]


def flat(nested: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """A nested mapping as (dotted name, value), in its order."""
    found: list[tuple[str, Any]] = []
    for name, value in nested.items():
        if isinstance(value, Mapping):
            found += flat(value, f"{prefix}{name}.")
        else:
            found.append((f"{prefix}{name}", value))
    return found


def duration(seconds: float) -> str:
    """A length of time: ``45 s``, ``5 min``, ``1 min 30 s``."""
    if seconds < 120:
        return readable.number(seconds, "s")
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min" + (f" {rest} s" if rest else "")


def size(number_of_bytes: int) -> str:
    """A size in binary units."""
    value, units = float(number_of_bytes), ["B", "KiB", "MiB", "GiB"]
    while value >= 1024 and len(units) > 1:
        value, units = value / 1024, units[1:]
    return readable.number(value, units[0])


def _shown(value: Any) -> str:
    return "yes" if value is True else "no" if value is False else readable.DASH if value is None else str(value)


def _plural(whole: int, noun: str) -> str:
    return f"{readable.count(whole)} {noun}{'' if whole == 1 else 's'}"
