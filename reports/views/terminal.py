"""Runs on the terminal: the list, one run, and two arms beside each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from reports.compare.comparison import Comparison
from reports.compare.verdict import compare
from reports.readable import DASH, change, count, either_way, latency, number, share
from reports.records.schema import POPULATIONS, STAGES, Manifest
from reports.statistics.bootstrap import MIN_CHUNKS
from reports.store.run import Run
from reports.store.store import RunEntry
from reports.summary.rows import PHASE_COLUMNS, phase_rows, printed, summary_rows
from reports.summary.summary import Reason, Summary

_VERDICT_STYLE = {"VALID": "green", "GENERATOR-BOUND": "bold yellow", "NOISY": "bold yellow"}
_DIRECTION_STYLE = {"faster": "green", "slower": "red", "cannot tell": "yellow"}


def print_list(console: Console, entries: Sequence[RunEntry]) -> None:
    """The runs, newest first; damaged ones with their reason. A narrow terminal gets fewer columns."""
    columns = [column for column in _LIST_COLUMNS if console.width >= column.from_width]
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("run", no_wrap=True)
    for column in columns:
        table.add_column(column.name, justify="right", no_wrap=True)
    table.add_column("validity", overflow="fold")
    for entry in entries:
        table.add_row(entry.id, *(column.text(entry) for column in columns), _remarks(entry))
    console.print(table)


@dataclass(frozen=True)
class _Column:
    """A column of the list, shown on terminals at least ``from_width`` characters wide."""

    name: str
    from_width: int
    text: Callable[[RunEntry], str]


def _of_summary(text: Callable[[Summary], str]) -> Callable[[RunEntry], str]:
    return lambda entry: text(entry.summary) if entry.summary else DASH


_LIST_COLUMNS = (
    _Column("users", 100, lambda entry: count(entry.manifest.users if entry.manifest else None)),
    _Column("req/s", 0, _of_summary(lambda s: number(s.throughput_rps))),
    _Column("hit p50", 110, _of_summary(lambda s: latency(printed(s, "hit", "p50")))),
    _Column("hit p99", 130, _of_summary(lambda s: latency(printed(s, "hit", "p99")))),
    _Column("miss p50", 110, _of_summary(lambda s: latency(printed(s, "miss", "p50")))),
    _Column("miss p99", 0, _of_summary(lambda s: latency(printed(s, "miss", "p99")))),
    _Column("hits", 120, _of_summary(lambda s: share(s.cache.hit_share))),
    _Column("failed", 100, _of_summary(lambda s: share(s.failed_share))),
)


def _remarks(entry: RunEntry) -> Text:
    """Validity, a state other than complete, what is damaged, and what people marked it with."""
    text = Text()
    if entry.summary:
        text.append(entry.summary.validity.verdict, _VERDICT_STYLE[entry.summary.validity.verdict])
    if entry.state != "complete":
        text.append(f" {entry.state}", "red")
    if entry.damage:
        text.append(f" {entry.damage}", "red")
    if entry.manifest:
        marks = [*(["baseline"] if entry.manifest.baseline else []), *entry.manifest.tags]
        text.append("".join(f" #{mark}" for mark in marks), "cyan")
    return text


def print_run(console: Console, run: Run) -> None:
    """Everything about one run."""
    summary = run.summary()
    console.print(_heading(run.manifest, summary))
    console.print(_figures(console, [("", summary)]))
    for table in _phases("", summary):
        console.print(table)
    console.print(_stages(summary))
    if not any(of["intended"].intervals for of in summary.latency.values()):
        console.print(Text(f"No 95% intervals: they need requests in at least {MIN_CHUNKS} seconds.", "dim"))
    console.print(_method(summary))
    _print_validity(console, "", summary, summary.validity.remarks)


def print_comparison(console: Console, a: Run, b: Run) -> Comparison:
    """Two runs side by side with ratios, and the verdict; returns what was compared."""
    comparison = compare(a, b)
    summaries = [(_arm_name("A", a.manifest), a.summary()), (_arm_name("B", b.manifest), b.summary())]
    for (name, summary), run in zip(summaries, (a, b), strict=True):
        console.print(Text(f"{name}: ", "bold"), _heading(run.manifest, summary), sep="")
    console.print(_figures(console, summaries))
    for name, summary in summaries:
        for table in _phases(f"{name}. ", summary):
            console.print(table)
    if comparison.differences:
        console.print(_differences(comparison))
    console.print(Text(comparison.sentence, "bold"))
    for caution in comparison.cautions:
        console.print(Text(f"Note: {caution}.", "dim"))
    console.print(_method(summaries[0][1]))
    for name, summary in summaries:
        _print_validity(console, f"{name}: ", summary, [*summary.validity.reasons, *summary.validity.left_out])
    return comparison


def print_runs(console: Console, runs: Sequence[Run]) -> None:
    """Two runs, the arms of an experiment, compared; else each by itself. Raises ``StoreError`` for a damaged one."""
    if len(runs) == 2:
        print_comparison(console, *runs)
    else:
        for run in runs:
            print_run(console, run)


def _arm_name(arm: str, manifest: Manifest) -> str:
    return f"{arm} {manifest.label or manifest.mode}"


def _heading(manifest: Manifest, summary: Summary) -> Text:
    window = summary.window
    text = Text(manifest.id, "bold")
    if manifest.status != "complete":
        text.append(f"  {manifest.status}{': ' + manifest.reason if manifest.reason else ''}", "bold red")
    text.append(
        f"\n{manifest.scenario}, {manifest.mode}, {count(manifest.users)} users, seed {manifest.seed}; measured "
        f"{number(window.measured_s, 's')} in {window.blocks} block{'s' if window.blocks != 1 else ''}, "
        f"{count(summary.requests)} requests ({count(window.samples_outside)} outside the window)",
        "dim",
    )
    return text


def _figures(console: Console, summaries: Sequence[tuple[str, Summary]]) -> Table:
    """The rows; of two runs with their ratios, of one with its intervals if it has any.

    Where the console is too narrow, what stands in brackets goes below its figure.
    """
    groups = summary_rows([summary for _, summary in summaries])
    names = ["", *(name for name, _ in summaries)]
    if len(summaries) == 2:
        names.append("B / A")
        cells = [[[row.name, *row.texts, row.ratio] for row in group] for group in groups]
    else:
        cells = [[[row.name, *row.texts, row.interval] for row in group] for group in groups]
        names.append("95% interval" if any(row[-1] for group in cells for row in group) else "")
    table = _grouped(names, cells)
    unbounded = console.options.update(width=10 * console.width)
    if console.measure(table, options=unbounded).minimum <= console.width:
        return table
    return _grouped(names, [[[text.replace(" (", "\n(") for text in row] for row in group] for group in cells])


def _grouped(names: Sequence[str], groups: Sequence[Sequence[Sequence[str]]]) -> Table:
    """Rows in groups; a column is as wide as its widest figure, and only a head may wrap."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    columns = zip(*(row for group in groups for row in group), strict=True)
    for name, texts in zip(names, columns, strict=True):
        widest = max(len(line) for text in texts for line in text.splitlines() or [""])
        table.add_column(name, justify="right" if table.columns else "left", min_width=widest, overflow="fold")
    for group in groups:
        for row in group:
            table.add_row(*row)
        table.add_section()
    return table


def _stages(summary: Summary) -> Table | Text:
    """Where a request's time went on the server, by stage."""
    if not any(stage.count for stages in summary.stages.values() for stage in stages.values()):
        return Text("The server sent no Server-Timing: no times by stage.", "dim")
    table = Table(box=SIMPLE_HEAD, title="Server time by stage: mean, p50, p99", title_justify="left")
    table.add_column("stage")
    for population, stages in summary.stages.items():
        table.add_column(f"{population} (n = {count(stages['total'].count)})", justify="right")
    for stage in STAGES:
        cells = [summary.stages[population][stage] for population in POPULATIONS]
        table.add_row(stage, *(", ".join(latency(ms) for ms in (c.mean_ms, c.p50_ms, c.p99_ms)) for c in cells))
    return table


def _phases(name: str, summary: Summary) -> Iterator[Table]:
    """What was met in the parts of a run that differ by design: the percentiles above are of all of them."""
    for what, rows in phase_rows(summary).items():
        title = f"{name}By {what}: p50, p99 from the intended start (n)"
        table = Table(box=SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False)
        for heading in (what, *PHASE_COLUMNS):
            table.add_column(heading, justify="right")
        for row in rows:
            table.add_row(*row)
        yield table


def _differences(comparison: Comparison) -> Table:
    table = Table(box=SIMPLE_HEAD, title="B relative to A, 95% simultaneous intervals", title_justify="left")
    table.add_column("")
    for name in ("change", "from", "to"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("verdict")
    table.add_column("could tell from", justify="right")
    for d in comparison.differences:
        changes = [change(ratio) for ratio in (d.ratio, d.low, d.high)]
        verdict = Text(d.direction, _DIRECTION_STYLE[d.direction])
        table.add_row(f"{d.population} {d.percentile}", *changes, verdict, either_way(d.detectable))
    return table


def _print_validity(console: Console, prefix: str, summary: Summary, remarks: Sequence[Reason]) -> None:
    """What a reader must know before believing the figures."""
    verdict = summary.validity.verdict
    text = Text(f"{prefix}{verdict}", _VERDICT_STYLE[verdict])
    r = summary.reconciliation
    if r.matches is not None:
        text.append(f"  {count(r.recorded)} replies recorded, {count(r.counted)} counted by the server", "dim")
    console.print(text)
    for reason in remarks:
        console.print(Text(f"  {reason.what}: {reason.advice}.", "yellow"))


def _method(summary: Summary) -> Text:
    """How the latencies were measured."""
    untold = f"{count(summary.cache.unknown)} replies said nothing of a cache, and count as misses. "
    return Text(
        f"{untold if summary.cache.unknown else ''}Latency from the intended start, in brackets from the send; exact "
        f"percentiles of successes, interpolated as numpy does; {summary.window.rule}.",
        "dim",
    )
