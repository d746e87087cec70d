"""One self-contained HTML file of a run or of both arms of an experiment: no network, readable in ten years."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Final

import plotly.graph_objects as go
import plotly.io as pio
from plotly.offline import get_plotlyjs

from reports.compare.comparison import Comparison
from reports.compare.verdict import compare
from reports.figures import (
    Theme,
    hit_miss_ecdf,
    latency_over_time,
    percentiles,
    relative_change,
    retries_over_time,
)
from reports.figures.dots import are_few, dots_of
from reports.readable import count, number
from reports.store.run import Run
from reports.summary.rows import PHASE_COLUMNS, phase_rows, summary_rows
from reports.summary.summary import Summary

_STYLE: Final = Path(__file__).with_name("export.css")
_NO_NETWORK: Final = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
_FIGURE_CONFIG: Final = {"displayModeBar": False, "responsive": True}


def export_html(runs: Sequence[Run], theme: Theme, *, slo_ms: float | None = None) -> str:
    """The page of one run, or of two (A, then B) with their comparison. Raises ``RunDamaged``."""
    summaries = [run.summary() for run in runs]
    comparison = compare(*runs) if len(runs) == 2 else None
    names = [run.manifest.label or run.manifest.mode for run in runs]
    if comparison is not None:
        names = [f"{arm} {name}" for arm, name in zip("AB", names, strict=True)]
    title = " against ".join(names) + f", {runs[0].manifest.scenario}"
    cards = [_verdict_card(comparison)] if comparison else []
    for run, summary, name in zip(runs, summaries, names, strict=True):
        cards += _run_cards(run, summary, name, theme, slo_ms)
    if comparison:
        subtitle = "change of each percentile with its 95% interval"
        cards.append(_card("B relative to A", subtitle, _drawn(relative_change(comparison, theme=theme)), wide=True))
    cards.append(_card("Figures", "all populations apart", _table(names, summaries), wide=True))
    headings = "".join(_heading(*pair, alone=len(runs) == 1) for pair in zip(runs, summaries, strict=True))
    return f"""<!DOCTYPE html>
<html lang="en" data-theme="{theme.name}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{_NO_NETWORK}">
<title>{escape(title)}</title>
<style>:root {{{_variables(theme)}}}
{_STYLE.read_text(encoding="utf-8")}</style>
<script>{get_plotlyjs()}</script>
</head>
<body>
<header><h1>{escape(title)}</h1>{headings}
</header>
<main>{"".join(cards)}</main>
<footer>Latency from the intended start, in brackets from the send; exact percentiles of successes, interpolated as
numpy does; withheld where fewer than 10 samples lie beyond. {escape(_sentence(summaries[0].window.rule))}</footer>
</body>
</html>
"""


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _variables(theme: Theme) -> str:
    names = ("page", "card", "line", "text", "muted", "good", "bad")
    return " ".join(f"--{name}: {getattr(theme, name)};" for name in names)


def _heading(run: Run, summary: Summary, *, alone: bool) -> str:
    m, verdict = run.manifest, summary.validity.verdict
    blocks = "1 block" if summary.window.blocks == 1 else f"{count(summary.window.blocks)} blocks"
    status = (
        "" if m.status == "complete" else f" <b class='bad'>{escape(m.status)}: {escape(m.reason or 'no reason')}</b>"
    )
    reasons = "".join(f"<br>{escape(reason.what)}: {escape(reason.advice)}." for reason in summary.validity.remarks)
    return (
        f"<p><code>{escape(m.id)}</code> <b class='{'good' if verdict == 'VALID' else 'bad'}'>{verdict}</b>{status}<br>"
        f"{count(m.users)} users, seed {m.seed}, {number(summary.window.measured_s, 's')} measured in "
        f"{blocks}, {count(summary.requests)} requests; {escape(m.environment.cpu_model)}, "
        f"{m.environment.cpu_count} cores{reasons}</p>"
    )


def _run_cards(run: Run, summary: Summary, name: str, theme: Theme, slo_ms: float | None) -> list[str]:
    aggregate = run.aggregate()
    dots = dots_of(run) if are_few(aggregate) else None
    n = {p: count(latency["intended"].count) for p, latency in summary.latency.items()}
    of = f"{n['hit']} hits, {n['miss']} misses"
    return [
        _card(
            f"Latency over time: {name}",
            "every success by time and log latency; "
            f"{'one dot each' if dots else 'stronger colour is more requests'}; shaded: ramp and warm-up",
            _drawn(latency_over_time(aggregate, theme=theme, dots=dots, faults=run.manifest.faults_s)),
            wide=True,
        ),
        *(
            _card(f"By {what}: {name}", "p50, p99 from the intended start (n)", _phases(what, rows), wide=True)
            for what, rows in phase_rows(summary).items()
        ),
        _card(
            f"Cache hit against miss: {name}",
            f"share of requests finished within a time; {of}",
            _drawn(hit_miss_ecdf(aggregate, theme=theme, slo_ms=slo_ms)),
        ),
        _card(
            f"Latency by percentile: {name}",
            f"drawn as far as samples go; {of}",
            _drawn(percentiles(aggregate, theme=theme)),
        ),
        _card(
            f"Retries over time: {name}",
            "share of the requests that reached Gemini",
            _drawn(retries_over_time(aggregate, theme=theme)),
        ),
    ]


def _verdict_card(comparison: Comparison) -> str:
    cautions = "".join(f"<li>{escape(caution)}</li>" for caution in comparison.cautions)
    body = f"<p class='verdict'>{escape(comparison.sentence)}</p><ul>{cautions}</ul>"
    return _card("Verdict", "from simultaneous 95% intervals alone", body, wide=True)


def _card(title: str, subtitle: str, body: str, *, wide: bool = False) -> str:
    start = "<section class='wide'>" if wide else "<section>"
    return f"{start}<h2>{escape(title)}</h2><p class='subtitle'>{escape(subtitle)}</p>{body}</section>"


def _drawn(figure: go.Figure) -> str:
    html: str = pio.to_html(
        figure,
        full_html=False,
        include_plotlyjs=False,
        config=_FIGURE_CONFIG,
        default_height="280px",
    )
    return html


def _phases(what: str, rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th scope='col'>{escape(name)}</th>" for name in (what, *PHASE_COLUMNS))
    body = "".join(
        f"<tr><th scope='row'>{escape(row[0])}</th>{''.join(f'<td>{escape(text)}</td>' for text in row[1:])}</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _table(names: Sequence[str], summaries: Sequence[Summary]) -> str:
    two = len(names) == 2
    columns = [*names, "B / A" if two else "95% interval"]
    head = "".join(f"<th scope='col'>{escape(name)}</th>" for name in columns)
    body = ""
    for group in summary_rows(summaries):
        rows = []
        for row in group:
            texts = [*row.texts, row.ratio if two else row.interval]
            cells = "".join(f"<td>{escape(text)}</td>" for text in texts)
            part = " class='part'" if row.name.startswith(" ") else ""
            rows.append(f"<tr><th scope='row'{part}>{escape(row.name.strip())}</th>{cells}</tr>")
        body += f"<tbody>{''.join(rows)}</tbody>"
    return f"<table><thead><tr><td></td>{head}</tr></thead>{body}</table>"
