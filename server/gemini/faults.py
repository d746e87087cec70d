"""When the mock fails, and how: windows of time since its start, read from TOML.

    [[fault]]
    at_s = 20              # from second 20
    for_s = 15             # for 15 s; without it, to the end
    kind = "rate-limit"
    share = 0.3            # of the calls that start in the window; 1 when left out
    retry_after_s = 45.8   # rate-limit only: RetryInfo.retryDelay

Windows may overlap: the first one in the file that takes a call has it. Which calls are taken is a hash of seed, prompt
and how often it was asked, so the same workload fails in the same places.
"""

from __future__ import annotations

import math
import tomllib
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator


class FaultKind(StrEnum):
    """What goes wrong with a call."""

    RATE_LIMIT = "rate-limit"  # 429 RESOURCE_EXHAUSTED with a per-minute QuotaFailure, and RetryInfo when scripted
    QUOTA = "quota"  # 429 RESOURCE_EXHAUSTED with a per-day quotaId: final
    UNAVAILABLE = "unavailable"  # 503 UNAVAILABLE, no details
    INTERNAL = "internal"  # 500 INTERNAL
    SLOW = "slow"  # answered, `factor` times later
    HANG = "hang"  # no byte for 600 s, then the connection closes
    RESET = "reset"  # the connection breaks before the answer
    TRUNCATED = "truncated"  # the body ends before its Content-Length
    MALFORMED = "malformed"  # 200 with a body that is no JSON
    BLOCKED = "blocked"  # 200 with promptFeedback.blockReason and no candidates


Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class FaultWindow(BaseModel):
    """One ``[[fault]]``: ``share`` of the calls begun in ``[at_s, at_s + for_s)`` meets ``kind``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: FaultKind
    at_s: Seconds = 0.0
    for_s: Annotated[float, Field(gt=0)] = math.inf
    share: Annotated[float, Field(gt=0, le=1)] = 1.0
    retry_after_s: Seconds | None = None
    factor: Annotated[float, Field(gt=1, allow_inf_nan=False)] | None = None

    @model_validator(mode="after")
    def _fields_fit_kind(self) -> Self:
        if self.retry_after_s is not None and self.kind is not FaultKind.RATE_LIMIT:
            raise ValueError(f"retry_after_s belongs to kind rate-limit, not {self.kind}")
        if (self.factor is None) is (self.kind is FaultKind.SLOW):
            raise ValueError("factor belongs to kind slow, and slow needs it")
        return self


class FaultScriptError(ValueError):
    """A fault script that cannot be used; its text is one line for the user."""


class FaultScript(BaseModel):
    """The windows of a script, in their order. Without windows nothing fails."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fault: tuple[FaultWindow, ...] = ()

    @classmethod
    def parse(cls, toml: str, *, origin: str = "fault script") -> FaultScript:
        """A script from its TOML text. Raises :class:`FaultScriptError`, which begins with ``origin``."""
        try:
            return cls.model_validate(tomllib.loads(toml))
        except tomllib.TOMLDecodeError as error:
            raise FaultScriptError(f"{origin}: not TOML: {error}") from None
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join(str(part + 1) if isinstance(part, int) else part for part in first["loc"])
            message = first["msg"].removeprefix("Value error, ")
            raise FaultScriptError(f"{origin}: {place or 'top level'}: {message}, got {first['input']!r:.80}") from None

    def disturbed_s(self) -> list[tuple[float, float | None]]:
        """The stretches of time in which calls may be disturbed, in seconds since the start: merged, in order.

        The last one's end is None where it has none.
        """
        merged: list[list[float]] = []
        for start, end in sorted((window.at_s, window.at_s + window.for_s) for window in self.fault):
            if merged and start <= merged[-1][1]:
                merged[-1][1] = max(merged[-1][1], end)
            else:
                merged.append([start, end])
        return [(start, None if math.isinf(end) else end) for start, end in merged]

    @classmethod
    def load(cls, path: Path) -> FaultScript:
        """A script from a file. Raises :class:`FaultScriptError`."""
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
            raise FaultScriptError(f"{path}: cannot be read: {reason}") from None
        return cls.parse(text, origin=str(path))


NO_FAULTS: Final = FaultScript()
