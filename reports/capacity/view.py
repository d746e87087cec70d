"""A capacity search on the terminal: its levels, the limit, the knee, the fitted law, and sizes for many more users."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from reports.capacity.assess import MIN_LEVELS, Capacity, assess, level_of, process_load, unit_of
from reports.capacity.search import LevelVerdict
from reports.capacity.sizing import TARGETS, Host, ProcessLoad, assumptions, size_for
from reports.judge.attainment import Attainment
from reports.judge.gate import EXIT_INVALID, EXIT_PASS, EXIT_SLO_MISSED
from reports.judge.slo import Slo, show_slo
from reports.readable import DASH, count, latency, number, share
from reports.statistics.usl import UslFit
from reports.store.store import RunStore

_VERDICTS: Final[dict[LevelVerdict, Text]] = {
    "holds": Text("holds", "green"),
    "misses": Text("misses", "red"),
    "undecided": Text("undecided", "yellow"),
    "too-few-samples": Text("too few n", "yellow"),
    "generator-bound": Text("generator", "bold yellow"),
    "invalid": Text("invalid", "bold yellow"),
}


def show_capacity(console: Console, store: RunStore, name: str, slo: Slo) -> int:
    """Judge the saved search of an experiment, or of a run of it, and print it; the gate's exit codes.

    Raises ``StoreError`` where there is no such search.
    """
    runs = store.experiment(name)
    if not runs:
        run = store.open(store.resolve(name))
        runs = store.experiment(run.manifest.experiment) if run.manifest.experiment else [run]
    capacity = assess(slo, [level_of(run) for run in runs], unit_of(runs[0].manifest))
    environment = runs[0].manifest.environment
    print_capacity(console, capacity, Host(environment.cpu_count, environment.memory_bytes))
    return exit_code(capacity)


def exit_code(capacity: Capacity) -> int:
    """0 where a limit was found, 3 where no level is within the SLO, 5 where the measurement cannot tell."""
    if capacity.conclusive:
        return EXIT_PASS
    return EXIT_SLO_MISSED if capacity.most.limited_by == "slo" else EXIT_INVALID


def print_capacity(console: Console, capacity: Capacity, host: Host) -> None:
    """All that a search found; ``host`` is the kind of machine that sizes are given in."""
    console.print(_levels(capacity))
    console.print(Text(limit_sentence(capacity), "bold"))
    if len(capacity.levels) < MIN_LEVELS:
        console.print(Text(f"Fewer than {MIN_LEVELS} levels: no knee, no law, no sizes.", "dim"))
        return
    for sentence in (knee_sentence(capacity), law_sentence(capacity)):
        console.print(Text(sentence))
    for caution in cautions(capacity):
        console.print(Text(f"Note: {caution}", "yellow"))
    held = next((judged.level for judged in capacity.levels if judged.level.load == capacity.most.low), None)
    process = process_load(held) if held else None
    if process is not None:
        _print_sizes(console, capacity, process, host)


def limit_sentence(capacity: Capacity) -> str:
    """The most load within the SLO with its interval, and what was the limit."""
    unit, slo, most = capacity.unit, show_slo(capacity.slo), capacity.most
    low, high = count(most.low), count(most.high)
    if not capacity.levels:
        return "No level was measured."
    match most.limited_by:
        case "server":
            return f"{low} {unit} within {slo}: {low} hold, {high} miss, so the most is {low} to {high}."
        case "generator":
            at_least = f"At least {low} {unit} within {slo}. " if most.low else ""
            return (
                f"{at_least}At {high} the load generator was the limit, not the server: "
                "give it more processes (--generators) or hosts."
            )
        case "search":
            if most.low is None:
                return (
                    f"No level up to {count(capacity.levels[-1].level.load)} {unit} could be decided: measure longer."
                )
            return f"At least {low} {unit} within {slo}: the highest that was tried. Raise --most to find the limit."
        case "samples":
            return (
                f"No level could be shown to hold {slo}: those that may had too few samples. "
                "Measure longer (--duration), or ask for a lower percentile."
            )
        case "machine":
            held = f"{low} {unit} hold {slo}; no more" if most.low else "Nothing"
            return f"{held} is said: {_first_invalid(capacity)}. Repeat it when the machine is idle."
        case "slo":
            return f"No level holds {slo}, not even {high} {unit}."


def _first_invalid(capacity: Capacity) -> str:
    level = next(judged.level for judged in capacity.levels if judged.verdict == "invalid")
    return f"no measurement of {count(level.load)} {capacity.unit} was valid ({level.repeats[-1].reason})"


def knee_sentence(capacity: Capacity) -> str:
    """Where throughput stops growing in proportion, with its interval."""
    knee, unit = capacity.knee, capacity.unit
    if knee is None:
        return "Knee: none in sight; throughput still grows in proportion to the load."
    low, high = (count(round(end)) for end in knee.interval)
    one = unit.removesuffix("s") if unit == "users" else "arrival/s"
    return (
        f"Knee: {count(round(knee.load))} {unit} (95%: {low} to {high}). "
        f"Before it {number(knee.per_load)} req/s for each {one}, beyond it {number(knee.ceiling)} req/s in all."
    )


def law_sentence(capacity: Capacity) -> str:
    """The Universal Scalability Law as fitted, or why there is none to read."""
    fit = capacity.usl
    if fit is None:
        return "Universal Scalability Law: too few levels with throughput to fit it."
    if fit.poor:
        return (
            f"Universal Scalability Law: does not describe this server (typical residual {share(fit.residual)} of "
            f"{fit.samples} measurements), so nothing is read off it; the knee stands."
        )
    contention = f"contention {share(fit.law.contention)} ({share(fit.contention[0])} to {share(fit.contention[1])})"
    coherency = f"coherency {fit.law.coherency:.2g} ({fit.coherency[0]:.2g} to {fit.coherency[1]:.2g})"
    return (
        f"Universal Scalability Law: {contention}, {coherency}, {_peak(fit, capacity)}; typical residual "
        f"{share(fit.residual)} of {fit.samples} measurements."
    )


def _peak(fit: UslFit, capacity: Capacity) -> str:
    highest = capacity.levels[-1].level.load
    if fit.law.peak_load > highest:
        return f"no peak up to {count(highest)} {capacity.unit}"
    low, high = ("∞" if math.isinf(end) else count(round(end)) for end in fit.peak_load)
    ceiling = f"{number(fit.law.ceiling)} req/s"
    return f"throughput is highest at {count(round(fit.law.peak_load))} {capacity.unit} ({low} to {high}): {ceiling}"


def cautions(capacity: Capacity) -> Sequence[str]:
    """What a reader should know before using the figures."""
    found = []
    if not any(threshold.indicator.kind == "failed" for threshold in capacity.slo):
        found.append("the SLO does not bound failures; a server that refuses quickly looks fast. Add failed<1%.")
    spoiled = sum(r.validity == "NOISY" for judged in capacity.levels for r in judged.level.repeats)
    if spoiled:
        found.append(f"{spoiled} repeats were not valid and were not used.")
    return found


def _levels(capacity: Capacity) -> Table:
    title = f"SLO {show_slo(capacity.slo)}"
    table = Table(box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True, title=title, title_justify="left")
    columns = list(dict.fromkeys(a.name for judged in capacity.levels for a in judged.attainments))
    headings = (name.replace("<", "\n<", 1).replace(">", "\n>", 1) for name in columns)
    table.add_column(capacity.unit, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for heading in ("goodput\nreq/s", *headings, "server\ncores", "valid\nrepeats"):
        table.add_column(heading, justify="right", no_wrap=True)
    for judged in capacity.levels:
        by_name = {attainment.name: attainment for attainment in judged.attainments}
        used = process_load(judged.level)
        table.add_row(
            count(judged.level.load),
            _VERDICTS[judged.verdict],
            number(judged.goodput),
            *(_cell(by_name.get(name)) for name in columns),
            number(used.cores if used else None),
            f"{len(judged.level.valid)} of {len(judged.level.repeats)}",
        )
    return table


def _cell(attainment: Attainment | None) -> str:
    """A value over its sample count; where too few let it be printed, how many lie beyond the limit."""
    if attainment is None or not attainment.samples:
        return DASH
    value = attainment.value
    match attainment.threshold.indicator.kind:
        case _ if value is None:
            text = f"{count(attainment.beyond)} beyond"
        case "latency":
            text = latency(value)
        case "failed" | "hit_share":
            text = share(value)
        case "goodput":
            text = number(value, "req/s")
        case "attempts":
            text = number(value)
    return f"{text}\nn = {count(attainment.samples)}"


def _print_sizes(console: Console, capacity: Capacity, process: ProcessLoad, host: Host) -> None:
    bound = "" if capacity.most.limited_by == "server" else ", at most"
    title = f"Processes and hosts for many more {capacity.unit}{bound} (calculated, not measured)"
    table = Table(box=SIMPLE_HEAD, pad_edge=False, title=title, title_justify="left")
    for name in (capacity.unit, "processes", "hosts", "to Gemini"):
        table.add_column(name, justify="right")
    for target in TARGETS:
        size = size_for(target, process, host)
        table.add_row(count(target), count(size.processes), count(size.hosts), number(size.gemini_rps, "req/s"))
    console.print(table)
    console.print(Text("Assumed:", "dim"))
    for sentence in assumptions(process, host, capacity.unit):
        console.print(Text(f"  {sentence}", "dim"))
