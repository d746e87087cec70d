"""Gemini through ``google-genai``, Google's current SDK: beside the REST client so that its price can be measured."""

from __future__ import annotations

import asyncio
import importlib
from typing import Any, Final

from server.errors import UpstreamBlocked, UpstreamError, UpstreamUnavailable
from server.gemini.endpoint import Endpoint, GeminiSetupError
from server.gemini.protocol import GeminiCall, GeminiReply, Parameters, Usage
from server.gemini.rest_wire import NO_REPLY
from server.gemini.upstream_errors import error_from_body, strike_out

_DEFAULTS: Final = Parameters()


class GoogleGenaiGemini:
    """A :class:`server.gemini.protocol.GeminiClient` on ``google-genai``, without the SDK's own retries.

    Raises :class:`server.gemini.endpoint.GeminiSetupError` when the SDK is not installed.
    """

    name = "google-genai"

    def __init__(self, endpoint: Endpoint) -> None:
        try:
            from google import genai
            from google.genai import types
        except ImportError:
            raise GeminiSetupError("google-genai is not installed: pip install 'tailgate[sdk]'") from None
        self._types = types
        self._timeouts = _timeout_types()
        self._base_url = endpoint.base_url
        self._key = endpoint.key.get_secret_value()
        # One attempt, said aloud: without retry options the SDK repeats a call whose connection failed, after 1-10 s.
        options = types.HttpOptions(
            base_url=endpoint.base_url,
            retry_options=types.HttpRetryOptions(attempts=1),
            client_args=_blocking_args(self._key),
            async_client_args=_async_args(self._key),
        )
        self._client = genai.Client(api_key=self._key, http_options=options, vertexai=False)
        # An answer that Google broke off would be asked for further, with calls of the SDK's own. There is an option
        # against that, but any option makes a call cost half as much again.
        for models in (self._client.models, self._client.aio.models):
            if hasattr(models, "_generate_content_with_continuation"):
                once: Any = models._generate_content
                models._generate_content_with_continuation = once  # type: ignore[method-assign]

    def __repr__(self) -> str:
        return f"GoogleGenaiGemini({self._base_url!r})"

    async def generate(self, call: GeminiCall, *, timeout_s: float | None = None) -> GeminiReply:
        """One call through the SDK's async surface."""
        try:
            async with asyncio.timeout(timeout_s):
                response = await self._client.aio.models.generate_content(
                    model=call.model, contents=call.prompt, config=self._config(call, None)
                )
        except (TimeoutError, UpstreamError):
            raise
        except Exception as error:
            raise self._typed(error) from None
        return _reply(response, call)

    def generate_blocking(self, call: GeminiCall, *, timeout_s: float | None = None) -> GeminiReply:
        """One call through the SDK's blocking surface; ``timeout_s`` bounds each wait on the socket."""
        try:
            response = self._client.models.generate_content(
                model=call.model, contents=call.prompt, config=self._config(call, timeout_s)
            )
        except UpstreamError:
            raise
        except Exception as error:
            raise self._typed(error) from None
        return _reply(response, call)

    async def aclose(self) -> None:
        """Close the SDK's connections."""
        await self._client.aio.aclose()
        self._client.close()

    def _config(self, call: GeminiCall, timeout_s: float | None) -> Any:
        parameters, types = call.parameters, self._types
        if parameters == _DEFAULTS and timeout_s is None and call.traceparent is None:
            return None
        options: dict[str, Any] = {}
        if timeout_s is not None:
            options["timeout"] = max(1, round(timeout_s * 1000))
        if call.traceparent is not None:
            options["headers"] = {"traceparent": call.traceparent}
        return types.GenerateContentConfig(
            temperature=parameters.temperature,
            top_p=parameters.top_p,
            max_output_tokens=parameters.max_output_tokens,
            stop_sequences=list(parameters.stop_sequences) or None,
            http_options=types.HttpOptions(**options) if options else None,
        )

    def _typed(self, error: Exception) -> Exception:
        if isinstance(error, self._timeouts):
            return TimeoutError("Gemini did not answer in time")
        kind = type(error).__name__
        if isinstance(error, ValueError):  # JSON that does not parse, or not into the SDK's models
            return UpstreamUnavailable(f"Gemini's answer cannot be read: {kind}", upstream_status=200)
        if isinstance(error, TypeError):
            return UpstreamError(f"google-genai refuses the call: {strike_out(str(error), self._key)}")
        return UpstreamUnavailable(f"no answer from Gemini: {kind}")


# Both HTTP clients would follow a redirect and take the key along, to whatever host. What is no 200 is made an error
# here, from its bytes: the SDK loses the status of an error whose body is not the JSON it says it is.


def _blocking_args(key: str) -> dict[str, Any]:
    def refuse(response: Any) -> None:
        if response.status_code != 200:
            raise error_from_body(
                response.status_code, response.read(), retry_after=response.headers.get("Retry-After"), key=key
            )

    return {"follow_redirects": False, "event_hooks": {"response": [refuse]}}


def _async_args(key: str) -> dict[str, Any]:
    async def refuse(response: Any) -> None:
        if response.status != 200:
            body = await response.read()
            raise error_from_body(response.status, body, retry_after=response.headers.get("Retry-After"), key=key)

    return {"allow_redirects": False, "raise_for_status": refuse}


def _timeout_types() -> tuple[type[Exception], ...]:
    """The timeouts of the HTTP clients that the SDK may be using: httpx2, or httpx before it."""
    found: list[type[Exception]] = [TimeoutError]
    for name in ("httpx2", "httpx"):
        try:
            found.append(importlib.import_module(name).TimeoutException)
        except ImportError:
            continue
    return tuple(found)


def _reply(response: Any, call: GeminiCall) -> GeminiReply:
    candidates = response.candidates
    if not candidates:
        # What is no object at all (empty, a list, null) comes out of the SDK as a response without anything.
        feedback = response.prompt_feedback
        if feedback is None:
            raise UpstreamUnavailable(NO_REPLY, upstream_status=200)
        reason = feedback.block_reason.value if feedback.block_reason else None
        text = f"Gemini blocked the prompt: {reason}" if reason else "Gemini returned no candidate"
        raise UpstreamBlocked(text, upstream_status=200)
    first = candidates[0]
    parts = (first.content.parts if first.content else None) or []
    text = "".join(part.text for part in parts if part.text and not part.thought)
    used = response.usage_metadata
    prompt_tokens = (used and used.prompt_token_count) or 0
    output_tokens = ((used and used.candidates_token_count) or 0) + ((used and used.thoughts_token_count) or 0)
    total_tokens = (used and used.total_token_count) or prompt_tokens + output_tokens
    finish = first.finish_reason.value if first.finish_reason else "STOP"
    model = response.model_version or call.model
    try:
        f"{text}{model}{finish}".encode()
    except UnicodeEncodeError:  # half a surrogate pair: Python's JSON takes it, and nothing could be sent of it
        raise UpstreamUnavailable("Gemini's answer has text that is no Unicode", upstream_status=200) from None
    return GeminiReply(text, model, finish, Usage(prompt_tokens, output_tokens, total_tokens))
