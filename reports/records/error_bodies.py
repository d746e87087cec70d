"""``errors-<pid>.jsonl``: what a server said when it failed, a few bodies of each kind, as evidence to read.

Replies only: what was asked, and its headers, is not kept. What looks like a credential in a reply is blacked out.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import orjson

KEPT: Final = 5
"""The first so many bodies of a reason and status are kept, by each load process and by a reader of all of them."""

MOST_BYTES: Final = 2048
"""Of one body; the rest is cut off."""

MOST_KINDS: Final = 64
"""Reasons and statuses that a load process keeps bodies of: a server may invent names without end."""

_CREDENTIAL: Final = re.compile(r"AIza[\w-]{20,}|(?i:\bbearer\s+)[\w.~+/=-]{8,}|\bsk-[\w-]{16,}")
_BLACKED_OUT: Final = "[credential removed]"


@dataclass(frozen=True)
class ErrorBody:
    """One reply that failed. ``time``: s since the epoch, when it had come; ``bytes``: its length before it was cut."""

    time: float
    reason: str
    status: int
    bytes: int
    body: str


class ErrorBodyWriter:
    """Keeps the first bodies of each kind in memory until ``flush`` appends them to one load process's file.

    The file is made with the first body: a run without failures has none.
    """

    def __init__(self, run_dir: Path, pid: int) -> None:
        self._path = run_dir / f"errors-{pid}.jsonl"
        self._kept: Counter[tuple[str, int]] = Counter()
        self._waiting: list[ErrorBody] = []

    def keep(self, reason: str, status: int, body: bytes) -> None:
        """Take note of a failed reply, unless enough of its kind have been kept."""
        kind = reason, status
        if self._kept[kind] >= KEPT or (kind not in self._kept and len(self._kept) >= MOST_KINDS):
            return
        self._kept[kind] += 1
        text = _CREDENTIAL.sub(_BLACKED_OUT, body[:MOST_BYTES].decode(errors="replace"))
        self._waiting.append(ErrorBody(time.time(), reason, status, len(body), text))

    def flush(self) -> None:
        """Append what was kept since the last flush. Raises ``OSError`` when the disk refuses."""
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        with self._path.open("ab") as file:
            file.write(b"".join(orjson.dumps(asdict(one), option=orjson.OPT_APPEND_NEWLINE) for one in waiting))


def read_error_bodies(run_dir: Path) -> list[ErrorBody]:
    """The first ``KEPT`` bodies of each kind over all load processes, in order of time. Torn lines are left out."""
    found = [body for path in run_dir.glob("errors-*.jsonl") for line in _lines(path) if (body := _parse(line))]
    seen: Counter[tuple[str, int]] = Counter()
    first = []
    for body in sorted(found, key=lambda one: one.time):
        seen[body.reason, body.status] += 1
        if seen[body.reason, body.status] <= KEPT:
            first.append(body)
    return first


def _lines(path: Path) -> list[bytes]:
    try:
        return path.read_bytes().splitlines()
    except OSError:
        return []  # the run is being deleted


def _parse(line: bytes) -> ErrorBody | None:
    try:
        loaded = orjson.loads(line)
        return ErrorBody(
            time=float(loaded["time"]),
            reason=str(loaded["reason"]),
            status=int(loaded["status"]),
            bytes=int(loaded["bytes"]),
            body=str(loaded["body"]),
        )
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        return None
