"""What the parser holds against a request, in words for who sent it.

The parser's own are for its developers: several lines, with the bytes around the fault, which may hold a key.
"""

from __future__ import annotations

from typing import Final

from aiohttp.http_exceptions import InvalidURLError, LineTooLong

_PLAINER: Final = {
    "Pause on PRI/Upgrade": "this is HTTP/2, send HTTP/1.1",
    "Expected HTTP/, RTSP/ or ICE/": "HTTP/1.1 is expected after the target",
}


def in_words(refusal: BaseException | None, message: str | None) -> str:
    """One line for a problem's ``detail``, of the parser's exception and its message."""
    if isinstance(refusal, LineTooLong):
        return f"the target or a header has more than {refusal.args[1]} bytes"
    if not message:
        return "the request is not well-formed HTTP"
    # A headline or two, then after an empty line what was read, with a mark below it.
    head, read, _ = message.partition("\n\n")
    if isinstance(refusal, InvalidURLError) and not read:
        return f"the target is not a URL: {message!r:.200}"
    reason = head.splitlines()[-1].strip().rstrip(":.")[:200]
    return f"the request is not well-formed HTTP: {_PLAINER.get(reason, reason)}"
