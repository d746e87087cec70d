"""A level of load, measured several times, against an SLO: it holds, it misses, or these repeats cannot tell.

Runs differ as wholes, by more than their samples do, so a level is judged by the margins of its repeats
(``reports.statistics.replicates``). Shares (failed, hit_share) must also be beyond doubt by the number of their
samples, and so must percentiles that have too few samples to be printed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reports.capacity.search import LevelVerdict, Tried
from reports.judge.attainment import Attainment, Observation, attain, decided_by_share, pool
from reports.judge.slo import Slo
from reports.statistics.replicates import interval_of_mean
from reports.summary.summary import Verdict


@dataclass(frozen=True)
class Repeat:
    """One measured stretch at one level; CPU in cores, memory in bytes, None where the server is not ours.

    ``reason`` is why it is not VALID, in a few words.
    """

    observed: Observation
    validity: Verdict = "VALID"
    reason: str = ""
    server_cores: float | None = None
    server_rss_bytes: int | None = None


@dataclass(frozen=True)
class Level:
    """All repeats at one load, which is users (closed loop) or arrivals a second (open loop)."""

    load: int
    repeats: tuple[Repeat, ...]

    @property
    def valid(self) -> tuple[Observation, ...]:
        """The observations that may be believed."""
        return tuple(repeat.observed for repeat in self.repeats if repeat.validity == "VALID")

    @property
    def generator_bound(self) -> bool:
        """Whether the load generator was the limit: at least two repeats and half of all say so."""
        bound = sum(repeat.validity == "GENERATOR-BOUND" for repeat in self.repeats)
        return bound >= 2 and 2 * bound >= len(self.repeats)

    @property
    def goodput(self) -> tuple[float, ...]:
        """Successful requests a second of each valid repeat."""
        return tuple(o.successes / o.seconds for o in self.valid if o.seconds)


def pooled_attainments(slo: Slo, level: Level) -> tuple[Attainment, ...]:
    """What the valid repeats, taken as one, say to each threshold; empty if none is valid."""
    return attain(slo, pool(level.valid)) if level.valid else ()


def judge_level(slo: Slo, level: Level) -> LevelVerdict:
    """Whether the SLO holds at this level: all thresholds surely met, any surely missed, or neither.

    Too few samples: more repeats could decide it, but so would a higher load, or a longer measurement. Invalid: none of
    its repeats may be believed, for the machine's sake.
    """
    if level.generator_bound:
        return "generator-bound"
    if not level.valid:
        return "invalid"
    each = [{a.name: a for a in attain(slo, observed)} for observed in level.valid]
    pooled = pooled_attainments(slo, level)
    met = [_decide(whole, [one[whole.name] for one in each if whole.name in one]) for whole in pooled]
    if False in met:
        return "misses"
    if any(whole.met is None for whole in pooled):
        return "too-few-samples"
    return "holds" if None not in met else "undecided"


def tried(slo: Slo, level: Level) -> Tried:
    """What the search must know of a level."""
    return Tried(judge_level(slo, level), len(level.valid), len(level.repeats) - len(level.valid))


def _decide(whole: Attainment, each: Sequence[Attainment]) -> bool | None:
    """Whether a threshold is met, judged by the spread of the repeats and all samples as one; None: cannot tell."""
    printable = all(one.value is not None for one in each)
    by_share = whole.threshold.indicator.kind != "latency" or not printable
    margins = [one.margin(by_share=by_share) for one in each]
    low, high = interval_of_mean([margin for margin in margins if margin is not None])
    by_spread = True if low > 0 else False if high < 0 else None
    if not by_share or not whole.allowed or whole.beyond is None:
        return by_spread
    by_count = decided_by_share(whole.beyond, whole.samples, whole.allowed)
    return by_spread if by_spread == by_count else None
