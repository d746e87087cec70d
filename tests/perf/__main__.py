"""``python -m tests.perf`` (``make perf``): what the hot path costs against bars built here, as a table and as JSON."""

import argparse
import json
import platform
import sys
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.perf import hits, misses
from tests.perf.ablation import PolicyCost, measure_decorators, measure_policies
from tests.perf.crowd import Crowd, measure_crowd
from tests.perf.rounds import Measured

PARTS = ("hits", "misses", "policies", "crowd")
console = Console()


def main() -> int:
    """Measure the parts asked for, print a table each, and save all of it."""
    options = _options()
    saved: dict[str, Any] = {"environment": _environment(), "rounds": options.rounds}
    goals: list[tuple[str, float, float, str]] = []
    if "hits" in options.only:
        measured = hits.measure_hits(options.rounds, number=1000)
        saved["hits"] = [asdict(each) for each in measured]
        _show_arms("A cache hit", measured, against=hits.BAR)
        ratio = {each.name: each.ratio for each in measured}
        goals.append(("hit, against a bare aiohttp handler", ratio[hits.HIT], 1.3, "x"))
        goals.append(("hit, against FastAPI + uvicorn", ratio[hits.HIT] / ratio[hits.FASTAPI], 0.4, "x"))
    if "misses" in options.only:
        measured = misses.measure_misses(max(5, options.rounds // 4), number=600)
        saved["misses"] = [asdict(each) for each in measured]
        _show_arms("A miss with two upstream calls to a 0 ms Gemini", measured, against=misses.BAR)
        ratio = {each.name: each.ratio for each in measured}
        goals.append(("miss by the built-in client, against FastAPI + google-genai", ratio[misses.BUILTIN], 0.12, "x"))
    if "policies" in options.only:
        costs = measure_policies(options.rounds * 5)
        saved["policies"] = [asdict(each) for each in costs]
        _show_policies(costs)
        whole = costs[0]
        alone = measure_decorators(options.rounds * 4)
        saved["decorators_alone_us"] = alone
        goals.append(("all policies together, on a hit", whole.hit_us or 0.0, 6.0, "us"))
        goals.append(("all policies together, on a miss", whole.miss_us, 6.0, "us"))
        goals.append(("the decorators by themselves, idle hooks, on a miss", alone["all, miss"], 6.0, "us"))
    if "crowd" in options.only:
        crowds = [measure_crowd(mock, 10_000) for mock in ("200ms", "6000ms")]
        saved["crowd"] = [asdict(each) for each in crowds]
        _show_crowds(crowds)
        for crowd in crowds:
            goals.append((f"10,000 at once, {crowd.mock} Gemini: failed", crowd.failed, 0, ""))
            goals.append((f"10,000 at once, {crowd.mock} Gemini: memory at its most", crowd.peak_mib, 300, "MiB"))
            goals.append(
                (f"10,000 at once, {crowd.mock} Gemini: idle after", crowd.after_mib / crowd.idle_mib, 1.1, "x")
            )
    _show_goals(goals)
    saved["goals"] = [{"goal": name, "value": value, "at_most": most} for name, value, most, _ in goals]
    options.json.write_text(json.dumps(saved, indent=1) + "\n")
    console.print(f"saved as {options.json}")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.perf", description=__doc__)
    parser.add_argument("--rounds", type=int, default=40, help="interleaved rounds an arm (default %(default)s)")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="parts to measure (default: all)")
    parser.add_argument("--json", type=Path, default=Path("perf.json"), help="where to save (default %(default)s)")
    options = parser.parse_args()
    if options.rounds < 2:
        parser.error("--rounds must be 2 or more: a spread needs two")
    return options


def _environment() -> dict[str, str]:
    packages = ("aiohttp", "uvloop", "pydantic", "orjson", "fastapi", "uvicorn", "google-genai")
    return {"python": platform.python_version(), "machine": platform.processor() or platform.machine()} | {
        package: version(package) for package in packages
    }


def _show_arms(title: str, measured: list[Measured], *, against: str) -> None:
    first = measured[0]
    caption = f"median and quartiles of {first.rounds} interleaved rounds of {first.requests // first.rounds} requests"
    table = Table(title=f"{title}: server CPU a request", caption=caption)
    table.add_column("server")
    table.add_column("us", justify="right")
    table.add_column("quartiles", justify="right")
    table.add_column(f"x {against}", justify="right")
    table.add_column("quartiles", justify="right")
    for each in measured:
        table.add_row(
            each.name,
            f"{each.us:.1f}",
            f"{each.us_q1:.1f} to {each.us_q3:.1f}",
            f"{each.ratio:.3f}",
            f"{each.ratio_q1:.3f} to {each.ratio_q3:.3f}",
        )
    console.print(table)


def _show_policies(costs: list[PolicyCost]) -> None:
    table = Table(
        title="Policies: CPU a request, by switching each off",
        caption=f"median and quartiles of {costs[0].rounds} rounds; one prompt, a client that answers at once",
    )
    for name in ("policy", "us on a miss", "quartiles", "us on a hit"):
        table.add_column(name, justify="left" if name == "policy" else "right")
    for each in costs:
        hit = "" if each.hit_us is None else f"{each.hit_us:.2f}"
        table.add_row(each.policy, f"{each.miss_us:.2f}", f"{each.miss_q1:.2f} to {each.miss_q3:.2f}", hit)
    console.print(table)


def _show_crowds(crowds: list[Crowd]) -> None:
    table = Table(title="10,000 requests at once in one process", caption="the third of three waves; resident memory")
    for name in ("Gemini takes", "failed", "held at once", "wall s", "fresh MiB", "idle MiB", "most MiB", "after MiB"):
        table.add_column(name, justify="right")
    for each in crowds:
        memory = [f"{mib:.0f}" for mib in (each.fresh_mib, each.idle_mib, each.peak_mib, each.after_mib)]
        table.add_row(each.mock, str(each.failed), str(each.most_held), f"{each.wall_s:.1f}", *memory)
    console.print(table)


def _show_goals(goals: list[tuple[str, float, float, str]]) -> None:
    table = Table(title="Goals", caption="microseconds depend on how Python was built, too: docs/policies.md")
    for name in ("what", "measured", "at most", ""):
        table.add_column(name, justify="left" if name in ("what", "") else "right")
    for name, value, most, unit in goals:
        verdict = "[green]met[/]" if value <= most else "[red]missed[/]"
        table.add_row(name, f"{value:.3g} {unit}", f"{most:g} {unit}", verdict)
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
