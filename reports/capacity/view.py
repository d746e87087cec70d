"""A capacity search on the terminal: its levels, the limit, the knee, the fitted law, and sizes for many more users."""

from __future__ import annotations

from typing import Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from reports.capacity.assess import MIN_LEVELS, Capacity, assess, level_of, process_load, unit_of
from reports.capacity.saved import host_of, runs_of_search
from reports.capacity.search import LevelVerdict
from reports.capacity.sizing import TARGETS, Host, ProcessLoad, assumptions, size_for
from reports.capacity.wording import attained, cautions, knee_sentence, law_sentence, limit_sentence
from reports.judge.attainment import Attainment
from reports.judge.gate import EXIT_INVALID, EXIT_PASS, EXIT_SLO_MISSED
from reports.judge.slo import Slo, show_slo
from reports.readable import count, number
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
    runs = runs_of_search(store, name)
    capacity = assess(slo, [level_of(run) for run in runs], unit_of(runs[0].manifest))
    print_capacity(console, capacity, host_of(runs[0].manifest))
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
    if capacity.process is not None:
        _print_sizes(console, capacity, capacity.process, host)


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
    """A value over its sample count."""
    value, samples = attained(attainment)
    return f"{value}\n{samples}" if samples else value


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
