"""A request that Gemini refuses with a 400."""

from __future__ import annotations

from server.gemini.mock_bodies import bad_request


class BadCallError(Exception):
    """A request that Gemini refuses with a 400; ``body`` is the answer."""

    def __init__(self, body: bytes) -> None:
        super().__init__("bad Gemini request")
        self.body = body


def unknown_name(name: str, holder: str) -> BadCallError:
    """What Google says of a field that it does not know; ``holder`` is the path of what holds it, empty at the top."""
    where = f" at '{holder}'" if holder else ""
    text = f'Invalid JSON payload received. Unknown name "{name}"{where}: Cannot find field.'
    return BadCallError(bad_request(text, holder))
