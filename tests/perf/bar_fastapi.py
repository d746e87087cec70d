"""The second bar: the same route with the same models on FastAPI and uvicorn, as its documentation teaches.

``python -m tests.perf.bar_fastapi`` answers from a dict, its misses from a constant; with ``--upstream URL`` it asks a
Gemini there through google-genai, all prompts at once, and keeps nothing.
"""

import argparse
import asyncio
import gc
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn
from fastapi import FastAPI
from pydantic import ConfigDict

from server.models import ProcessReply, ProcessRequest

Ask = Callable[[str, str], Awaitable[tuple[str, Any]]]


class LaxRequest(ProcessRequest):
    """The same model; FastAPI validates Python lists, which strict mode does not take for tuples."""

    model_config = ConfigDict(strict=False)


TIMINGS = dict.fromkeys(("queue", "validate", "cache", "gemini", "backoff", "aggregate", "total"), 0.1)
MODEL = "gemini-2.5-flash"


def reply_to(request: LaxRequest, texts: list[str], cache: str) -> dict[str, Any]:
    """A whole reply of the wire."""
    usage = {"prompt_tokens": 9, "output_tokens": 41, "total_tokens": 50}
    results = [
        {"text": text, "model": MODEL, "finish_reason": "STOP", "usage": usage, "attempts": 1, "latency_ms": 0.1}
        for text in texts
    ]
    return {
        "request_id": "r-1",
        "state": "COMPLETED",
        "results": results,
        "text": "\n\n".join(texts),
        "usage": usage,
        "cache": cache,
        "attempts": 0,
        "timings_ms": TIMINGS,
        "degraded": False,
    }


def cached_app(text: str) -> FastAPI:
    """Hits from a dict."""
    app = FastAPI()
    kept: dict[tuple[str, ...], ProcessReply] = {}

    @app.post("/process")
    async def process(request: LaxRequest) -> ProcessReply:
        key = (request.agent_id, *request.prompts)
        found = kept.get(key)
        if found is None:
            found = ProcessReply.model_validate(reply_to(request, [text] * len(request.prompts), "hit"))
            kept[key] = found
        return found

    return app


def asking_app(upstream: str) -> FastAPI:
    """Every request asks Gemini through google-genai."""
    from google import genai
    from google.genai import types

    client = genai.Client(api_key="no-key", http_options=types.HttpOptions(base_url=upstream))
    app = FastAPI()

    async def ask(prompt: str) -> str:
        return (await client.aio.models.generate_content(model=MODEL, contents=prompt)).text or ""

    @app.post("/process")
    async def process(request: LaxRequest) -> ProcessReply:
        texts = await asyncio.gather(*[ask(prompt) for prompt in request.prompts])
        return ProcessReply.model_validate(reply_to(request, list(texts), "miss"))

    return app


def main() -> None:
    """Listen on a free port until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--upstream")
    parser.add_argument("--text", default="x" * 100)
    options = parser.parse_args()
    app = asking_app(options.upstream) if options.upstream else cached_app(options.text)
    config = uvicorn.Config(app, loop="uvloop", http="httptools", access_log=False, log_level="warning")
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen(2048)
    print(f"ready on http://127.0.0.1:{listening.getsockname()[1]}", flush=True)
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
