"""What a user can do wrong. Every message is one line: what, where, and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


class StoreError(Exception):
    """Base of all below: the store cannot do what was asked."""


class RunNotFound(StoreError):  # noqa: N818 - says what happened
    """No run of that name. ``nearest`` holds up to three ids that resemble it."""

    def __init__(self, run_id: str, nearest: Sequence[str], root: Path) -> None:
        hint = f"did you mean {' or '.join(nearest)}?" if nearest else "python -m reports list shows what there is"
        super().__init__(f"no run {run_id!r} in {root}: {hint}")
        self.run_id = run_id
        self.nearest = list(nearest)


class RunDamaged(StoreError):  # noqa: N818 - says what happened
    """The directory is there but cannot be read as a run; ``reason`` says why."""

    def __init__(self, run_id: str, reason: str) -> None:
        super().__init__(f"run {run_id} is damaged: {reason}")
        self.run_id = run_id
        self.reason = reason


class RunBusy(StoreError):  # noqa: N818 - says what happened
    """The run is still being written."""


class InputError(ValueError):
    """Something a user wrote cannot be used: an SLO, a gate file, a baseline, a price table."""
