"""Service level objectives as people write them, ``p99<1s,failed<1%``, parsed to typed thresholds.

    p50 p99 p99.9 ...   latency from the intended start, an upper bound with a unit: us, ms or s. It holds for hits and
                        for misses apart, as the two are never pooled; hit.p99 and miss.p99 bind one of them
    failed              share of measured requests that failed, an upper bound: 1% or 0.01
    goodput             successful requests a second, a lower bound: 100/s
    hit_share           share of successful requests that the cache answered, a lower bound: 50% or 0.5
    attempts            Gemini attempts per success that reached Gemini, an upper bound: 1.2

Parts are joined by commas and all must hold. What could never be met, and what could never be missed, is refused.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Literal, get_args

from reports.errors import InputError
from reports.records.schema import POPULATIONS, Population

Kind = Literal["latency", "failed", "goodput", "hit_share", "attempts"]
Operator = Literal["<", "<=", ">", ">="]

_PART: Final = re.compile(r"([A-Za-z_]+\.)?([A-Za-z_]+[\d.]*)(<=|>=|<|>)([^<>=]+)")
_PERCENTILE: Final = re.compile(r"p(\d+(?:\.\d+)?)")
_NUMBER: Final = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(.*)", re.DOTALL)
_UNITS: Final[dict[Kind, dict[str, Decimal]]] = {
    "latency": {"us": Decimal("0.001"), "µs": Decimal("0.001"), "ms": Decimal(1), "s": Decimal(1000)},
    "failed": {"%": Decimal("0.01"), "": Decimal(1)},
    "goodput": {"/s": Decimal(1)},
    "hit_share": {"%": Decimal("0.01"), "": Decimal(1)},
    "attempts": {"": Decimal(1)},
}
_RANGES: Final[dict[Kind, tuple[float, float]]] = {
    "latency": (math.ulp(0.0), math.inf),
    "failed": (0.0, 1.0),
    "goodput": (0.0, math.inf),
    "hit_share": (0.0, 1.0),
    "attempts": (1.0, math.inf),
}
_UPPER_BOUNDS: Final = frozenset({"latency", "failed", "attempts"})
EXAMPLE: Final = "p99<1s,failed<1%"
"""An expression to show where one is asked for."""


class SloError(InputError):
    """An expression that cannot be read, or that no run could meet or miss; one line that names the part."""


@dataclass(frozen=True)
class Indicator:
    """What is measured. ``quantile`` (0 to 1) and ``population`` are for latency; population None means each apart."""

    kind: Kind
    quantile: float | None = None
    population: Population | None = None

    def __str__(self) -> str:
        if self.quantile is None:
            return self.kind
        name = f"p{_plain(self.quantile * 100)}"
        return name if self.population is None else f"{self.population}.{name}"


@dataclass(frozen=True)
class Threshold:
    """One bound. ``limit`` is in ms for latency, 1/s for goodput, a fraction for shares."""

    indicator: Indicator
    operator: Operator
    limit: float

    def __str__(self) -> str:
        return f"{self.indicator}{self.operator}{show_value(self.indicator.kind, self.limit)}"

    @property
    def upper(self) -> bool:
        """Whether smaller is better."""
        return self.operator in ("<", "<=")

    def holds(self, value: float) -> bool:
        """Whether a measured value keeps within the bound."""
        match self.operator:
            case "<":
                return value < self.limit
            case "<=":
                return value <= self.limit
            case ">":
                return value > self.limit
            case ">=":
                return value >= self.limit


Slo = tuple[Threshold, ...]
"""Thresholds that must all hold."""


def parse_slo(expression: str) -> Slo:
    """The thresholds of an expression, in its order. Raises ``SloError``."""
    parts = [part.strip() for part in expression.split(",")]
    if not any(parts):
        raise SloError(f"an SLO is empty: write one such as {EXAMPLE!r}")
    thresholds = [_parse_part(part) for part in parts]
    seen: set[Indicator] = set()
    for threshold in thresholds:
        if threshold.indicator in seen:
            raise SloError(f"SLO {expression!r} bounds {threshold.indicator} twice: keep one of the two")
        seen.add(threshold.indicator)
    return tuple(thresholds)


def show_slo(slo: Slo) -> str:
    """The expression that ``parse_slo`` reads back to the same thresholds."""
    return ",".join(map(str, slo))


def show_value(kind: Kind, value: float) -> str:
    """A value with its unit, as an expression would have it."""
    match kind:
        case "latency":
            return f"{_plain(value / 1000)}s" if value >= 1000 else f"{_plain(value)}ms"
        case "failed" | "hit_share":
            return f"{_plain(value * 100)}%"
        case "goodput":
            return f"{_plain(value)}/s"
        case "attempts":
            return _plain(value)


def _parse_part(part: str) -> Threshold:
    match = _PART.fullmatch("".join(part.split()))
    if match is None:
        raise SloError(f"SLO part {part!r} is not INDICATOR<LIMIT or INDICATOR>LIMIT, such as 'p99<1s'")
    population, name, operator, text = match.groups()
    indicator = _indicator(part, population, name)
    limit = _limit(part, indicator.kind, text)
    threshold = Threshold(indicator, _operator(part, indicator.kind, operator), limit)
    _refuse_the_impossible(part, threshold)
    return threshold


def _indicator(part: str, population: str | None, name: str) -> Indicator:
    percentile = _PERCENTILE.fullmatch(name)
    if percentile is not None:
        quantile = float(Decimal(percentile[1]) / 100)
        if not 0 < quantile < 1:
            raise SloError(f"SLO part {part!r}: a percentile lies between p0 and p100, both left out")
        if population is None:
            return Indicator("latency", quantile)
        for known in POPULATIONS:
            if population == f"{known}.":
                return Indicator("latency", quantile, known)
        raise SloError(f"SLO part {part!r}: latency is of {' or '.join(POPULATIONS)}, not of {population[:-1]!r}")
    for kind in get_args(Kind):
        if name == kind and name != "latency" and population is None:
            return Indicator(kind)
    known_names = ", ".join(("p99", *(kind for kind in get_args(Kind) if kind != "latency")))
    raise SloError(f"SLO part {part!r}: {(population or '') + name!r} is not one of {known_names}")


def _limit(part: str, kind: Kind, text: str) -> float:
    match = _NUMBER.fullmatch(text)
    units = _UNITS[kind]
    wanted = ", ".join(unit for unit in units if unit)
    if match is None:
        raise SloError(f"SLO part {part!r}: {text!r} is not a number" + (f" with a unit ({wanted})" if wanted else ""))
    number, unit = match.groups()
    if unit not in units:
        known = f"the unit is one of {wanted}" if wanted else "it takes no unit"
        raise SloError(f"SLO part {part!r}: {known}, not {unit!r}")
    value = float(Decimal(number) * units[unit])
    if not math.isfinite(value):
        raise SloError(f"SLO part {part!r}: {text!r} is not a finite number")
    return value


def _operator(part: str, kind: Kind, operator: str) -> Operator:
    wanted: tuple[Operator, Operator] = ("<", "<=") if kind in _UPPER_BOUNDS else (">", ">=")
    for known in wanted:
        if operator == known:
            return known
    raise SloError(f"SLO part {part!r}: {kind} is bounded by {wanted[0]} or {wanted[1]}, not {operator}")


def _refuse_the_impossible(part: str, threshold: Threshold) -> None:
    least, most = _RANGES[threshold.indicator.kind]
    best, worst = (least, most) if threshold.upper else (most, least)
    if not threshold.holds(best):
        raise SloError(f"SLO part {part!r}: nothing can meet it")
    if threshold.holds(worst):
        raise SloError(f"SLO part {part!r}: nothing can miss it")


def _plain(number: float) -> str:
    return f"{number:.12g}"
