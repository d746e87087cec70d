"""What becomes of blocks that the machine or the load generator spoiled: measured once more, and left out.

The unit is a pass, a block of each arm one after another (A B, then B A): arms are compared within it, so a spoiled
block takes its neighbours with it, and what is left stays balanced. A block is spoiled by what can be said without a
look at its latencies (`reports.summary.validity.spoiled_by`), so nothing is chosen by its result.

Where no more than half of all passes are spoiled, each of them is run once more at the end, and those spoiled are left
out of every figure, with the reason in the manifest. Else spoiling is the rule here, not the exception: everything
stays, and the verdict on the runs says so.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from loadtests.bench.block import LiveArm
from reports.records.schema import Block
from reports.summary.validity import spoiled_by


@dataclass(frozen=True)
class DoneBlock:
    """A block that is over, of an arm; `position` counts the experiment's blocks from 1."""

    live: LiveArm
    block: Block
    position: int

    @property
    def spoiled_by(self) -> str | None:
        """What spoiled it; None if nothing did."""
        return spoiled_by(self.block)


Pass = tuple[DoneBlock, ...]


def passes_of(done: Sequence[DoneBlock], arms: int) -> list[Pass]:
    """Blocks in their passes; a last one that is not whole is left away."""
    return [tuple(done[at : at + arms]) for at in range(0, len(done) - arms + 1, arms)]


def is_spoiled(one: Pass) -> bool:
    """Whether any block of a pass was spoiled."""
    return any(done.spoiled_by for done in one)


def to_repeat(passes: Sequence[Pass]) -> list[Pass]:
    """The passes that were spoiled, unless they are more than half of all: then none."""
    found = [one for one in passes if is_spoiled(one)]
    return found if 2 * len(found) <= len(passes) else []


def leave_out(passes: Sequence[Pass]) -> None:
    """Mark the blocks of some passes in their manifests as left out, each with what spoiled it or its neighbour."""
    for each in passes:
        for done in each:
            done.live.record.put_block(done.block.model_copy(update={"left_out": _why(done, each)}))


def news(passes: Sequence[Pass]) -> list[str]:
    """A line for each spoiled block: which, by what, and what is done about it."""
    return [
        f"Block {done.position} ({done.live.arm.name}) was spoiled: {done.spoiled_by}. It is left out"
        + (", with the other blocks of its pass; they are" if len(each) > 1 else "; it is")
        + " measured once more at the end."
        for each in passes
        for done in each
        if done.spoiled_by
    ]


def _why(done: DoneBlock, neighbours: Pass) -> str:
    if done.spoiled_by:
        return done.spoiled_by
    other = next(each for each in neighbours if each.spoiled_by)
    return f"in the block of {other.live.arm.name} that it is compared with, {other.spoiled_by}"
