"""Known truth: blocks alike are called drifting no more often when there are many; a machine of two speeds is found."""

import numpy as np
import pytest

from reports.summary.summary import Reconciliation
from reports.summary.validity import FALSE_ALARMS, judge, widest_scatter
from tests.made_runs import block

RUNS = 3000
ALLOWED = widest_scatter(2) / np.sqrt(6.6349)  # 6.6349: the 99% quantile of chi-square with one degree of freedom


def alarms(medians_ms: np.ndarray) -> float:
    """The share of runs, a row of block medians each, that are called noisy."""
    told = [
        judge(
            [block()],
            requests_by_block={0: 500},
            mismatches=0,
            reconciliation=Reconciliation(),
            block_medians_ms={"miss": row.tolist()},
        ).verdict
        for row in medians_ms
    ]
    return told.count("NOISY") / len(told)


@pytest.mark.parametrize("blocks", [2, 4, 8, 16, 40])
def test_false_alarms_stay_where_they_are_from_two_to_forty_blocks(blocks: int) -> None:
    rng = np.random.default_rng(blocks)
    noise = rng.normal(0.0, 1.0, (RUNS, blocks))
    # 3000 runs at 1%: the share's own standard deviation is 0.18%
    assert alarms(200 * np.exp(ALLOWED * noise)) == pytest.approx(FALSE_ALARMS, abs=0.006)
    assert alarms(200 * np.exp(ALLOWED / 2 * noise)) < FALSE_ALARMS / 5


@pytest.mark.parametrize("blocks", [2, 4, 8, 16, 40])
def test_a_machine_that_halves_its_speed_midway_is_found(blocks: int) -> None:
    rng = np.random.default_rng(blocks)
    slow = np.where(np.arange(blocks) >= blocks // 2, 830 / 410, 1.0)
    assert alarms(200 * slow * np.exp(ALLOWED / 2 * rng.normal(0.0, 1.0, (200, blocks)))) >= 0.99
