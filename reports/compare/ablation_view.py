"""What policies earn and cost, on the terminal: a table of their effects, and a sentence each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from reports.compare.ablation import Ablation, Effect, Outcome
from reports.readable import change, latency, number, share

_STYLES: Final[dict[Outcome, str]] = {"earns": "green", "costs": "red", "cannot tell": "dim"}


def print_ablations(console: Console, ablations: Sequence[Ablation], currency: str) -> None:
    """All policies that were switched off; ``currency`` is that of the token prices."""
    for ablation in ablations:
        console.print(_effects(ablation, currency))
    console.print(
        Text(
            "with: all policies; without: all but this one; change: what having it does, with its 95% interval. "
            "Blocks of all arms took turns.\n",
            "dim",
        )
    )
    for ablation in ablations:
        console.print(Text(sentence(ablation, currency)))


def sentence(ablation: Ablation, currency: str) -> str:
    """What a policy earns and costs, from the intervals alone."""
    if ablation.refusal:
        return f"No verdict on {ablation.policy}: {ablation.refusal}."
    outcomes: tuple[Outcome, ...] = ("earns", "costs")
    told = [
        f"{outcome} {', '.join(_words(effect, currency) for effect in ablation.told(outcome))}"
        for outcome in outcomes
        if ablation.told(outcome)
    ]
    return (
        f"{ablation.policy} {'; '.join(told)}." if told else f"{ablation.policy}: this run cannot tell it from nothing."
    )


def _effects(ablation: Ablation, currency: str) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True, title_justify="left", title_style="bold")
    table.title = ablation.policy
    table.add_column("", min_width=12)
    for name in ("with", "without", "change", "interval"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for effect in ablation.effects:
        values = (_value(effect, value, currency) for value in (effect.with_policy, effect.without))
        outcome: Outcome | str = "" if ablation.refusal else effect.outcome
        style = "dim" if ablation.refusal else _STYLES[effect.outcome]
        table.add_row(effect.name, *values, _change(effect, effect.change), _interval(effect), Text(outcome, style))
    return table


def _words(effect: Effect, currency: str) -> str:
    values = (_value(effect, value, currency) for value in (effect.without, effect.with_policy))
    return f"{effect.name} {_change(effect, effect.change)} ({' to '.join(values)})"


def _value(effect: Effect, value: float, currency: str) -> str:
    match effect.unit:
        case "share":
            return share(value)
        case "/s":
            return number(value, "req/s")
        case "us":
            return number(value, "µs/req")
        case "ms":
            return latency(value)
        case "money":
            return number(value, currency)
        case "attempts":
            return number(value)


def _interval(effect: Effect) -> str:
    """Both ends, the unit once where it is the same: ``-8.1 to +29.5%``."""
    low, high = (_change(effect, end) for end in (effect.low, effect.high))
    for unit in (" pp", "%"):
        if low.endswith(unit) and high.endswith(unit):
            low = low.removesuffix(unit)
    return f"{low} to {high}"


def _change(effect: Effect, fraction: float) -> str:
    """A relative change in per cent, or a share's in percentage points."""
    if effect.unit == "share":
        points = fraction * 100
        return f"{points:+.{2 if abs(points) < 10 else 1}f} pp"
    return change(1 + fraction)
