"""``ticks.jsonl``: one line a second while a run goes on, read whole or as it grows."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson


def ticks_path(run_dir: Path) -> Path:
    """Where a run's ticks are."""
    return run_dir / "ticks.jsonl"


class TickTail:
    """Reads what a run's ticks have gained since the last look, at the cost of the new lines only."""

    def __init__(self, run_dir: Path) -> None:
        self._path = ticks_path(run_dir)
        self._offset = 0

    def read_new(self) -> list[dict[str, Any]]:
        """The whole lines that have arrived since the call before; none if there is no file (yet, or any more)."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                data = file.read()
        except FileNotFoundError:
            return []
        whole = data.rfind(b"\n") + 1
        self._offset += whole
        return _parse(data[:whole].splitlines())


def read_ticks(run_dir: Path, after_seq: int = -1) -> list[dict[str, Any]]:
    """The ticks with a ``seq`` above ``after_seq``, in order. Lines that are torn or no ticks are left out."""
    return [tick for tick in TickTail(run_dir).read_new() if tick["seq"] > after_seq]


def _parse(lines: Iterable[bytes]) -> list[dict[str, Any]]:
    ticks = []
    for line in lines:
        try:
            tick = orjson.loads(line)
        except orjson.JSONDecodeError:
            continue
        if isinstance(tick, dict) and isinstance(tick.get("seq"), int):
            ticks.append(tick)
    return ticks
