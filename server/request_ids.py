"""Who a request is: ``X-Request-Id`` and ``traceparent``, echoed where they were sent and fit, else made."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from itertools import count
from random import getrandbits

_VISIBLE_ASCII = re.compile(r"[!-~]{1,128}")
# W3C Trace Context, version 00: neither id may be all zeros, hex digits are lower case.
_TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def request_id_source() -> Callable[[str | None], str]:
    """A function from the ``X-Request-Id`` that was sent to the one to answer with.

    What was sent counts if it is 1 to 128 visible ASCII characters. A made one is a random prefix of this process and a
    number: unique without a random draw a request.
    """
    prefix = secrets.token_hex(4)
    numbers = count(1)

    def request_id(sent: str | None) -> str:
        if sent is not None and _VISIBLE_ASCII.fullmatch(sent):
            return sent
        return f"{prefix}-{next(numbers):x}"

    return request_id


def traceparent(sent: str | None) -> str:
    """The ``traceparent`` that was sent, if it is valid; else a new one, not sampled."""
    if sent is not None and _TRACEPARENT.fullmatch(sent):
        return sent
    # `| 1`: never all zeros.
    return f"00-{getrandbits(128) | 1:032x}-{getrandbits(64) | 1:016x}-00"
