"""The one thing about the mock that can be changed while the server runs: the clock of its fault script.

A bench has every block see the same faults at the same time by starting the script anew with each.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Final

import orjson
from aiohttp import web

from server.errors import NotFound
from server.gemini.mock import MockGemini
from server.replies import Reply
from server.routes import Handler

RESTART_FAULTS: Final = "/mock/faults/restart"


def restart_faults(client: MockGemini) -> Handler:
    """The handler of ``POST /mock/faults/restart``: the script is at its beginning; 404 from other machines.

    Answers with the stretches in which it disturbs calls, ``{"disturbed_s": [[5.0, 8.0], ...]}``, in seconds from now;
    null for an end that does not come.
    """

    async def restart(request: web.BaseRequest) -> Reply:
        if request.remote is None or not ip_address(request.remote).is_loopback:
            raise NotFound(f"there is no {RESTART_FAULTS!r} here")
        return Reply(200, orjson.dumps({"disturbed_s": client.restart_faults().disturbed_s()}))

    return restart
