"""Measured time cut into chunks: what the block bootstrap draws from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from reports.records.schema import Block

MOST_CHUNKS: Final = 60
SHORTEST_S: Final = 1.0


class Chunks:
    """Chunks of at least ``SHORTEST_S`` seconds, about ``MOST_CHUNKS`` of them at most, none across two blocks.

    ``block_of``: the index of each chunk's block.
    """

    def __init__(self, blocks: Sequence[Block]) -> None:
        measured_s = sum(b.measured_s for b in blocks)
        self._length_ms = 1000.0 * max(SHORTEST_S, measured_s / MOST_CHUNKS)
        size = max((b.index for b in blocks), default=-1) + 2
        self._first = np.zeros(size, np.int32)
        self._last = np.zeros(size, np.int32)
        block_of: list[int] = []
        for b in blocks:
            self._first[b.index] = len(block_of)
            block_of += [b.index] * max(int(b.measured_s > 0), round(b.measured_s * 1000.0 / self._length_ms))
            self._last[b.index] = max(len(block_of) - 1, 0)
        self.block_of: npt.NDArray[np.int16] = np.array(block_of, np.int16)

    def __len__(self) -> int:
        return int(self.block_of.size)

    def of(self, block: npt.NDArray[np.int16], since_ms: npt.NDArray[Any]) -> npt.NDArray[np.int32]:
        """The chunk of samples that were due ``since_ms`` after the start of their block's measured window."""
        place = self._first[block] + (since_ms / self._length_ms).astype(np.int32)
        return np.asarray(np.minimum(place, self._last[block]), dtype=np.int32)
