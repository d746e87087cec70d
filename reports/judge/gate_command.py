"""``python -m reports gate``: judge a saved run or experiment, and write what build servers and pull requests show."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from reports.judge.baseline import measure_baseline, read_baseline
from reports.judge.gate import (
    EXIT_INVALID,
    EXIT_PASS,
    TOLERANCE,
    GateError,
    GateFile,
    Verdict,
    hold_gate,
    read_gate_file,
)
from reports.judge.junit import junit_xml
from reports.judge.markdown import gate_markdown
from reports.judge.slo import EXAMPLE, parse_slo
from reports.records.schema import BARE_MODE
from reports.store.run import Run
from reports.store.store import RunStore

_SIGNS: Final = {True: ("passed", "green"), False: ("failed", "red"), None: ("not judged", "yellow")}


def add_gate_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of the command."""
    add = parser.add_argument
    add(
        "name",
        nargs="?",
        default="latest",
        metavar="RUN",
        help="a run's id, the beginning of one, or an experiment's id",
    )
    add("--slo", metavar="EXPR", help="thresholds, e.g. " + EXAMPLE.replace("%", "%%"))
    add("--file", type=Path, metavar="FILE", help="thresholds in TOML: slo, baseline, tolerance; flags go first")
    add("--baseline", type=Path, metavar="FILE", help="compare with it, by ratio to the bare handler in the same run")
    add("--tolerance", type=_fraction, metavar="X", help=f"how much worse a ratio may be (default: {TOLERANCE:g})")
    add("--write-baseline", type=Path, metavar="FILE", help="do not judge: make this experiment the baseline")
    add("--junit", type=Path, metavar="FILE", help="write the verdict as JUnit XML")
    add("--markdown", type=Path, metavar="FILE", help="write the verdict and the figures as Markdown")


def gate(store: RunStore, arguments: argparse.Namespace) -> int:
    """Judge, print and write; the exit code. Raises ``InputError`` or ``StoreError``, one line each."""
    terms = read_gate_file(arguments.file) if arguments.file else GateFile()
    expression = terms.slo if arguments.slo is None else arguments.slo
    baseline_path = arguments.baseline or terms.baseline
    tolerance = terms.tolerance if arguments.tolerance is None else arguments.tolerance
    slo = () if expression is None else parse_slo(expression)
    baseline = read_baseline(baseline_path) if baseline_path else None
    runs = _runs(store, arguments.name, whole=baseline is not None or arguments.write_baseline is not None)
    console = Console(highlight=False, soft_wrap=True)
    if arguments.write_baseline:
        return _write_baseline(console, runs, arguments.write_baseline)
    name = runs[0].manifest.id if len(runs) == 1 else runs[0].manifest.experiment or arguments.name
    verdict = hold_gate(name, runs, slo, baseline, tolerance)
    _print(console, verdict)
    if arguments.junit:
        _write(arguments.junit, junit_xml(verdict))
    if arguments.markdown:
        _write(arguments.markdown, gate_markdown(verdict, runs))
    return verdict.exit_code


def _runs(store: RunStore, name: str, *, whole: bool) -> list[Run]:
    """The runs of an experiment, or one run; with ``whole``, or if it is the bare handler's, its whole experiment."""
    experiment = store.experiment(name)
    if experiment:
        return experiment
    run = store.open(store.resolve(name))
    whole = whole or run.manifest.mode == BARE_MODE
    return store.experiment(run.manifest.experiment) if whole and run.manifest.experiment else [run]


def _write_baseline(console: Console, runs: Sequence[Run], path: Path) -> int:
    """Measure the experiment's ratios and save them; nothing is saved of runs that are not valid."""
    if len(runs) != 2:
        raise GateError(f"a baseline is made of two runs, a server's and the bare handler's; here are {len(runs)}")
    for run in runs:
        validity = run.summary().validity
        if validity.verdict != "VALID":
            reason = validity.reasons[0].what
            console.print(Text(f"No baseline: run {run.manifest.id} is {validity.verdict}, {reason}", "yellow"))
            return EXIT_INVALID
    baseline = measure_baseline(*runs)
    _write(path, baseline.model_dump_json(indent=1) + "\n")
    console.print(f"Wrote {path}: commit it, and compare with --baseline {path}")
    return EXIT_PASS


def _print(console: Console, verdict: Verdict) -> None:
    runs = list(dict.fromkeys(check.run for check in verdict.checks))
    for run in runs:
        table = Table(box=SIMPLE_HEAD, pad_edge=False, title=run if len(runs) > 1 else None, title_justify="left")
        for column in ("", "check", "measured"):
            table.add_column(column, overflow="fold")
        for check in verdict.checks:
            if check.run == run:
                word, style = _SIGNS[check.passed]
                table.add_row(Text(word, style), Text(f"{check.group} {check.name}"), Text(check.detail))
        console.print(table, soft_wrap=False)
    console.print(Text(f"{verdict.name}: {verdict.headline} (exit code {verdict.exit_code})", "bold"))


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise GateError(f"cannot write {path}: {error.strerror}") from None


def _fraction(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 10:
        raise argparse.ArgumentTypeError(f"{text!r} is not a fraction, such as 0.1 for 10%")
    return value
