"""Who a request is: ``X-Request-Id`` and ``traceparent``, echoed where they were sent and fit, else made."""

from __future__ import annotations

import re
import secrets
from itertools import count

_VISIBLE_ASCII = re.compile(r"[!-~]{1,128}")
# W3C Trace Context: neither id may be all zeros, hex digits are lower case. A version after 00 begins like it and may
# go on after another dash; there is no version ff.
_IDS_AND_FLAGS = r"-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
_TRACEPARENT = re.compile(rf"00{_IDS_AND_FLAGS}|(?!00|ff)[0-9a-f]{{2}}{_IDS_AND_FLAGS}(?:-[!-~]*)?")


def is_traceparent(sent: str | None) -> bool:
    """Whether it is a valid ``traceparent``."""
    return sent is not None and _TRACEPARENT.fullmatch(sent) is not None


class RequestIds:
    """Makes the ids of one process: a random prefix and a number, unique without a random draw a request."""

    __slots__ = ("_number", "_prefix", "_trace_prefix")

    def __init__(self) -> None:
        self._number = count(1).__next__
        self._prefix = secrets.token_hex(4)
        # Odd in its last digit, so that no trace id is all zeros.
        self._trace_prefix = f"00-{secrets.randbits(64) | 1:016x}"

    def request_id(self, sent: str | None) -> str:
        """The ``X-Request-Id`` to answer with: the one that was sent, if it is 1 to 128 visible ASCII characters."""
        if sent is not None and _VISIBLE_ASCII.fullmatch(sent):
            return sent
        return f"{self._prefix}-{self._number():x}"

    def traceparent(self, sent: str | None) -> str:
        """The ``traceparent`` to answer with: the one that was sent, if it is valid; else a new one, not sampled."""
        if sent is not None and is_traceparent(sent):
            return sent
        number = self._number()
        return f"{self._trace_prefix}{number:016x}-{number:016x}-00"
