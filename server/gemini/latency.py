"""How long Gemini takes: a seeded law of latency, drawn from 128 hash bits a call, whatever else is going on.

A call's time is ``ttft + (tokens - 1) * per_token``, the usual decomposition of LLM serving latency (time to first
token, time per output token). Both times are log-normal and output length is exponential, each truncated to its bounds
by inverting the distribution function on ``[F(low), F(high)]``: bounds without a pile of samples at them. A few calls
are stragglers, slower as a whole by one factor. The profiles' figures are a model's, not measurements of Google.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Final, NamedTuple

_STANDARD_NORMAL: Final = NormalDist()
_TO_UNIT: Final = 2.0**-32
_LOW_32: Final = 0xFFFF_FFFF


@dataclass(frozen=True, slots=True)
class LogNormal:
    """A log-normal law in milliseconds: ``median`` ms, ``sigma`` of the logarithm, truncated to ``[low, high]`` ms."""

    median: float
    sigma: float
    low: float = 0.0
    high: float = math.inf
    _mu: float = field(init=False, repr=False)
    _p_low: float = field(init=False, repr=False)
    _p_width: float = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not (0 <= self.low <= self.median <= self.high and self.sigma >= 0):
            raise ValueError(f"log-normal law needs 0 <= low <= median <= high and sigma >= 0, got {self}")
        p_low = self._cdf(self.low)
        object.__setattr__(self, "_mu", math.log(self.median) if self.median else -math.inf)
        object.__setattr__(self, "_p_low", p_low)
        object.__setattr__(self, "_p_width", self._cdf(self.high) - p_low)

    def _cdf(self, ms: float) -> float:
        if ms <= 0 or self.sigma == 0 or self.median == 0:
            return 0.0
        return 1.0 if ms == math.inf else _STANDARD_NORMAL.cdf(math.log(ms / self.median) / self.sigma)

    def quantile(self, u: float) -> float:
        """The value in ms below which a share ``u`` in (0, 1) of all draws lies."""
        if self.sigma == 0 or self.median == 0:
            return self.median
        return math.exp(self._mu + self.sigma * _STANDARD_NORMAL.inv_cdf(self._p_low + u * self._p_width))


@dataclass(frozen=True, slots=True)
class OutputLength:
    """How many tokens a reply has: exponential with ``mean`` tokens, truncated to ``[low, high]``; whole tokens."""

    mean: float
    low: int = 1
    high: int = 8192
    _p_high: float = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not (1 <= self.low <= self.high and self.mean > 0):
            raise ValueError(f"output length needs 1 <= low <= high and mean > 0, got {self}")
        # The exponential law forgets: truncated below at low it is itself, begun at low.
        object.__setattr__(self, "_p_high", -math.expm1(-(self.high - self.low + 1) / self.mean))

    def quantile(self, u: float) -> int:
        """The number of tokens below or at which a share ``u`` in (0, 1) of all draws lies."""
        tokens = round(self.low - 0.5 - self.mean * math.log1p(-u * self._p_high))
        return min(max(tokens, self.low), self.high)


@dataclass(frozen=True, slots=True)
class LatencyProfile:
    """A named law of latency.

    ``straggler_share`` of calls takes ``straggler_factor`` times as long. ``capacity`` is the number of calls in flight
    that the model serves at full speed; with ``n`` above it each takes ``n / capacity`` times as long (processor
    sharing); 0 means that load slows nothing.
    """

    name: str
    ttft: LogNormal
    per_token: LogNormal
    output: OutputLength
    straggler_share: float = 0.0
    straggler_factor: float = 1.0
    capacity: int = 0

    def draw(self, bits: int) -> Draw:
        """One call's latency from 128 random ``bits``: the same bits, the same call."""
        straggles = ((bits >> 96) + 0.5) * _TO_UNIT < self.straggler_share
        factor = self.straggler_factor if straggles else 1.0
        return Draw(
            factor * self.ttft.quantile(((bits & _LOW_32) + 0.5) * _TO_UNIT),
            factor * self.per_token.quantile(((bits >> 32 & _LOW_32) + 0.5) * _TO_UNIT),
            self.output.quantile(((bits >> 64 & _LOW_32) + 0.5) * _TO_UNIT),
        )

    def load_factor(self, in_flight: int) -> float:
        """How many times slower a call is that starts as the ``in_flight``-th one."""
        return in_flight / self.capacity if 0 < self.capacity < in_flight else 1.0


class Draw(NamedTuple):
    """One call as drawn: ms to the first token, ms for each one after it, and the tokens it wants to say."""

    ttft_ms: float
    per_token_ms: float
    output_tokens: int

    def slower(self, factor: float) -> Draw:
        """The same call at a pace ``factor`` times slower."""
        return Draw(factor * self.ttft_ms, factor * self.per_token_ms, self.output_tokens)

    def total_ms(self, tokens: int) -> float:
        """Milliseconds until the last of ``tokens`` tokens."""
        return self.ttft_ms + self.per_token_ms * (tokens - 1) if tokens > 1 else self.ttft_ms


def _constant(name: str, ms: float) -> LatencyProfile:
    return LatencyProfile(name, LogNormal(ms, 0), LogNormal(0, 0), OutputLength(40, 1, 70))


PROFILES: Final[dict[str, LatencyProfile]] = {
    profile.name: profile
    for profile in (
        # Always within 150 to 300 ms: 150..230 to the first token, then at most 69 tokens of 0.3..1.0 ms.
        LatencyProfile(
            "lesson", LogNormal(180, 0.15, 150, 230), LogNormal(0.6, 0.25, 0.3, 1.0), OutputLength(40, 1, 70)
        ),
        LatencyProfile("flash", LogNormal(350, 0.35), LogNormal(4.5, 0.2), OutputLength(180), 0.01, 4.0),
        LatencyProfile("pro", LogNormal(900, 0.45), LogNormal(9.0, 0.25), OutputLength(320), 0.02, 3.0),
        # The lesson's pace without its bounds, on a model that serves 200 calls at once at full speed.
        LatencyProfile(
            "congested", LogNormal(180, 0.3), LogNormal(0.6, 0.25), OutputLength(40, 1, 400), 0.01, 4.0, capacity=200
        ),
        _constant("zero", 0.0),
    )
}
"""The profiles by name. ``find_profile`` also takes a constant such as ``200ms``."""

_CONSTANT: Final = re.compile(r"(\d{1,6}(?:\.\d{1,3})?)ms")


def find_profile(name: str) -> LatencyProfile:
    """The profile called ``name``, or a constant latency such as ``200ms``. Raises ``ValueError`` for another name."""
    if profile := PROFILES.get(name):
        return profile
    if constant := _CONSTANT.fullmatch(name):
        return _constant(name, float(constant[1]))
    raise ValueError(f"unknown latency profile {name!r}: one of {', '.join(PROFILES)}, or a constant such as 200ms")
