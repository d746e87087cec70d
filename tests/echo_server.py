"""A server that repeats its prompts as the mock Gemini does, on a thread, after a delay whose law the test knows."""

import asyncio
import json
import threading
import time
from collections.abc import Callable

import httptools

STAGES = (
    "queue;dur=0.012, validate;dur=0.101, cache;dur=0.004, gemini;dur=1.500, backoff;dur=0.000, aggregate;dur=0.030, "
    "total;dur=1.647"
)


class EchoServer:
    """``answered`` counts replies sent, ``ids`` has the ``X-Request-Id`` of every request, ``served_ns`` the time from
    a request's last byte read to its reply's write, ``arrived_ns`` when it was read (perf_counter).

    ``delay_s`` gives the seconds to wait before each reply. ``spoil`` may change a reply's headers and body.
    """

    def __init__(
        self,
        delay_s: Callable[[], float] = lambda: 0.0,
        spoil: Callable[[dict[str, str], dict], None] = lambda headers, body: None,
    ) -> None:
        self.answered = 0
        self.ids: list[str] = []
        self.bodies: list[dict] = []
        self.served_ns: list[int] = []
        self.arrived_ns: list[int] = []
        self.delay_s = delay_s
        self.spoil = spoil
        self.open: set[asyncio.Transport] = set()
        self._loop = asyncio.new_event_loop()
        self._up = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> "EchoServer":
        self._thread.start()
        assert self._up.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def stall(self, seconds: float) -> tuple[int, int]:
        """Do nothing at all for that long, as a stopped process would; its begin and end in ns since the epoch."""
        done = threading.Event()
        span = [0, 0]

        def sleep() -> None:
            span[0] = time.time_ns()
            time.sleep(seconds)
            span[1] = time.time_ns()
            done.set()

        self._loop.call_soon_threadsafe(sleep)
        assert done.wait(seconds + 10)
        return span[0], span[1]

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(
            self._loop.create_server(lambda: _Connection(self), "127.0.0.1", 0, backlog=4096)
        )
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._up.set()
        self._loop.run_forever()
        # Connections accepted just now are made by tasks, which a closed server would let fail with the socket open.
        while accepting := asyncio.all_tasks(self._loop):
            self._loop.run_until_complete(asyncio.wait(accepting))
        server.close()
        for transport in tuple(self.open):
            transport.abort()
        self._loop.run_until_complete(asyncio.sleep(0))  # an aborted socket is closed in the loop's next turn


class _Connection(asyncio.Protocol):
    def __init__(self, server: EchoServer) -> None:
        self._server = server
        self._parser = httptools.HttpRequestParser(self)
        self._body = b""
        self._headers: dict[str, str] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._server.open.add(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._server.open.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode().lower()] = value.decode()

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        arrived_ns = time.perf_counter_ns()
        if not self._body:  # GET /config: we are no Tailgate
            self._transport.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            return
        request, request_id = json.loads(self._body), self._headers.get("x-request-id", "")
        self._body = b""
        self._server.arrived_ns.append(arrived_ns)
        self._server.ids.append(request_id)
        self._server.bodies.append(request)
        delay_s = self._server.delay_s()
        if delay_s > 0:
            asyncio.get_running_loop().call_later(delay_s, self._reply, request, request_id, arrived_ns)
        else:
            self._reply(request, request_id, arrived_ns)

    def _reply(self, request: dict, request_id: str, arrived_ns: int) -> None:
        headers = {
            "Content-Type": "application/json", "Server-Timing": STAGES, "Cache-Status": "tailgate; fwd=miss; stored",
            "X-Attempts": "1", "X-Request-Id": request_id,
        }  # fmt: skip
        body = {
            "request_id": request_id,
            "results": [{"text": prompt[:64]} for prompt in request["prompts"]],
            "usage": {"prompt_tokens": 9, "output_tokens": 41, "total_tokens": 50},
        }
        self._server.spoil(headers, body)
        payload = json.dumps(body, separators=(",", ":")).encode()
        status = headers.pop("status", "200 OK")
        lines = [f"HTTP/1.1 {status}", *(f"{k}: {v}" for k, v in headers.items()), f"Content-Length: {len(payload)}"]
        if not self._transport.is_closing():
            self._transport.write("\r\n".join([*lines, "", ""]).encode() + payload)
            self._server.answered += 1
            self._server.served_ns.append(time.perf_counter_ns() - arrived_ns)
