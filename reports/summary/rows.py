"""The rows of a report: each figure of one or more summaries as text, and the ratio of the second to the first.

Terminal, exports and pages print these, so that all say the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from reports.readable import DASH, change, count, latency, number, share
from reports.records.schema import HIT_CACHES, MISS_CACHES, POPULATIONS, Population
from reports.statistics.percentiles import samples_needed
from reports.summary.summary import LATENCY_KINDS, PERCENTILES, Summary


@dataclass(frozen=True)
class Row:
    """One figure: its name, indented by two spaces where it is a part of the row above, and a text a summary.

    ``ratio`` is second by first as text, ``interval`` the 95% interval of the first; empty where there is none.
    """

    name: str
    texts: list[str]
    ratio: str
    interval: str


@dataclass(frozen=True)
class _Line:
    name: str
    text: Callable[[Summary], str]
    value: Callable[[Summary], float | None] | None = None
    interval: Callable[[Summary], str] = lambda _: ""

    def row(self, summaries: Sequence[Summary]) -> Row:
        texts = [self.text(summary) for summary in summaries]
        return Row(self.name, texts, self._ratio(summaries), self.interval(summaries[0]))

    def _ratio(self, summaries: Sequence[Summary]) -> str:
        if self.value is None or len(summaries) != 2:
            return ""
        a, b = (self.value(summary) for summary in summaries)
        return f"{number(b / a)}×" if a and b is not None else DASH


def summary_rows(summaries: Sequence[Summary]) -> list[list[Row]]:
    """The rows in groups; those that no summary has anything to say on are left out."""
    groups = [[line.row(summaries) for line in lines] for lines in _groups(summaries)]
    return [[row for row in group if any(text != DASH for text in row.texts)] for group in groups]


PHASE_COLUMNS: Final = ("seconds", "req/s", "failed", *POPULATIONS)
"""What the columns of ``phase_rows`` are, after the first, which is what the table is by."""


def phase_rows(summary: Summary) -> dict[str, list[list[str]]]:
    """The parts of a run that differ by design, a table for each way in which they do: its rows under its title.

    A row: what the part is, which seconds of the window (by faults: how many), req/s, failures; p50 and p99 with n of
    hits, and of misses.
    """
    tables: dict[str, list[list[str]]] = {}
    for phase in summary.phases:
        if phase.users is not None:
            first, last = phase.users
            title, what = "users", count(first) if first == last else f"{count(first)} to {count(last)}"
            when = f"{phase.begin_s:.3g} to {phase.end_s:.3g}"
        else:
            title, what, when = "faults", "scripted" if phase.faults else "none", f"{phase.measured_s:.3g} in all"
        row = [what, when, number(phase.throughput_rps), count(phase.failures)]
        for population in POPULATIONS:
            of = phase.latency[population]
            p50, p99 = (latency(of.percentiles[name]) for name in ("p50", "p99"))
            row.append(f"{p50}, {p99} ({count(of.count)})")
        tables.setdefault(title, []).append(row)
    return tables


def printed(summary: Summary, population: Population, name: str) -> float | None:
    """A percentile from the intended start in ms; None if it is withheld."""
    return summary.latency[population]["intended"].percentiles.get(name)


def _groups(summaries: Sequence[Summary]) -> list[list[_Line]]:
    attempts = sorted({spent for s in summaries for spent in s.attempts.distribution})
    reasons = sorted({reason for s in summaries for reason in s.failures_by_reason})
    return [
        [
            _Line("throughput", lambda s: number(s.throughput_rps, "req/s"), lambda s: s.throughput_rps),
            _Line("goodput (successes)", lambda s: number(s.goodput_rps, "req/s"), lambda s: s.goodput_rps),
        ],
        *(_latency_lines(population) for population in POPULATIONS),
        [
            _Line("hit share", lambda s: share(s.cache.hit_share), lambda s: s.cache.hit_share),
            _Line("  with collapsed", lambda s: share(s.cache.served_share) if s.cache.expected_share else DASH),
            _Line("  once warm (Che)", lambda s: share(s.cache.expected_share)),
            *(_Line(f"  {cache}", partial(_cache_text, cache=cache)) for cache in (*HIT_CACHES, *MISS_CACHES)),
        ],
        [
            _Line("attempts per success", lambda s: number(s.attempts.per_success), lambda s: s.attempts.per_success),
            _Line(
                "  retry amplification", lambda s: number(s.attempts.amplification), lambda s: s.attempts.amplification
            ),
            *(
                _Line(f"  {spent} attempt{'s' * (spent > 1)}", partial(_attempts_text, spent=spent))
                for spent in attempts
            ),
        ],
        [
            _Line("server CPU", lambda s: number(s.cpu.server_us, "µs/req"), lambda s: s.cpu.server_us),
            _Line("generator CPU", lambda s: number(s.cpu.generator_us, "µs/req"), lambda s: s.cpu.generator_us),
            _Line("in flight, Little's law", lambda s: number(s.little.expected if s.little else None)),
            _Line("in flight, counted", lambda s: number(s.little.observed if s.little else None)),
            _Line("unsettled start", _warmup_text),
        ],
        [
            _Line("failed", lambda s: f"{count(s.failures)} ({share(s.failed_share)})"),
            *(_Line(f"  {reason}", partial(_failures_text, reason=reason)) for reason in reasons),
        ],
    ]


def _latency_lines(population: Population) -> list[_Line]:
    samples = _Line(f"{population} samples", partial(_samples_text, population=population))
    return [
        samples,
        *(
            _Line(
                f"  {population} {name}",
                partial(_latency_text, population=population, name=name),
                partial(printed, population=population, name=name),
                partial(_interval_text, population=population, name=name),
            )
            for name in PERCENTILES
        ),
    ]


def _samples_text(summary: Summary, population: Population) -> str:
    samples = summary.latency[population]["intended"].count
    said = summary.cache.hit_share is not None  # of a server that says nothing of a cache, no hits are no news
    return count(samples if samples or said else None)


def _latency_text(summary: Summary, population: Population, name: str) -> str:
    """Both kinds of latency: from the intended start, then from the send; or how many samples it lacks."""
    of = summary.latency[population]
    if of["intended"].count == 0:
        return DASH
    values = [of[kind].percentiles[name] for kind in LATENCY_KINDS]
    if values[0] is None:
        return f"n < {count(samples_needed(PERCENTILES[name]))}"
    return f"{latency(values[0])} ({latency(values[1])})"


def _interval_text(summary: Summary, population: Population, name: str) -> str:
    interval = summary.latency[population]["intended"].intervals.get(name)
    return "" if interval is None else f"{latency(interval[0])} to {latency(interval[1])}"


def _warmup_text(summary: Summary) -> str:
    start = summary.warmup
    if start is None:
        return DASH
    return "none" if start.settled else f"{number(start.cut_s, 's')}, {start.population} {change(start.ratio)}"


def _cache_text(summary: Summary, cache: str) -> str:
    if cache == "none":
        return count(summary.cache.unknown or None) if summary.cache.hit_share is not None else DASH
    return count(getattr(summary.cache, cache) or None)


def _attempts_text(summary: Summary, spent: int) -> str:
    return count(summary.attempts.distribution.get(spent, 0))


def _failures_text(summary: Summary, reason: str) -> str:
    return count(summary.failures_by_reason.get(reason, 0))
