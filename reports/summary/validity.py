"""Whether a run's figures are the server's, or say more about the load generator or the machine.

The thresholds, each checked in every block:

* generator CPU above 85% of its core: it queues by itself, and its own wait is measured as the server's;
* generator lag p99 above 10 ms, its own scheduling delay: what it adds to one request in a hundred;
* steal above 5% of CPU time: a neighbour took the core, the same work took longer;
* medians of two blocks of one run more than 1.3x and 5 ms apart: the machine changed its speed (A/A floor);
* fewer than 100 requests measured, or none in a whole block: nothing can be said;
* replies that belong to another prompt, or totals that do not reconcile: speed of a wrong answer is void.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from reports.records.schema import Block, Population
from reports.summary.summary import Reason, Reconciliation, Validity

MAX_GENERATOR_CPU: Final = 0.85
MAX_LAG_MS: Final = 10.0
MAX_STEAL: Final = 0.05
MAX_BLOCK_RATIO: Final = 1.3
BLOCK_DRIFT_MS: Final = 5.0
MIN_REQUESTS: Final = 100


def judge(
    blocks: Sequence[Block],
    *,
    requests_by_block: Mapping[int, int],
    mismatches: int,
    reconciliation: Reconciliation,
    block_medians_ms: Mapping[Population, Sequence[float]],
) -> Validity:
    """The verdict on a run with its reasons. The generator's limits outrank noise, which they may have caused.

    ``block_medians_ms``: by population, the medians of its blocks (of those that have samples enough).
    """
    bound = _generator_reasons(blocks)
    noisy = [
        *_noise_reasons(blocks, requests_by_block, block_medians_ms),
        *_correctness_reasons(mismatches, reconciliation),
    ]
    if bound:
        return Validity(verdict="GENERATOR-BOUND", reasons=bound + noisy)
    return Validity(verdict="NOISY" if noisy else "VALID", reasons=noisy)


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


def _noise_reasons(
    blocks: Sequence[Block],
    requests_by_block: Mapping[int, int],
    block_medians_ms: Mapping[Population, Sequence[float]],
) -> list[Reason]:
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
    steal = max((b.steal for b in blocks if b.steal is not None), default=0.0)
    if steal > MAX_STEAL:
        reasons.append(
            Reason(
                what=f"{steal:.1%} of CPU time was stolen by other machines on the host (limit {MAX_STEAL:.0%})",
                advice="repeat at a quieter time, or on another host",
            )
        )
    for population, medians in block_medians_ms.items():
        low, high = min(medians, default=0.0), max(medians, default=0.0)
        if high > MAX_BLOCK_RATIO * low and high - low > BLOCK_DRIFT_MS:
            reasons.append(
                Reason(
                    what=f"the median of {population} latency drifted between blocks from {low:.3g} to {high:.3g} ms "
                    f"(limit {MAX_BLOCK_RATIO}x)",
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
