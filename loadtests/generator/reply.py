"""What a reply says about itself: its cache outcome, its stages, its tokens, its error, and whether it is ours.

All of it is optional, as a server under test need not be Tailgate's: what is absent is ``none``, -1 or NaN.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import orjson

from reports.records.schema import STAGES

_MEMO_LIMIT = 4096
_USAGE_TAIL_BYTES = 4096
_USAGE = re.compile(rb'"usage"\s*:\s*\{\s*"prompt_tokens"\s*:\s*(\d{1,9})\s*,\s*"output_tokens"\s*:\s*(\d{1,9})')
_PROBLEM = re.compile(rb'"type"\s*:\s*"urn:tailgate:error:([a-z0-9-]{1,64})"')
_QUOTED_NUMBER = re.compile(rb'"([0-9.]+)"')
_QUOTED = re.compile(rb'"[^"]*"')
_STAGE_INDEX = {stage.encode(): index for index, stage in enumerate(STAGES)}
_NUMERALS = b"0123456789."
_NO_NUMERALS = bytes(range(256)).translate(None, _NUMERALS + b",")
_CANONICAL_STAGES = b", ".join(b"%s;dur=" % stage.encode() for stage in STAGES)
_CANONICAL_USAGE = b'"usage":{"prompt_tokens":,"output_tokens":,"total_tokens":'

T = TypeVar("T")


class Memo(dict[bytes | None, T]):
    """Header values seen so far to what they mean; bounded, as a header may hold a key or a ttl."""

    def __init__(self, parse: Callable[[bytes], T], absent: T) -> None:
        super().__init__({None: absent})
        self._parse = parse
        self._absent = absent

    def __missing__(self, header: bytes) -> T:
        if len(self) >= _MEMO_LIMIT:
            self.clear()
            self[None] = self._absent
        meaning = self[header] = self._parse(header)
        return meaning


def cache_outcome(header: bytes) -> str:
    """Return ``hit``, ``stale``, ``miss``, ``collapsed``, ``bypass`` or ``none`` for a ``Cache-Status`` (RFC 9211).

    Of several caches in the header the last one counts, the one nearest to the client.
    """
    nearest = header.rsplit(b",", 1)[-1].lower()
    _, *parameters = (part.strip() for part in nearest.split(b";"))
    named = dict(part.partition(b"=")[::2] for part in parameters)
    if b"hit" in named:
        return "stale" if named.get(b"ttl", b"").startswith(b"-") else "hit"
    if b"fwd" not in named:
        return "none"
    if named[b"fwd"] == b"bypass":
        return "bypass"
    return "collapsed" if b"collapsed" in named else "miss"


def attempts(header: bytes) -> int:
    """Return ``X-Attempts`` as a number; -1 when it is not one."""
    return min(int(header), 32767) if header.isdigit() else -1


def stage_durations(headers: Sequence[bytes | None]) -> npt.NDArray[np.float32]:
    """Return the ``Server-Timing`` stages in ms: one row a header, one column a stage of STAGES; NaN where absent."""
    return _table(headers, b", ", _CANONICAL_STAGES, _stages, float("nan"), len(STAGES))


def token_counts(usages: Sequence[bytes | None]) -> npt.NDArray[np.float32]:
    """Return what :func:`usage` cut out as (prompt, output, total tokens), one row each; -1 where absent."""
    return _table(usages, b",", _CANONICAL_USAGE, _tokens, -1.0, 3)


def _table(
    texts: Sequence[bytes | None],
    separator: bytes,
    canonical: bytes,
    parse: Callable[[bytes], list[float]],
    absent: float,
    columns: int,
) -> npt.NDArray[np.float32]:
    """The numbers of many texts. Where all have the ``canonical`` words (the text less its numerals), all are parsed at
    once, at a fifth of what parsing each costs; else each goes through ``parse``.
    """
    present = [text for text in texts if text is not None]
    table = np.full((len(texts), columns), absent, dtype=np.float32)
    if not present:
        return table
    joined = separator.join(present)
    rows: npt.NDArray[np.float32] | None = None
    if joined.translate(None, _NUMERALS) == separator.join([canonical] * len(present)):
        # A text without a number, or with "1.2.3", is for parse to judge.
        with contextlib.suppress(orjson.JSONDecodeError):
            numbers = orjson.loads(b"[%b]" % joined.translate(None, _NO_NUMERALS))
            rows = np.array(numbers, dtype=np.float32).reshape(-1, columns)
    if rows is None:
        rows = np.array([parse(text) for text in present], dtype=np.float32)
    if len(present) == len(texts):
        return rows
    table[[index for index, text in enumerate(texts) if text is not None]] = rows
    return table


def _stages(header: bytes) -> list[float]:
    """One ``Server-Timing`` header of any server: the durations that bear the name of a stage (W3C Server Timing)."""
    stages = [float("nan")] * len(STAGES)
    plain = _QUOTED.sub(b"", _QUOTED_NUMBER.sub(rb"\1", header.lower()))  # a description may hold commas
    for metric in plain.split(b","):
        name, *parameters = (part.strip() for part in metric.split(b";"))
        if name in _STAGE_INDEX:
            for key, _, value in (parameter.partition(b"=") for parameter in parameters):
                if key.strip() == b"dur":
                    with contextlib.suppress(ValueError):
                        stages[_STAGE_INDEX[name]] = float(value)
    return stages


def _tokens(text: bytes) -> list[float]:
    match = _USAGE.match(text)
    return [float(match[1]), float(match[2]), -1.0] if match else [-1.0, -1.0, -1.0]


def usage(body: bytes) -> bytes | None:
    """Return the text of the reply's own ``usage``, the last in the body, less its closing brace; None without one."""
    start = body.rfind(b'"usage"', -_USAGE_TAIL_BYTES)
    return body[start : body.find(b"}", start)] if start >= 0 else None


def error_name(status: int, body: bytes) -> str:
    """Return the name of the failure that a complete reply tells of: its problem's name, else ``http-<status>``."""
    match = _PROBLEM.search(body)
    return match[1].decode() if match else f"http-{status}"


def echoes(body: bytes, tags: tuple[bytes, ...]) -> bool:
    """Return whether every tag stands in the body."""
    for tag in tags:  # noqa: SIM110  # a generator for all() costs more than the searches
        if tag not in body:
            return False
    return True
