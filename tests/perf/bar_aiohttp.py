"""The first bar: an aiohttp handler that reads the body and answers a constant of ``sys.argv[1]`` bytes."""

import asyncio
import gc
import sys

import uvloop
from aiohttp import web


async def serve(reply_bytes: int) -> None:
    """Listen on a free port until killed, tuned as Tailgate's server is."""
    constant = b'{"text":"' + b"x" * (reply_bytes - 11) + b'"}'

    async def process(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(body=constant, content_type="application/json")

    app = web.Application()
    app.router.add_post("/process", process)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    print(f"ready on http://127.0.0.1:{site.port}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
