"""The body of ``POST /process``, from bytes that may be anything to a valid request or a typed error."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, Final

from aiohttp import hdrs, web
from pydantic import ValidationError

from server.answers import Identity, Key
from server.errors import BodyTooLarge, FieldError, InvalidRequest, MalformedRequest, SlowBody, UnsupportedMediaType
from server.models import DEFAULT_PARAMETERS, ProcessRequest

MAX_BODY_BYTES: Final = 1 << 20
_SHORT_BODY_BYTES: Final = 4096
_MOST_REMEMBERED: Final = 2048
_MOST_LISTED_ERRORS: Final = 20
_MOST_SORTED_ERRORS: Final = 1000
_LONGEST_PATH: Final = 200

_validate: Final = ProcessRequest.__pydantic_validator__.validate_json


async def read_body(request: web.BaseRequest, *, timeout_s: float) -> bytes:
    """The body's bytes: plain JSON of at most 1 MiB that arrives within ``timeout_s``.

    Raises :class:`UnsupportedMediaType`, :class:`BodyTooLarge` or :class:`SlowBody`.
    """
    headers = request.headers
    if headers.get(hdrs.CONTENT_TYPE) != "application/json":
        _check_media_type(headers.get("Content-Type", ""))
    if hdrs.CONTENT_ENCODING in headers:
        raise UnsupportedMediaType(
            f"Content-Encoding {headers['Content-Encoding']!r:.80} is not taken: send plain JSON"
        )
    # The parser's own flag, which most requests do not have: a look into the headers costs three times as much.
    if request._message.chunked and headers["Transfer-Encoding"].lower() != "chunked":
        raise UnsupportedMediaType(
            f"Transfer-Encoding {headers['Transfer-Encoding']!r:.80} is not taken: send plain JSON, chunked at most"
        )
    content = request.content
    if content.is_eof() and content.exception() is None:
        # Nearly always the body came with the head: no waiting, no timer.
        body = content.read_nowait()
    else:
        body = await _read_slowly(request, timeout_s)
    if len(body) > MAX_BODY_BYTES:
        raise _too_large(len(body))
    return body


async def _read_slowly(request: web.BaseRequest, timeout_s: float) -> bytes:
    if (request.content_length or 0) > MAX_BODY_BYTES:
        raise _too_large(request.content_length)
    expectation = request.headers.get("Expect", "")
    if expectation.lower() == "100-continue" and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    try:
        async with asyncio.timeout(timeout_s):
            return await request.read()
    except TimeoutError:
        raise SlowBody(f"the request body did not arrive within {timeout_s:g} s") from None
    except web.HTTPRequestEntityTooLarge:
        raise _too_large(None) from None
    except web.RequestPayloadError as error:
        raise MalformedRequest(f"the request body is not well-formed HTTP: {error}") from None


def _too_large(size: int | None) -> BodyTooLarge:
    return BodyTooLarge(f"the body has {size or 'more'} bytes; at most {MAX_BODY_BYTES} are taken")


def _check_media_type(sent: str) -> None:
    media_type, _, parameters = sent.partition(";")
    charset = parameters.replace(" ", "").lower()
    if media_type.strip().lower() != "application/json" or charset not in ("", "charset=utf-8", 'charset="utf-8"'):
        raise UnsupportedMediaType(f"send Content-Type application/json in UTF-8, not {sent!r:.80}")


def understanding(identity: Identity) -> Callable[[bytes], tuple[ProcessRequest, Key]]:
    """A function from a body to its request and the key of its answer, which remembers short bodies that came twice.

    What is answered from the cache has mostly been sent before, byte for byte; validating it again would find the same.
    Bodies that come once are only counted, so that a stream of them neither evicts the others nor costs memory.
    """
    remembered: dict[bytes, tuple[ProcessRequest, Key]] = {}
    came_once: set[int] = set()

    def understand(body: bytes) -> tuple[ProcessRequest, Key]:
        known = remembered.get(body)
        if known is not None:
            return known
        request = parse_request(body)
        understood = request, identity(request)
        if len(body) <= _SHORT_BODY_BYTES:
            came = hash(body)
            if came in came_once:
                if len(remembered) >= _MOST_REMEMBERED:
                    remembered.clear()
                remembered[body] = understood
            else:
                if len(came_once) >= 8 * _MOST_REMEMBERED:
                    came_once.clear()
                came_once.add(came)
        return understood

    return understand


def parse_request(body: bytes) -> ProcessRequest:
    """The request in ``body``. Raises :class:`MalformedRequest` or :class:`InvalidRequest`."""
    try:
        request: ProcessRequest = _validate(body)
    except ValidationError as error:
        raise _refusal(error) from None
    if body.count(b'"') != 2 * _strings_in(request):
        # As many quotes as the strings that were understood: then nothing was said twice. More: look closely.
        _refuse_duplicate_names(body)
    return request


def _strings_in(request: ProcessRequest) -> int:
    """How many strings, names of members included, the JSON of ``request`` has if each name stands there once."""
    # agent_id's value, the prompts, and a name for each member that was sent.
    strings = 1 + len(request.prompts) + len(request.__pydantic_fields_set__)
    if request.model is not None:
        strings += 1
    parameters = request.parameters
    if parameters is not DEFAULT_PARAMETERS:
        strings += len(parameters.__pydantic_fields_set__) + len(parameters.stop_sequences)
    if request.metadata:
        strings += 2 * len(request.metadata)
    return strings


def _refuse_duplicate_names(body: bytes) -> None:
    def members(pairs: list[tuple[str, Any]]) -> None:
        seen = set()
        for name, _ in pairs:
            if name in seen:
                raise MalformedRequest(f"the name {name!r:.80} stands twice in one object")
            seen.add(name)

    json.loads(body, object_pairs_hook=members)


def _refusal(error: ValidationError) -> MalformedRequest | InvalidRequest:
    count = error.error_count()
    if count > _MOST_SORTED_ERRORS:
        # Nobody reads them, and putting so many into words would hold up everyone else.
        said = f"{count} things are wrong with the body, too many to list"
        return InvalidRequest(said, errors=(FieldError("", said, "too_many_errors"),))
    found = error.errors(include_url=False, include_context=False, include_input=False)
    if found[0]["type"] == "json_invalid":
        return MalformedRequest(found[0]["msg"])
    # A list that is too short for what was refused in it is no fault of its own.
    inner = {each["loc"][:length] for each in found for length in range(len(each["loc"]))}
    wrong = [each for each in found if each["loc"] not in inner]
    errors = tuple(
        FieldError(f"{'.'.join(str(part) for part in each['loc']):.{_LONGEST_PATH}}", each["msg"], each["type"])
        for each in wrong[:_MOST_LISTED_ERRORS]
    )
    where = errors[0].loc or "the body"
    more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
    return InvalidRequest(f"{where}: {errors[0].msg}{more}", errors=errors)
