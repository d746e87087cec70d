"""Gemini through ``google-generativeai``, the SDK whose support ended in 2025 and that much code still uses.

Blocking calls go over REST. Its async REST path cannot work (it awaits what is not awaitable), so async calls go over
gRPC: the endpoint must speak it, as Google's does and :mod:`server.gemini.mock_grpc` for tests and prices.
"""

from __future__ import annotations

import asyncio
import warnings
from importlib import import_module
from typing import Any

from server.errors import UpstreamBlocked, UpstreamError, UpstreamUnavailable
from server.gemini.endpoint import Endpoint, GeminiSetupError
from server.gemini.protocol import GeminiCall, GeminiReply, Parameters, Usage
from server.gemini.rest_wire import NO_REPLY
from server.gemini.upstream_errors import error_from_body, error_from_parts, strike_out


class GoogleGenerativeaiGemini:
    """A :class:`server.gemini.protocol.GeminiClient` on ``google-generativeai``, without the SDK's own retry of 503.

    Raises :class:`server.gemini.endpoint.GeminiSetupError` when the SDK is not installed.
    """

    name = "google-generativeai"

    def __init__(self, endpoint: Endpoint) -> None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # that support has ended is said in the documentation
                self._sdk: Any = import_module("google.generativeai")
                self._services: Any = import_module("google.ai.generativelanguage")
                self._api_error: Any = import_module("google.api_core.exceptions").GoogleAPICallError
        except ImportError:
            raise GeminiSetupError("google-generativeai is not installed: pip install 'tailgate[sdk]'") from None
        self._endpoint = endpoint
        self._key = endpoint.key.get_secret_value()
        # The SDK's models on services of our own: its configure() is global, and knows one transport for both surfaces.
        self._rest = self._services.GenerativeServiceClient(
            transport="rest", client_options={"api_key": self._key, "api_endpoint": endpoint.base_url}
        )
        session = self._rest.transport._session
        session.max_redirects = 0  # a redirect would take the key along, to whatever host
        session._max_refresh_attempts = 0  # a 401 would be sent again: there is no token to refresh, the key is the key
        self._grpc: Any = None
        self._models: dict[str, Any] = {}

    def __repr__(self) -> str:
        return f"GoogleGenerativeaiGemini({self._endpoint.base_url!r})"

    async def generate(self, call: GeminiCall, *, timeout_s: float | None = None) -> GeminiReply:
        """One call over gRPC."""
        model = self._model(call.model)
        if self._grpc is None:
            self._grpc = self._open_grpc()
        model._async_client = self._grpc
        try:
            async with asyncio.timeout(timeout_s):
                response = await model.generate_content_async(
                    call.prompt,
                    generation_config=_config(call.parameters),
                    request_options={"retry": None, "metadata": self._metadata() + _trace(call)},
                )
        except TimeoutError:
            raise
        except Exception as error:
            raise self._typed(error) from None
        return _reply(response, call)

    def generate_blocking(self, call: GeminiCall, *, timeout_s: float | None = None) -> GeminiReply:
        """One call over REST; ``timeout_s`` bounds each wait on the socket."""
        try:
            response = self._model(call.model).generate_content(
                call.prompt,
                generation_config=_config(call.parameters),
                request_options={"retry": None, "timeout": timeout_s, "metadata": _trace(call)},
            )
        except Exception as error:
            raise self._typed(error) from None
        return _reply(response, call)

    async def aclose(self) -> None:
        """Close the SDK's connections."""
        self._rest.transport.close()
        if self._grpc is not None:
            await self._grpc.transport.close()

    def _model(self, name: str) -> Any:
        model = self._models.get(name)
        if model is None:
            if len(self._models) >= 256:
                self._models.clear()
            model = self._models[name] = self._sdk.GenerativeModel(name)
            model._client = self._rest
        return model

    def _open_grpc(self) -> Any:
        # On the first call and not at construction: a channel belongs to the running loop.
        client = self._services.GenerativeServiceAsyncClient
        target = f"{self._endpoint.host}:{self._endpoint.port}"
        if self._endpoint.tls:
            return client(transport="grpc_asyncio", client_options={"api_key": self._key, "api_endpoint": target})
        transport = client.get_transport_class("grpc_asyncio")
        return client(transport=transport(channel=import_module("grpc.aio").insecure_channel(target)))

    def _metadata(self) -> list[tuple[str, str]]:
        # Credentials go over TLS only; on a plain channel the key travels as the header that it is.
        return [] if self._endpoint.tls else [("x-goog-api-key", self._key)]

    def _typed(self, error: Exception) -> UpstreamError | TimeoutError:
        if isinstance(error, self._api_error):
            response: Any = error.response
            if hasattr(response, "content"):
                retry_after = response.headers.get("Retry-After")
                return error_from_body(response.status_code, response.content, retry_after=retry_after, key=self._key)
            if "http1" in error.message:  # how gRPC's core puts it
                url = self._endpoint.base_url
                return UpstreamError(f"{url} does not speak gRPC, which google-generativeai needs for async calls")
            status, code = int(error.code or 0), error.grpc_status_code
            details = [_json_detail(detail) for detail in error.details]
            return error_from_parts(status, code.name if code else "", error.message, details, key=self._key)
        kind = type(error).__name__
        if isinstance(error, OSError):  # requests' errors, all of them
            if "Timeout" in kind:
                return TimeoutError("Gemini did not answer in time")
            if kind == "TooManyRedirects":
                answer: Any = error.response  # type: ignore[attr-defined]
                return error_from_body(answer.status_code, answer.content, key=self._key)
            return UpstreamUnavailable(f"no answer from Gemini: {kind}")
        if isinstance(error, TypeError):
            return UpstreamError(f"google-generativeai refuses the call: {strike_out(str(error), self._key)}")
        return UpstreamUnavailable(f"Gemini's answer cannot be read: {kind}", upstream_status=200)


def _trace(call: GeminiCall) -> list[tuple[str, str]]:
    return [("traceparent", call.traceparent)] if call.traceparent else []


def _config(parameters: Parameters) -> dict[str, Any]:
    config = {
        "temperature": parameters.temperature,
        "top_p": parameters.top_p,
        "max_output_tokens": parameters.max_output_tokens,
        "stop_sequences": list(parameters.stop_sequences) or None,
    }
    return {name: value for name, value in config.items() if value is not None}


def _json_detail(detail: Any) -> dict[str, Any]:
    """A ``google.rpc`` message as the JSON that REST would have carried."""
    fields = import_module("google.protobuf.json_format").MessageToDict(detail)
    return {"@type": f"type.googleapis.com/{detail.DESCRIPTOR.full_name}", **fields}


def _reply(response: Any, call: GeminiCall) -> GeminiReply:
    if not response.candidates:
        if "prompt_feedback" not in response._result:
            raise UpstreamUnavailable(NO_REPLY, upstream_status=200)
        reason = response.prompt_feedback.block_reason
        text = f"Gemini blocked the prompt: {reason.name}" if reason else "Gemini returned no candidate"
        raise UpstreamBlocked(text, upstream_status=200)
    first = response.candidates[0]
    used = response.usage_metadata
    # Thinking is younger than this SDK, which does not know its tokens: they are what is missing from the total.
    output_tokens = max(used.candidates_token_count, used.total_token_count - used.prompt_token_count)
    usage = Usage(used.prompt_token_count, output_tokens, used.total_token_count)
    text = "".join(part.text for part in first.content.parts)
    return GeminiReply(text, response.model_version or call.model, first.finish_reason.name, usage)
