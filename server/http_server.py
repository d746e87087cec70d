"""aiohttp's low-level server, made to answer what is not HTTP in the same words as everything else."""

from __future__ import annotations

import logging
from typing import Any

from aiohttp import web

from server.errors import MalformedHttp, TailgateError
from server.malformed_http import in_words
from server.problems import problem_reply
from server.request_ids import RequestIds
from server.routes import Handler

log = logging.getLogger("tailgate")

_KEEP_ALIVE_S = 75.0
_LINGER_S = 2.0


class _Connection(web.RequestHandler):
    """One connection: parsing and keep-alive are aiohttp's."""

    __slots__ = ()

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> Any:
        """Answer what the parser refused (header floods, bad framing), and close; no traceback for it."""
        if status >= 500:
            log.error("a handler failed by a bug", exc_info=exc)
            error = TailgateError("an error in the server; its log has the details")
        else:
            error = MalformedHttp(in_words(exc, message))
        manager = self._manager
        request_id = manager.ids.request_id(None) if isinstance(manager, HttpServer) else ""
        reply = problem_reply(error, request_id, headers=f"X-Request-Id: {request_id}\r\n")
        reply.keep_alive = False
        return reply


class HttpServer(web.Server):
    """Makes a connection for each client. Handlers of clients that go away are cancelled."""

    def __init__(self, handler: Handler, *, ids: RequestIds) -> None:
        self.ids = ids
        self._options: dict[str, Any] = {
            "access_log": None,
            "keepalive_timeout": _KEEP_ALIVE_S,
            "lingering_time": _LINGER_S,
            "auto_decompress": False,
        }
        # Reply is what aiohttp needs of a response, and no more, so it does not inherit from one.
        super().__init__(handler, handler_cancellation=True)  # type: ignore[arg-type]

    def __call__(self) -> web.RequestHandler:
        """A connection."""
        return _Connection(self, loop=self._loop, **self._options)
