"""What the mock answers and when: one seeded plan a call, shared by the in-process mock and the mock HTTP server.

A plan depends on the seed, the prompt and how often that prompt was asked before, and on nothing else: runs with the
same seed and workload see the same latencies and texts however their calls interleave. (A profile with a ``capacity``
adds the load of the moment, which is its point.)
"""

from __future__ import annotations

from threading import Lock
from typing import Final, NamedTuple

from xxhash import xxh3_64_intdigest, xxh3_128_intdigest

from server.gemini.latency import Draw, LatencyProfile, find_profile
from server.gemini.protocol import GeminiCall, GeminiReply, Usage
from server.gemini.reply_text import compose, count_tokens

_MOST_PROMPTS: Final = 1 << 18


class Plan(NamedTuple):
    """One call as it will go: the reply, the draw behind it, and seconds from start to end."""

    reply: GeminiReply
    draw: Draw
    delay_s: float


class Simulation:
    """Plans calls under one latency ``profile`` (a name, see :func:`server.gemini.latency.find_profile`) and ``seed``.

    Safe to share among threads. How often each prompt was asked is remembered for the last 262,144 distinct prompts
    (about 25 MB); a prompt forgotten begins again at its first answer.
    """

    def __init__(self, profile: str = "lesson", *, seed: int = 0) -> None:
        self.profile: LatencyProfile = find_profile(profile)
        self.seed = seed
        self._hash_seed = seed & 0xFFFF_FFFF_FFFF_FFFF
        self._asked: dict[int, int] = {}
        self._in_flight = 0
        self._lock = Lock()

    def begin(self, call: GeminiCall) -> Plan:
        """The next answer to ``call.prompt``; sleeps nothing. The call is in flight until :meth:`end`."""
        prompt, parameters, profile = call.prompt, call.parameters, self.profile
        key = xxh3_64_intdigest(prompt.encode("utf-8", "surrogatepass"), self._hash_seed)
        with self._lock:
            nth = self._asked.get(key, 0)
            if nth == 0 and len(self._asked) >= _MOST_PROMPTS:
                self._forget_oldest()
            self._asked[key] = nth + 1
            self._in_flight = in_flight = self._in_flight + 1
        draw = profile.draw(xxh3_128_intdigest(b"%d/%d" % (key, nth), self._hash_seed))
        text, tokens, finish = compose(
            prompt, draw.output_tokens, key + nth, parameters.max_output_tokens, parameters.stop_sequences
        )
        delay_ms = draw.total_ms(tokens) * profile.load_factor(in_flight)
        prompt_tokens = count_tokens(prompt)
        usage = Usage(prompt_tokens, tokens, prompt_tokens + tokens)
        return Plan(GeminiReply(text, call.model, finish, usage), draw, delay_ms / 1000)

    def end(self) -> None:
        """A call that was begun has ended, answered or not."""
        with self._lock:
            self._in_flight -= 1

    def _forget_oldest(self) -> None:
        # A quarter at once: taking them one by one from the front of a dict scans its dead slots each time.
        self._asked = dict(list(self._asked.items())[_MOST_PROMPTS // 4 :])
