"""When the mock fails, and how: windows of time since its start, read from TOML.

    [[fault]]
    at_s = 20              # from second 20
    for_s = 15             # for 15 s; without it, to the end
    kind = "rate-limit"
    share = 0.3            # of the calls that start in the window; 1 when left out
    retry_after_s = 45.8   # rate-limit only: RetryInfo.retryDelay

Windows may overlap: the first one in the file that takes a call has it. Which calls are taken is a hash of seed, prompt
and how often it was asked, so the same workload fails in the same places. A window that can take none, because an
earlier one takes all calls of its time, is a mistake.
"""

from __future__ import annotations

import math
import tomllib
from enum import StrEnum
from itertools import combinations
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, Strict, ValidationError, field_validator, model_validator

from server.gemini.fault_mistakes import mistake


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


# Strict: a text or a truth value is no number, though pydantic would make one of it.
Number = Annotated[float, Strict()]
Seconds = Annotated[Number, Field(ge=0, allow_inf_nan=False)]


class FaultWindow(BaseModel):
    """One ``[[fault]]``: ``share`` of the calls begun in ``[at_s, at_s + for_s)`` meets ``kind``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: FaultKind
    at_s: Seconds = 0.0
    for_s: Annotated[Number, Field(gt=0)] = math.inf
    share: Annotated[Number, Field(gt=0, le=1)] = 1.0
    retry_after_s: Seconds | None = None
    factor: Annotated[Number, Field(gt=1, allow_inf_nan=False)] | None = None

    @model_validator(mode="after")
    def _fields_fit_kind(self) -> Self:
        if self.retry_after_s is not None and self.kind is not FaultKind.RATE_LIMIT:
            raise ValueError(f"retry_after_s belongs to kind rate-limit, not {self.kind}")
        if (self.factor is None) is (self.kind is FaultKind.SLOW):
            raise ValueError("factor belongs to kind slow, and slow needs it")
        return self

    @property
    def end_s(self) -> float:
        """When the window closes, in seconds since the start; infinity when it never does."""
        return self.at_s + self.for_s

    def takes_all_of(self, other: FaultWindow) -> bool:
        """Whether no call is left for ``other`` when this window comes first."""
        return self.share == 1.0 and self.at_s <= other.at_s and self.end_s >= other.end_s

    def describe(self) -> str:
        """Kind and time in words, for a message."""
        return f"{self.kind}, {self.at_s:g} s to {'the end' if math.isinf(self.end_s) else f'{self.end_s:g} s'}"


class FaultScriptError(ValueError):
    """A fault script that cannot be used; its text is one line for the user."""


class FaultScript(BaseModel):
    """The windows of a script, in their order. Without windows nothing fails."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fault: tuple[FaultWindow, ...] = ()

    @field_validator("fault")
    @classmethod
    def _each_can_take_a_call(cls, windows: tuple[FaultWindow, ...]) -> tuple[FaultWindow, ...]:
        for (first, earlier), (second, later) in combinations(enumerate(windows, 1), 2):
            if earlier.takes_all_of(later):
                raise ValueError(
                    f"window {second} ({later.describe()}) never takes a call: window {first} ({earlier.describe()}) "
                    "comes first and takes them all; put the narrower one first, or give the other a share"
                )
        return windows

    @classmethod
    def parse(cls, toml: str, *, origin: str = "fault script") -> FaultScript:
        """A script from its TOML text. Raises :class:`FaultScriptError`, which begins with ``origin``."""
        try:
            return cls.model_validate(tomllib.loads(toml))
        except tomllib.TOMLDecodeError as error:
            raise FaultScriptError(f"{origin}: not TOML: {error}") from None
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            said = mistake(first, list(cls.model_fields), list(FaultWindow.model_fields))
            raise FaultScriptError(f"{origin}: {said}") from None

    def disturbed_s(self) -> list[tuple[float, float | None]]:
        """The stretches of time in which calls may be disturbed, in seconds since the start: merged, in order.

        The last one's end is None where it has none.
        """
        merged: list[list[float]] = []
        for start, end in sorted((window.at_s, window.end_s) for window in self.fault):
            if merged and start <= merged[-1][1]:
                merged[-1][1] = max(merged[-1][1], end)
            else:
                merged.append([start, end])
        return [(start, None if math.isinf(end) else end) for start, end in merged]

    @classmethod
    def load(cls, path: Path) -> FaultScript:
        """A script from a file. Raises :class:`FaultScriptError`."""
        try:
            text = path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
            raise FaultScriptError(f"{path}: cannot be read: {reason}") from None
        return cls.parse(text, origin=str(path))


NO_FAULTS: Final = FaultScript()
