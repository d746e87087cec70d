"""What a bench does in which order: arms, blocks in alternation, and how long it takes.

Blocks of two arms alternate as A B B A, so that a machine that grows slower or faster over the minutes does so for both
arms alike (any drift that is linear in time cancels out of the difference).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Mode = Literal["async", "sync", "blocking"]

DRAIN_S = 3.0
"""Seconds between two blocks that a plan reckons with: requests in flight end, a new generator starts."""


@dataclass(frozen=True)
class Arm:
    """One configuration under test: a server of its own, and a run of its own on disk.

    `letter` is None when there is nothing to compare with; `settings` are server settings by dotted path.
    """

    letter: Literal["A", "B"] | None
    mode: Mode
    settings: Mapping[str, str]

    @property
    def name(self) -> str:
        """What people call it, e.g. `A async`."""
        return self.mode if self.letter is None else f"{self.letter} {self.mode}"


@dataclass(frozen=True)
class Timing:
    """Seconds of a block's phases: users start, load settles, the clock runs. `stop_s` bounds the wait for the rest."""

    ramp_s: float
    warmup_s: float
    measure_s: float
    stop_s: float

    @property
    def block_s(self) -> float:
        """Seconds from a block's first user to the end of its measured window."""
        return self.ramp_s + self.warmup_s + self.measure_s


def arms_of(mode: Literal["ab"] | Mode, settings: Mapping[str, str]) -> tuple[Arm, ...]:
    """The arms that `--mode` asks for: `ab` compares async (A) with sync (B), anything else runs alone."""
    if mode == "ab":
        return Arm("A", "async", settings), Arm("B", "sync", settings)
    return (Arm(None, mode, settings),)


def in_alternation(arms: Sequence[Arm]) -> tuple[Arm, ...]:
    """The arm of each block, in order: A B B A for two arms, one block for one."""
    if len(arms) == 1:
        return (arms[0],)
    a, b = arms
    return a, b, b, a


def expected_s(blocks: int, timing: Timing) -> float:
    """Seconds that so many blocks will take, as far as one can know before."""
    return blocks * (timing.block_s + DRAIN_S)
