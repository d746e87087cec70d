"""A gate's verdict as Markdown for a pull request: the outcome, each check, and the figures of the runs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from reports.judge.gate import Verdict
from reports.store.run import Run
from reports.summary.rows import summary_rows

_SIGNS: Final = {True: "✅ passed", False: "❌ failed", None: "⚠️ not judged"}
_SPECIAL: Final = re.compile(r"([\\`*_{}\[\]<>()#+!|~&-])")


def gate_markdown(verdict: Verdict, runs: Sequence[Run]) -> str:
    """The summary. What comes from a run is escaped: it shows as it is and links to nothing."""
    manifests = [run.manifest for run in runs]
    of = {m.id: f"{_text(m.label or m.mode)}, " if len(manifests) > 1 else "" for m in manifests}
    lines = [
        f"### Tailgate: {verdict.headline}",
        "",
        f"`{_code(verdict.name)}`",
        "",
        "| | check | measured |",
        "|---|---|---|",
        *(
            f"| {_SIGNS[c.passed]} | {of[c.run]}{_text(c.group)}: {_text(c.name)} | {_text(c.detail)} |"
            for c in verdict.checks
        ),
        "",
        *_figures(runs),
    ]
    return "\n".join(lines) + "\n"


def _figures(runs: Sequence[Run]) -> list[str]:
    manifests = [run.manifest for run in runs]
    groups = summary_rows([run.summary() for run in runs])
    return [
        "<details><summary>Figures</summary>",
        "",
        f"| | {' | '.join(_text(m.label or m.mode) for m in manifests)} |",
        f"|---|{'---:|' * len(manifests)}",
        *(f"| {_text(row.name.strip())} | {' | '.join(map(_text, row.texts))} |" for group in groups for row in group),
        "",
        "</details>",
    ]


def _text(words: str) -> str:
    """Words as Markdown shows them unchanged, on one line."""
    return _SPECIAL.sub(r"\\\1", _one_line(words)).replace("@", "&#64;")


def _code(words: str) -> str:
    return _one_line(words).replace("`", "'")


def _one_line(words: str) -> str:
    return "".join(character for character in " ".join(words.split()) if character.isprintable())
