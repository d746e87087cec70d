"""Which function answers which path, and the routes that say something about the server itself.

A dictionary instead of aiohttp's router, which resolves paths with parameters that this server does not have.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import wraps

from aiohttp import web

from server.access import Origins
from server.errors import MethodNotAllowed, NotFound, TailgateError
from server.problems import problem_reply
from server.replies import Reply
from server.request_ids import RequestIds

Handler = Callable[[web.BaseRequest], Awaitable[Reply | web.WebSocketResponse]]
Routes = Mapping[str, Mapping[str, Handler]]
"""Path to method to handler. HEAD is answered wherever GET is."""


def dispatcher(routes: Routes, *, origins: Origins, ids: RequestIds) -> Handler:
    """The handler of all requests: finds the route and hands over, or answers why there is none."""

    def dispatch(request: web.BaseRequest) -> Awaitable[Reply | web.WebSocketResponse]:
        methods = routes.get(request.raw_path) or routes.get(request.path)
        if methods is not None:
            handler = methods.get(request.method) or (methods.get("GET") if request.method == "HEAD" else None)
            if handler is not None:
                return handler(request)
        return elsewhere(request)

    @answering_errors(origins, ids)
    async def elsewhere(request: web.BaseRequest) -> Reply:
        methods = routes.get(request.path)
        if methods is None:
            raise NotFound(f"there is no {request.path!r:.200} here; routes: {', '.join(routes)}")
        allowed = tuple(methods)
        if request.method == "OPTIONS" and origins:
            return Reply(204, b"", headers=origins.preflight_headers(request, allowed))
        raise MethodNotAllowed(f"{request.path} takes {', '.join(allowed)}, not {request.method:.20}", allowed=allowed)

    return dispatch


def answering_errors(origins: Origins, ids: RequestIds) -> Callable[[Handler], Handler]:
    """Render the typed errors of a handler that does not do so itself."""

    def decorate(handler: Handler) -> Handler:
        @wraps(handler)
        async def answering(request: web.BaseRequest) -> Reply | web.WebSocketResponse:
            try:
                return await handler(request)
            except TailgateError as error:
                sent = ids.request_id(request.headers.get("X-Request-Id"))
                headers = f"X-Request-Id: {sent}\r\n"
                if origins:
                    headers += origins.headers(request)
                return problem_reply(error, sent, headers=headers)

        return answering

    return decorate
