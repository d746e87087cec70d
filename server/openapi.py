"""``/openapi.json``: OpenAPI 3.1, generated from the models."""

from __future__ import annotations

from typing import Any, Final

from pydantic.json_schema import models_json_schema

from server.models import Problem, ProcessReply, ProcessRequest
from server.versions import server_version

_PROBLEMS: Final = {
    400: "not HTTP, not JSON, or a name twice in one object",
    401: "no API key, or an unknown one (only where keys are set)",
    405: "the route does not take this method",
    408: "the body did not arrive in time",
    413: "the body is over 1 MiB",
    415: "the body is not application/json in UTF-8",
    422: "the body is not a request, or Gemini refused a prompt",
    429: "a rate limit was reached; Retry-After says when to come back",
    500: "a bug in the server",
    502: "Gemini failed",
    503: "overloaded, circuit open, quota exhausted or draining; Retry-After says when to come back",
    504: "the deadline passed",
}
_REQUEST_ID: Final = {
    "X-Request-Id": {"description": "echoed if sent, else made", "required": True, "schema": {"type": "string"}}
}
_RETRY_AFTER: Final = {
    "Retry-After": {"description": "whole seconds", "required": True, "schema": {"type": "integer", "minimum": 1}}
}
_ALLOW: Final = {
    "Allow": {"description": "the methods it takes", "required": True, "schema": {"type": "string"}},
}
_WWW_AUTHENTICATE: Final = {
    "WWW-Authenticate": {"description": "that X-API-Key is asked for", "required": True, "schema": {"type": "string"}}
}
_PROCESS_HEADERS: Final = {
    "Server-Timing": "queue, validate, cache, gemini, backoff, aggregate and total, in ms",
    "X-Attempts": "Gemini attempts of the slowest leg",
    "traceparent": "W3C Trace Context; echoed if sent, else made",
}
_REPLY_HEADERS: Final = _PROCESS_HEADERS | {"Cache-Status": "RFC 9211"}
# What is not HTTP, or failed before it reached the route, has none of the route's headers.
_PERHAPS_NOT_FROM_THE_ROUTE: Final = (400, 500)
_PROBLEM_CONTENT: Final = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
_DISTURBED: Final = {
    "type": "object",
    "properties": {
        "disturbed_s": {
            "description": "start and end of each stretch with faults, in seconds from now; null: it does not end",
            "type": "array",
            "items": {"type": "array", "items": {"type": ["number", "null"]}, "minItems": 2, "maxItems": 2},
        }
    },
    "required": ["disturbed_s"],
    "additionalProperties": False,
}


def openapi(*, needs_key: bool, restarts_faults: bool = False) -> dict[str, Any]:
    """The description of all routes.

    ``needs_key``: API keys are set. ``restarts_faults``: the mock has a script of faults, and a route to begin it anew.
    """
    _, schemas = models_json_schema(
        [(ProcessRequest, "validation"), (ProcessReply, "serialization"), (Problem, "serialization")],
        ref_template="#/components/schemas/{model}",
    )

    def guarded(route: dict[str, Any]) -> dict[str, Any]:
        if not needs_key:
            return route
        responses = {"401": _problem(401, _REQUEST_ID | _WWW_AUTHENTICATE)} | route["responses"]
        return route | {"security": [{"apiKey": []}], "responses": responses}

    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "Tailgate reference server",
            "version": server_version(),
            "description": "A validated, decorated, concurrent Gemini pipeline behind HTTP.",
        },
        "paths": {
            "/process": {"post": guarded(_process())},
            "/healthz": {"get": _plain("Whether the process lives", _status("ok"))},
            "/readyz": {
                "get": _plain("Whether it takes work", _status("ready"))
                | {
                    "responses": {
                        "200": _json("ready", _status("ready")),
                        "503": _json("draining", _status("draining"), _RETRY_AFTER),
                    }
                }
            },
            "/metrics": {"get": guarded(_text("Counters in Prometheus' text format"))},
            "/config": {"get": guarded(_plain("Settings in force and versions, no secrets", {"type": "object"}))},
            "/openapi.json": {"get": _plain("This document", {"type": "object"})},
        },
        "components": {"schemas": schemas["$defs"]},
    }
    if restarts_faults:
        restart = _plain("Begin the mock's fault script anew", _DISTURBED)
        restart["responses"]["404"] = {
            "description": "asked from another machine",
            "headers": _REQUEST_ID,
            "content": _PROBLEM_CONTENT,
        }
        document["paths"]["/mock/faults/restart"] = {"post": guarded(restart)}
    if needs_key:
        document["components"]["securitySchemes"] = {"apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"}}
    return document


def _process() -> dict[str, Any]:
    responses: dict[str, Any] = {
        "200": {
            "description": "All prompts are answered",
            "headers": _REQUEST_ID | _strings(_REPLY_HEADERS, required=True),
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ProcessReply"}}},
        }
    }
    for status in _PROBLEMS:
        headers: dict[str, Any] = dict(_REQUEST_ID)
        if status == 405:
            headers |= _ALLOW
        else:
            headers |= _strings(_PROCESS_HEADERS, required=status not in _PERHAPS_NOT_FROM_THE_ROUTE)
        if status == 401:
            headers |= _WWW_AUTHENTICATE
        if status in (429, 503):
            headers |= _RETRY_AFTER
        responses[str(status)] = _problem(status, headers)
    return {
        "operationId": "process",
        "summary": "Answer 1 to 8 prompts",
        "parameters": [
            _header("X-Request-Id", "echoed if it is visible ASCII"),
            _header("traceparent", "W3C Trace Context"),
            _header("Cache-Control", "no-cache asks Gemini anew"),
        ],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ProcessRequest"}}},
        },
        "responses": responses,
    }


def _problem(status: int, headers: dict[str, Any]) -> dict[str, Any]:
    return {"description": _PROBLEMS[status], "headers": headers, "content": _PROBLEM_CONTENT}


def _strings(headers: dict[str, str], *, required: bool) -> dict[str, Any]:
    return {
        name: {"description": text, "required": required, "schema": {"type": "string"}}
        for name, text in headers.items()
    }


def _header(name: str, text: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "required": False, "description": text, "schema": {"type": "string"}}


def _status(value: str) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {"status": {"const": value}},
        "required": ["status"],
        "additionalProperties": False,
    }


def _json(text: str, schema: dict[str, Any], more_headers: dict[str, Any] | None = None) -> dict[str, Any]:
    headers = _REQUEST_ID | (more_headers or {})
    return {"description": text, "headers": headers, "content": {"application/json": {"schema": schema}}}


def _plain(summary: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"summary": summary, "responses": {"200": _json(summary, schema)}}


def _text(summary: str) -> dict[str, Any]:
    content = {"text/plain": {"schema": {"type": "string"}}}
    return {
        "summary": summary,
        "responses": {"200": {"description": summary, "headers": _REQUEST_ID, "content": content}},
    }
