"""Whether a run's figures are the server's, or say more about the load generator or the machine.

The thresholds, each checked in every block:

* generator CPU above 85% of its core: it queues by itself, and its own wait is measured as the server's;
* generator lag p99 above 10 ms, its own scheduling delay: what it adds to one request in a hundred;
* steal above 5% of CPU time: a neighbour took the core, the same work took longer;
* medians of a run's blocks that scatter by more than blocks alike may (``widest_scatter``), and are more than 5 ms
  apart: the machine changed its speed (A/A floor);
* arrivals of an open loop that are not as many as its rate offers: it did not follow its schedule;
* fewer than 100 requests measured, or none in a whole block: nothing can be said;
* replies that belong to another prompt, or totals that do not reconcile: speed of a wrong answer is void.

The first three are read off a block without a look at what it measured (``spoiled_by``), so an experiment may leave out
a block for them, and measure again, without choosing among results. It must not for the others.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from reports.readable import latency
from reports.records.schema import Block, Population
from reports.summary.summary import Reason, Reconciliation, Validity

MAX_GENERATOR_CPU: Final = 0.85
MAX_LAG_MS: Final = 10.0
MAX_STEAL: Final = 0.05
MAX_BLOCK_RATIO: Final = 1.3
"""Between the medians of two blocks."""
FALSE_ALARMS: Final = 0.01
"""Of runs whose blocks scatter as much as they may, so many are called noisy, however many blocks they have."""
BLOCK_DRIFT_MS: Final = 5.0
MIN_REQUESTS: Final = 100
MAX_DEVIATIONS: Final = 5.0
"""Of the arrivals counted from those offered, in standard deviations of a Poisson process."""


def judge(
    blocks: Sequence[Block],
    *,
    requests_by_block: Mapping[int, int],
    mismatches: int,
    reconciliation: Reconciliation,
    block_medians_ms: Mapping[Population, Sequence[float]],
    offered: float | None = None,
    notes: Sequence[Reason] = (),
) -> Validity:
    """The verdict on a run with its reasons. The generator's limits outrank noise, which they may have caused.

    ``block_medians_ms``: by population, the medians of its blocks (of those that have samples enough).
    ``offered``: requests that the schedule of an open loop has in the measured windows, on average; None for others.
    """
    counting = [block for block in blocks if block.left_out is None]
    bound = _generator_reasons(counting)
    noisy = [
        *_requests_reasons(counting, requests_by_block),
        *_offered_reasons(sum(requests_by_block.values()), offered),
        *_steal_reasons(counting),
        *_drift_reasons(block_medians_ms),
        *_correctness_reasons(mismatches, reconciliation),
    ]
    return Validity(
        verdict="GENERATOR-BOUND" if bound else "NOISY" if noisy else "VALID",
        reasons=bound + noisy,
        left_out=[
            Reason(what=f"block {b.index + 1} of {len(blocks)} was left out", advice=b.left_out)
            for b in blocks
            if b.left_out is not None
        ],
        notes=list(notes),
    )


def spoiled_by(block: Block) -> str | None:
    """What the load generator or the machine did to a block, whatever it measured; None if nothing."""
    reasons = [*_generator_reasons([block]), *_steal_reasons([block])]
    return reasons[0].what if reasons else None


def widest_scatter(blocks: int) -> float:
    """The most that medians of so many blocks (two or more) may scatter: standard deviation of their logarithms.

    Blocks alike may differ by a standard deviation of which two exceed ``MAX_BLOCK_RATIO`` in ``FALSE_ALARMS`` of all
    runs. More blocks are held to the chi-square quantile of their variance under that same deviation, so that they
    raise no more false alarms than two do, as a bound on the widest pair would: with 40 blocks in most runs.
    """
    from scipy.special import chdtri  # late: whoever only starts a bench need not wait for it

    allowed = math.log(MAX_BLOCK_RATIO) / math.sqrt(2.0 * float(chdtri(1, FALSE_ALARMS)))
    return allowed * math.sqrt(float(chdtri(blocks - 1, FALSE_ALARMS)) / (blocks - 1))


def _generator_reasons(blocks: Sequence[Block]) -> list[Reason]:
    reasons = []
    cpu = max((b.generator_cpu for b in blocks if b.generator_cpu is not None), default=0.0)
    if cpu > MAX_GENERATOR_CPU:
        reasons.append(
            Reason(
                what=f"the load generator used {cpu:.0%} of its core (limit {MAX_GENERATOR_CPU:.0%})",
                advice="lower the rate, add load processes, or give it a core of its own",
            )
        )
    lag = max((b.generator_lag_ms for b in blocks if b.generator_lag_ms is not None), default=0.0)
    if lag > MAX_LAG_MS:
        reasons.append(
            Reason(
                what=f"the load generator woke up to {lag:.1f} ms late at p99 (limit {MAX_LAG_MS:.0f} ms)",
                advice="lower the rate, or keep other work off its core",
            )
        )
    return reasons


def _requests_reasons(blocks: Sequence[Block], requests_by_block: Mapping[int, int]) -> list[Reason]:
    reasons = []
    requests = sum(requests_by_block.values())
    idle = [b.index for b in blocks if b.measured_s and not requests_by_block.get(b.index)]
    if requests < MIN_REQUESTS:
        reasons.append(
            Reason(
                what=f"{requests} requests were measured (at least {MIN_REQUESTS} are needed)",
                advice="measure longer, or with more users",
            )
        )
    elif idle:
        reasons.append(
            Reason(
                what=f"nothing was measured in {len(idle)} of {len(blocks)} blocks",
                advice="look for what stopped the load there, and repeat",
            )
        )
    return reasons


def _offered_reasons(achieved: int, offered: float | None) -> list[Reason]:
    """All arrivals are recorded, late and unsent ones too: only a generator that lost its schedule has fewer."""
    if offered is None or abs(achieved - offered) <= MAX_DEVIATIONS * math.sqrt(offered):
        return []
    return [
        Reason(
            what=f"{achieved:,} requests were due in the measured time, where the rate offers {offered:,.0f}",
            advice="the load did not follow its schedule: warm up longer, or lower the rate",
        )
    ]


def _steal_reasons(blocks: Sequence[Block]) -> list[Reason]:
    reasons = []
    steal = max((b.steal for b in blocks if b.steal is not None), default=0.0)
    if steal > MAX_STEAL:
        reasons.append(
            Reason(
                what=f"{steal:.1%} of CPU time was stolen by other machines on the host (limit {MAX_STEAL:.0%})",
                advice="repeat at a quieter time, or on another host",
            )
        )
    return reasons


def _drift_reasons(block_medians_ms: Mapping[Population, Sequence[float]]) -> list[Reason]:
    reasons = []
    for population, medians in block_medians_ms.items():
        if len(medians) < 2:
            continue
        scatter, widest = float(np.std(np.log(medians), ddof=1)), widest_scatter(len(medians))
        low, high = min(medians), max(medians)
        if scatter > widest and high - low > BLOCK_DRIFT_MS:
            reasons.append(
                Reason(
                    what=f"the median of {population} latency drifted between blocks from {latency(low)} to "
                    f"{latency(high)}, a scatter of {scatter:.1%} (limit {widest:.1%})",
                    advice="repeat with more and shorter blocks, on an idle machine",
                )
            )
    return reasons


def _correctness_reasons(mismatches: int, reconciliation: Reconciliation) -> list[Reason]:
    reasons = []
    if mismatches:
        reasons.append(
            Reason(
                what=f"{mismatches:,} replies did not belong to their prompts",
                advice="the server mixes up answers: mend that before any speed is believed",
            )
        )
    if reconciliation.matches is False:
        reasons.append(
            Reason(
                what=f"{reconciliation.recorded:,} replies were recorded but the server counted "
                f"{reconciliation.counted:,} requests",
                advice="look for lost samples, or for somebody else who uses the server",
            )
        )
    return reasons
