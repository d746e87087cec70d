"""What the mock says: the prompt's first 64 characters, so that a reply can be proved its own, then filler words.

Tokens are counted by rule, not by a tokenizer: four characters of prompt or echo are a token (Google's rule of thumb
for English), and every filler word is one.
"""

from __future__ import annotations

from typing import Final

ECHO_CHARS: Final = 64
"""So many characters of the prompt open its reply."""

# fmt: off
_VOCABULARY: Final = (
    "queue", "latency", "token", "server", "cache", "request", "model", "retry", "budget", "worker", "prompt",
    "answer", "window", "signal", "buffer", "stream", "thread", "socket", "policy", "breaker", "limit", "burst",
    "steady", "median", "tail", "sample", "second", "metric", "record", "report",
)
# fmt: on
_STARTS: Final = 64
_MOST_WORDS: Final = 8192
_WORDS: Final = [_VOCABULARY[(7 * i + i // 31) % len(_VOCABULARY)] for i in range(_MOST_WORDS + _STARTS)]
_FILLER: Final = "".join(f" {word}" for word in _WORDS)


def _offsets() -> tuple[int, ...]:
    ends = [0]
    for word in _WORDS:
        ends.append(ends[-1] + 1 + len(word))
    return tuple(ends)


_OFFSETS: Final = _offsets()


def count_tokens(text: str) -> int:
    """Tokens of a prompt: a fourth of its characters, rounded up; at least 1 (an empty prompt still costs its turn)."""
    return (len(text) + 3) // 4 or 1


def compose(
    prompt: str, wanted_tokens: int, variant: int, most_tokens: int | None = None, stop_sequences: tuple[str, ...] = ()
) -> tuple[str, int, str]:
    """The reply to ``prompt``: its text, its output tokens and its finish reason (``STOP`` or ``MAX_TOKENS``).

    The text is the echo and as many filler words as make up ``wanted_tokens``; ``variant`` chooses where they begin.
    ``most_tokens`` (``max_output_tokens``) cuts the words, never the echo. A stop sequence ends the words before it.
    """
    echo = prompt[:ECHO_CHARS]
    echo_tokens = (len(echo) + 3) // 4
    tokens = wanted_tokens if wanted_tokens > echo_tokens else echo_tokens
    finish = "STOP"
    if most_tokens is not None and tokens > most_tokens:
        tokens, finish = most_tokens, "MAX_TOKENS"
    words = tokens - echo_tokens
    if words <= 0:
        return echo, tokens, finish
    if words > _MOST_WORDS:
        words = _MOST_WORDS
        tokens = echo_tokens + words
    first = variant % _STARTS
    filler = _FILLER[_OFFSETS[first] : _OFFSETS[first + words]]
    if stop_sequences:
        cut = min((at for stop in stop_sequences if stop and (at := filler.find(stop)) >= 0), default=-1)
        if cut >= 0:
            filler = filler[:cut]
            tokens, finish = echo_tokens + len(filler.split()), "STOP"
    return echo + filler, tokens, finish
