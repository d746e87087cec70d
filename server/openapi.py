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
_REPLY_HEADERS: Final = {
    "Server-Timing": "queue, validate, cache, gemini, backoff, aggregate and total, in ms",
    "Cache-Status": "RFC 9211",
    "X-Attempts": "Gemini attempts of the slowest leg",
    "traceparent": "W3C Trace Context; echoed if sent, else made",
}


def openapi(*, needs_key: bool) -> dict[str, Any]:
    """The description of all routes; ``needs_key``: API keys are set."""
    _, schemas = models_json_schema(
        [(ProcessRequest, "validation"), (ProcessReply, "serialization"), (Problem, "serialization")],
        ref_template="#/components/schemas/{model}",
    )
    guarded: dict[str, Any] = {"security": [{"apiKey": []}]} if needs_key else {}
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "Tailgate reference server",
            "version": server_version(),
            "description": "A validated, decorated, concurrent Gemini pipeline behind HTTP.",
        },
        "paths": {
            "/process": {"post": _process() | guarded},
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
            "/metrics": {"get": _text("Counters in Prometheus' text format") | guarded},
            "/config": {"get": _plain("Settings in force and versions, no secrets", {"type": "object"}) | guarded},
            "/openapi.json": {"get": _plain("This document", {"type": "object"})},
        },
        "components": {"schemas": schemas["$defs"]},
    }
    if needs_key:
        document["components"]["securitySchemes"] = {"apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"}}
    return document


def _process() -> dict[str, Any]:
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    responses: dict[str, Any] = {
        "200": {
            "description": "All prompts are answered",
            "headers": _REQUEST_ID
            | {
                name: {"description": text, "required": True, "schema": {"type": "string"}}
                for name, text in _REPLY_HEADERS.items()
            },
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ProcessReply"}}},
        }
    }
    for status, text in _PROBLEMS.items():
        headers = _REQUEST_ID | _RETRY_AFTER if status in (429, 503) else _REQUEST_ID
        responses[str(status)] = {"description": text, "headers": headers, "content": problem}
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
