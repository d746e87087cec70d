"""Which function answers which path, and the routes that say something about the server itself.

A dictionary instead of aiohttp's router, which resolves paths with parameters that this server does not have.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import wraps

from aiohttp import web

from server.access import ApiKeys, Origins, preflight_headers
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

    @finishing(origins, ids)
    async def elsewhere(request: web.BaseRequest) -> Reply:
        methods = routes.get(request.path)
        if methods is None:
            raise NotFound(f"there is no {request.path!r:.200} here; routes: {', '.join(routes)}")
        allowed = tuple(methods)
        if request.method == "OPTIONS" and origins:
            return Reply(204, b"", headers=preflight_headers(allowed))
        raise MethodNotAllowed(f"{request.path} takes {', '.join(allowed)}, not {request.method:.20}", allowed=allowed)

    return dispatch


def finishing(origins: Origins, ids: RequestIds) -> Callable[[Handler], Handler]:
    """Render the typed errors of a handler that does not do so itself, and give its replies id and CORS headers."""

    def decorate(handler: Handler) -> Handler:
        @wraps(handler)
        async def finished(request: web.BaseRequest) -> Reply | web.WebSocketResponse:
            request_id = ids.request_id(request.headers.get("X-Request-Id"))
            try:
                reply = await handler(request)
            except TailgateError as error:
                reply = problem_reply(error, request_id)
            if isinstance(reply, Reply):
                reply.headers += f"X-Request-Id: {request_id}\r\n"
                if origins:
                    reply.headers += origins.headers(request)
            return reply

        return finished

    return decorate


def guarded(api_keys: ApiKeys) -> Callable[[Handler], Handler]:
    """Ask for the API key first, where keys are set."""

    def decorate(handler: Handler) -> Handler:
        @wraps(handler)
        async def checked(request: web.BaseRequest) -> Reply | web.WebSocketResponse:
            api_keys.check(request)
            return await handler(request)

        return checked if api_keys else handler

    return decorate
