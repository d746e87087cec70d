"""Which function answers which path, and the routes that say something about the server itself.

A dictionary instead of aiohttp's router, which resolves paths with parameters that this server does not have.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from server.access import Origins
from server.errors import MethodNotAllowed, NotFound, TailgateError
from server.problems import problem_reply
from server.replies import Reply
from server.request_ids import RequestIds

Handler = Callable[[web.BaseRequest], Awaitable[Reply | web.WebSocketResponse]]
Routes = Mapping[str, Mapping[str, Handler]]
"""Path to method to handler. HEAD is answered wherever GET is."""


def dispatcher(
    routes: Routes, *, origins: Origins, ids: RequestIds
) -> Callable[[web.BaseRequest], Awaitable[Reply | web.WebSocketResponse]]:
    """The handler of all requests: finds the route, and renders its typed errors."""

    async def dispatch(request: web.BaseRequest) -> Reply | web.WebSocketResponse:
        path = request.raw_path
        methods = routes.get(path)
        if methods is None:
            path = request.path
            methods = routes.get(path)
        method = request.method
        try:
            if methods is None:
                raise NotFound(f"there is no {path!r:.200} here; routes: {', '.join(routes)}")
            handler = methods.get("GET" if method == "HEAD" else method)
            if handler is not None:
                return await handler(request)
            allowed = tuple(methods)
            if method == "OPTIONS" and origins:
                return Reply(204, b"", headers=origins.preflight_headers(request, allowed))
            raise MethodNotAllowed(f"{path} takes {', '.join(allowed)}, not {method:.20}", allowed=allowed)
        except TailgateError as error:
            sent = ids.request_id(request.headers.get("X-Request-Id"))
            headers = f"X-Request-Id: {sent}\r\n"
            if origins:
                headers += origins.headers(request)
            return problem_reply(error, sent, headers=headers)

    return dispatch
