"""What a policy earns and what it costs: the same load with it and without it, in blocks that alternate.

Each figure is told as the effect of having the policy. An effect counts as earned, or as its price, only where its
interval leaves zero out; of all others the run cannot tell. Rates and CPU times: the ratio of neighbouring blocks
(``reports.statistics.replicates``). Shares: the difference of two proportions, Newcombe's hybrid score interval
(Statistics in Medicine 17, 1998, method 10) on samples discounted for what the blocks scatter beyond binomial luck.
Percentiles: as ``reports.compare.verdict``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from scipy.special import ndtri

from reports.compare.verdict import compare
from reports.cost.pricing import Price
from reports.statistics.replicates import interval_of_mean
from reports.store.blocks import BlockFigures, block_figures, nearest_pairs
from reports.store.run import Run

Outcome = Literal["earns", "costs", "cannot tell"]
Unit = Literal["share", "/s", "attempts", "us", "ms", "money"]

CONFIDENCE: Final = 0.95


@dataclass(frozen=True)
class Effect:
    """One figure with the policy and without it.

    ``change``, with its 95% interval ``low`` to ``high``, is relative (0.1: a tenth more with the policy), and absolute
    where ``unit`` is share.
    """

    name: str
    unit: Unit
    with_policy: float
    without: float
    change: float
    low: float
    high: float
    more_is_better: bool

    @property
    def outcome(self) -> Outcome:
        """Whether the policy earns or costs this, from the interval alone."""
        if self.low <= 0 <= self.high:
            return "cannot tell"
        return "earns" if (self.low > 0) is self.more_is_better else "costs"


@dataclass(frozen=True)
class Ablation:
    """All effects of one policy. ``refusal``: why there is no verdict, empty where there is one."""

    policy: str
    effects: tuple[Effect, ...]
    refusal: str = ""

    def told(self, outcome: Outcome) -> list[Effect]:
        """The effects of one kind."""
        return [] if self.refusal else [effect for effect in self.effects if effect.outcome == outcome]


@dataclass(frozen=True)
class _Rate:
    """A figure of a block that is compared by its ratio."""

    name: str
    unit: Unit
    of: Callable[[BlockFigures], float | None]
    more_is_better: bool = False


@dataclass(frozen=True)
class _Share:
    """A figure of a block that is so many of so many."""

    name: str
    of: Callable[[BlockFigures], tuple[int, int]]
    more_is_better: bool = False


_SHARES: Final = (
    _Share("failed", lambda block: (block.requests - block.successes, block.requests)),
    _Share("hit share", lambda block: (block.hits, block.hits + block.misses), more_is_better=True),
)


def ablate(policy: str, base: Run, without: Run, price: Price) -> Ablation:
    """What ``policy`` does, from the run that has it and the one that lacks only that; ``price`` is of the tokens."""
    mine, theirs = block_figures(base), block_figures(without)
    pairs = nearest_pairs(mine, theirs)
    comparison = compare(without, base)
    percentiles = [
        Effect(
            name=f"{d.population} {d.percentile}",
            unit="ms",
            with_policy=d.b_ms,
            without=d.a_ms,
            change=d.ratio - 1,
            low=d.low - 1,
            high=d.high - 1,
            more_is_better=False,
        )
        for d in comparison.differences
    ]
    effects = (
        *(_share_effect(share, mine, theirs) for share in _SHARES),
        *(effect for rate in _rates(price) if (effect := _rate_effect(rate, pairs)) is not None),
        *percentiles,
    )
    return Ablation(policy, effects, _refusal(base, without) or comparison.refusal or "")


def _refusal(base: Run, without: Run) -> str:
    """Why there is no verdict, where a run is not valid."""
    for name, run in (("the run with all policies", base), ("the run without it", without)):
        validity = run.summary().validity
        if validity.verdict != "VALID":
            return f"{name} is {validity.verdict}, {validity.reasons[0].what}"
    return ""


def _rates(price: Price) -> tuple[_Rate, ...]:
    return (
        _Rate("goodput", "/s", lambda block: block.goodput, more_is_better=True),
        _Rate("attempts per success", "attempts", lambda block: _part(block.attempts, block.successes)),
        _Rate("server CPU", "us", lambda block: block.server_cpu_us),
        _Rate("tokens per 1000", "money", lambda block: _part(price.of(*block.bought) * 1000, block.successes)),
    )


def _part(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _rate_effect(rate: _Rate, pairs: Sequence[tuple[BlockFigures, BlockFigures]]) -> Effect | None:
    """The geometric mean of the ratios of neighbouring blocks; None where fewer than two pairs have the figure."""
    values = [(rate.of(mine), rate.of(theirs)) for mine, theirs in pairs]
    known = [(mine, theirs) for mine, theirs in values if mine and theirs]
    if len(known) < 2:
        return None
    logs = [math.log(mine / theirs) for mine, theirs in known]
    low, high = interval_of_mean(logs)
    mine, theirs = (math.exp(float(np.mean(np.log(side)))) for side in zip(*known, strict=True))
    return Effect(
        name=rate.name,
        unit=rate.unit,
        with_policy=mine,
        without=theirs,
        change=mine / theirs - 1,
        low=math.expm1(low),
        high=math.expm1(high),
        more_is_better=rate.more_is_better,
    )


def _share_effect(share: _Share, mine: Sequence[BlockFigures], theirs: Sequence[BlockFigures]) -> Effect:
    a, b = ([share.of(block) for block in side] for side in (mine, theirs))
    (p1, n1), (p2, n2) = _discounted(a), _discounted(b)
    low, high = difference_of_shares(p1, n1, p2, n2)
    return Effect(share.name, "share", p1, p2, p1 - p2, low, high, share.more_is_better)


def _discounted(blocks: Sequence[tuple[int, int]]) -> tuple[float, float]:
    """The share over all blocks, and how many independent samples that is worth.

    The blocks' scatter against binomial luck is Pearson's chi-square over its degrees of freedom (McCullagh and Nelder,
    Generalized Linear Models, 1989, section 4.5); at least 1.
    """
    counted = [(part, whole) for part, whole in blocks if whole]
    whole = sum(n for _, n in counted)
    if not whole:
        return 0.0, 0.0
    p = sum(k for k, _ in counted) / whole
    if len(counted) < 2 or p in (0.0, 1.0):
        return p, float(whole)
    scatter = sum((k - n * p) ** 2 / (n * p * (1 - p)) for k, n in counted) / (len(counted) - 1)
    return p, whole / max(1.0, scatter)


def difference_of_shares(p1: float, n1: float, p2: float, n2: float) -> tuple[float, float]:
    """The 95% interval of p1 - p2, shares of n1 and of n2 samples; everything where one has no samples."""
    if n1 < 1 or n2 < 1:
        return -1.0, 1.0
    (low1, high1), (low2, high2) = wilson(p1, n1), wilson(p2, n2)
    below = math.hypot(p1 - low1, high2 - p2)
    above = math.hypot(high1 - p1, p2 - low2)
    return p1 - p2 - below, p1 - p2 + above


def wilson(p: float, n: float) -> tuple[float, float]:
    """The interval of a share p seen in n samples, n > 0 (Wilson, JASA 22, 1927)."""
    z = float(ndtri((1.0 + CONFIDENCE) / 2.0))
    middle = p + z * z / (2.0 * n)
    reach = z * math.sqrt(p * (1.0 - p) / n + (z / (2.0 * n)) ** 2)
    whole = 1.0 + z * z / n
    return min(max((middle - reach) / whole, 0.0), p), max(min((middle + reach) / whole, 1.0), p)
