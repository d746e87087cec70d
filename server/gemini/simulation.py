"""What the mock answers and when: one seeded plan a call, shared by the in-process mock and the mock HTTP server.

A plan depends on the seed, the prompt, how often that prompt was asked before and the faults scripted for the moment:
runs with the same seed and workload see the same latencies and texts however their calls interleave. (A profile with a
``capacity`` adds the load of the moment, which is its point.)
"""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock
from typing import Final, NamedTuple

from xxhash import xxh3_64_intdigest, xxh3_128_intdigest

from server.gemini.faults import NO_FAULTS, FaultKind, FaultScript, FaultWindow
from server.gemini.latency import Draw, LatencyProfile, find_profile
from server.gemini.protocol import GeminiCall, GeminiReply, Usage
from server.gemini.reply_text import compose, count_tokens

HANG_S: Final = 600.0
"""So long a hanging call is held before its connection closes."""

_MOST_PROMPTS: Final = 1 << 18
_REFUSED_EARLY: Final = 0.1  # an error is answered in this share of the time to the first token
_ERRORS: Final = frozenset(
    {FaultKind.RATE_LIMIT, FaultKind.QUOTA, FaultKind.UNAVAILABLE, FaultKind.INTERNAL, FaultKind.BLOCKED}
)


class Plan(NamedTuple):
    """One call as it will go: the reply, its pace, seconds from start to end, and the fault it meets, if any."""

    reply: GeminiReply
    draw: Draw
    delay_s: float
    fault: FaultWindow | None


class Simulation:
    """Plans calls under one latency ``profile`` (a name, see :func:`server.gemini.latency.find_profile`) and ``seed``.

    ``faults`` run on ``clock`` (seconds) from the moment of construction, or the last :meth:`restart_faults`. Safe to
    share among threads. How often each prompt was asked is remembered for the last 262,144 distinct prompts (about 25
    MB); a prompt forgotten begins again at its first answer.
    """

    def __init__(
        self,
        profile: str = "lesson",
        *,
        seed: int = 0,
        faults: FaultScript = NO_FAULTS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.profile: LatencyProfile = find_profile(profile)
        self.seed = seed
        self.in_flight = 0
        self._faults = faults.fault
        self._clock = clock
        self._started = clock()
        self._hash_seed = seed & 0xFFFF_FFFF_FFFF_FFFF
        self._asked: dict[int, int] = {}
        self._lock = Lock()

    def begin(self, call: GeminiCall) -> Plan:
        """The next answer to ``call.prompt``; sleeps nothing. The call is in flight until :meth:`end`."""
        prompt, parameters, profile = call.prompt, call.parameters, self.profile
        key = self._key(prompt)
        with self._lock:
            nth = self._asked.get(key, 0)
            if nth == 0 and len(self._asked) >= _MOST_PROMPTS:
                self._forget_oldest()
            self._asked[key] = nth + 1
            self.in_flight = in_flight = self.in_flight + 1
        draw = profile.draw(xxh3_128_intdigest(b"%d/%d" % (key, nth), self._hash_seed))
        slowdown = profile.load_factor(in_flight)
        text, tokens, finish = compose(
            prompt, draw.output_tokens, key + nth, parameters.max_output_tokens, parameters.stop_sequences
        )
        fault = self._fault(key, nth) if self._faults else None
        if fault is not None and fault.factor is not None:
            slowdown *= fault.factor
        if slowdown != 1.0:
            draw = draw.slower(slowdown)
        prompt_tokens = count_tokens(prompt)
        usage = Usage(prompt_tokens, tokens, prompt_tokens + tokens)
        delay_ms = draw.total_ms(tokens)
        if fault is not None:
            if fault.kind is FaultKind.HANG:
                delay_ms = HANG_S * 1000
            elif fault.kind in _ERRORS:
                delay_ms = draw.ttft_ms * _REFUSED_EARLY
        return Plan(GeminiReply(text, call.model, finish, usage), draw, delay_ms / 1000, fault)

    def restart_faults(self) -> None:
        """Run the script of faults from its beginning again."""
        self._started = self._clock()

    def end(self) -> None:
        """A call that was begun has ended, answered or not."""
        with self._lock:
            self.in_flight -= 1

    def asked(self, prompt: str) -> int:
        """How many calls were made with exactly this ``prompt``."""
        return self._asked.get(self._key(prompt), 0)

    def asked_prompts(self) -> tuple[int, int]:
        """How many distinct prompts were asked, and the most calls that any one of them took."""
        with self._lock:
            return len(self._asked), max(self._asked.values(), default=0)

    def _key(self, prompt: str) -> int:
        return xxh3_64_intdigest(prompt.encode("utf-8", "surrogatepass"), self._hash_seed)

    def _fault(self, key: int, nth: int) -> FaultWindow | None:
        elapsed_s = self._clock() - self._started
        for number, window in enumerate(self._faults):
            if window.at_s <= elapsed_s < window.end_s:
                chance = xxh3_64_intdigest(b"%d/%d/fault %d" % (key, nth, number), self._hash_seed) * 2.0**-64
                if chance < window.share:
                    return window
        return None

    def _forget_oldest(self) -> None:
        # A quarter at once: taking them one by one from the front of a dict scans its dead slots each time.
        self._asked = dict(list(self._asked.items())[_MOST_PROMPTS // 4 :])
