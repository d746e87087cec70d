"""One block of a run by itself: the smallest stretch that was measured as a whole, and what its requests add up to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reports.records.schema import Block, Manifest, Population
from reports.store.run import Run
from reports.summary.collect import POPULATION_CODE, Collected, ReadBatches, collect


@dataclass(frozen=True)
class BlockFigures:
    """What the measured requests of a block add up to; None where it could not be had.

    ``attempts``: Gemini attempts of all requests; ``bought``: tokens (prompt, output) of successes that the cache did
    not answer. ``server_cpu_us`` is CPU microseconds a completed request.
    """

    block: Block
    found: Collected
    requests: int
    successes: int
    hits: int
    misses: int
    attempts: int
    bought: tuple[int, int]
    server_cpu_us: float | None

    @property
    def goodput(self) -> float:
        """Successful requests a second."""
        return self.successes / self.block.measured_s


def measured_blocks(manifest: Manifest) -> list[Block]:
    """The blocks that have a measured window, in order."""
    return [block for block in manifest.blocks if block.measured_s]


def collect_block(manifest: Manifest, read: ReadBatches, index: int) -> Collected:
    """As ``reports.summary.collect.collect``, as if nothing but this block had been measured."""
    blocks = [b if b.index == index else b.model_copy(update={"measure_from_ns": None}) for b in manifest.blocks]
    return collect(manifest.model_copy(update={"blocks": blocks}), read)


def block_figures(run: Run) -> list[BlockFigures]:
    """The figures of each measured block. Raises ``RunDamaged``."""
    return [
        _figures(block, collect_block(run.manifest, run.iter_batches, block.index))
        for block in measured_blocks(run.manifest)
    ]


def nearest_pairs(
    mine: Sequence[BlockFigures], theirs: Sequence[BlockFigures]
) -> list[tuple[BlockFigures, BlockFigures]]:
    """Each of my blocks with the nearest in time of theirs that no block before it has taken."""
    free = list(theirs)
    pairs = []
    for one in mine:
        if free:
            nearest = min(free, key=lambda other: abs(other.block.started_ns - one.block.started_ns))
            free.remove(nearest)
            pairs.append((one, nearest))
    return pairs


def _figures(block: Block, found: Collected) -> BlockFigures:
    tokens = found.tokens
    cpu = block.server_cpu_s
    return BlockFigures(
        block=block,
        found=found,
        requests=found.requests,
        successes=found.successes,
        hits=_count(found, "hit"),
        misses=_count(found, "miss"),
        attempts=sum(number * times for number, times in found.attempts.items()),
        bought=(tokens["prompt"] - tokens["prompt_cached"], tokens["output"] - tokens["output_cached"]),
        server_cpu_us=cpu * 1e6 / found.completed if cpu is not None and found.completed else None,
    )


def _count(found: Collected, population: Population) -> int:
    return int((found.success_population == POPULATION_CODE[population]).sum())
