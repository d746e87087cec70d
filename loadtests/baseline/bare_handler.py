"""The bare handler: an aiohttp server that does nothing but answer, by which a server's cost is measured as a ratio.

`python -m loadtests.baseline.bare_handler --port 0`. `POST /process` is answered with the request's own body, so that
the load generator finds its prompts in it, as a cache hit; `/metrics` and `/config` say what a bench asks of any
Tailgate.
"""

import argparse
import asyncio
import contextlib
import signal
import sys

import uvloop
from aiohttp import web

_HEADERS = {"Cache-Status": "tailgate; hit; ttl=300", "X-Attempts": "0"}
_CONFIG = {"settings": {"mode": "bare", "gemini_client": "mock"}}


def build_app() -> web.Application:
    """The application, with its one counter."""
    answered = 0

    async def process(request: web.Request) -> web.Response:
        nonlocal answered
        body = await request.read()
        answered += 1
        return web.Response(body=body, headers=_HEADERS, content_type="application/json")

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(text=f'tailgate_requests_total{{status="200",cache="hit"}} {answered}\n')

    async def config(_: web.Request) -> web.Response:
        return web.json_response(_CONFIG)

    app = web.Application()
    app.router.add_post("/process", process)
    app.router.add_get("/metrics", metrics)
    app.router.add_get("/config", config)
    return app


async def serve(port: int) -> None:
    """Answer on loopback until SIGTERM or SIGINT; the first line of output says where."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    runner = web.AppRunner(build_app(), access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        print(f"listening on http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
        await stop.wait()
    finally:
        await runner.cleanup()


def main(arguments: list[str]) -> int:
    """Serve as the command line says and return the exit code: 1 where the port cannot be had."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.baseline.bare_handler")
    parser.add_argument("--port", type=int, default=0)
    try:
        with contextlib.suppress(KeyboardInterrupt):
            uvloop.run(serve(parser.parse_args(arguments).port))
    except OSError as error:
        print(f"bare handler: {error.strerror}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
