"""Interleaved rounds: each arm is driven once a round, in random order, so that drift of the machine hits all alike."""

import random
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.perf.arms import Arm
from tests.perf.load import Requests, drive


@dataclass(frozen=True)
class Measured:
    """CPU us a request of one arm, and its ratio to the bar of the same round: medians and quartiles over rounds."""

    name: str
    us: float
    us_q1: float
    us_q3: float
    ratio: float
    ratio_q1: float
    ratio_q3: float
    rounds: int
    requests: int


def measure(
    arms: Sequence[Arm],
    *,
    bar: str,
    requests: Callable[[Arm, int], Requests],
    rounds: int,
    count: int,
    connections: int,
) -> list[Measured]:
    """Drive ``count`` requests an arm and round; the first round warms up and is thrown away."""
    spent: dict[str, list[float]] = {arm.name: [] for arm in arms}
    order = list(arms)
    for _ in range(rounds + 1):
        random.shuffle(order)
        for arm in order:
            before = arm.cpu_s()
            answered = drive(arm.port, requests(arm, count), connections=connections)
            spent[arm.name].append((arm.cpu_s() - before) / answered * 1e6)
    return [_summary(arm.name, spent[arm.name][1:], spent[bar][1:], count) for arm in arms]


def _summary(name: str, spent: list[float], bar: list[float], count: int) -> Measured:
    ratios = [each / against for each, against in zip(spent, bar, strict=True)]
    us, ratio = statistics.quantiles(spent, n=4), statistics.quantiles(ratios, n=4)
    return Measured(name, us[1], us[0], us[2], ratio[1], ratio[0], ratio[2], len(spent), count * len(spent))
