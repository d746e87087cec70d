"""`python -m dash_app`: bind, say where the page is, serve until Ctrl-C.

What it serves with takes seconds to import: a wrong flag and a busy port are told before.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import sys

from dash_app import settings as settings_edge


def main(argv: list[str]) -> int:
    """Serve the page; 0 after Ctrl-C or SIGTERM, 1 when the address cannot be bound, 2 on a wrong flag."""
    settings = settings_edge.parse(argv)
    try:
        listener = _listen(settings.host, settings.port)
    except OSError as error:
        print(
            f"python -m dash_app: cannot listen on {settings.host}:{settings.port}: {error.strerror or error}. "
            "Choose another with --port",
            file=sys.stderr,
        )
        return 1
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt):  # uvicorn raises its signal again once it has shut down
        import uvicorn

        from dash_app.app import build

        app = build(settings)
        config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=2)
        logging.getLogger("uvicorn.error").addFilter(_is_news)
        host, port = listener.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        print(f"Reports from {settings.runs} on http://{shown}:{port}/  (Ctrl-C ends)", flush=True)
        uvicorn.Server(config).run(sockets=[listener])
    return 0


def _is_news(record: logging.LogRecord) -> bool:
    """Whether a record of uvicorn's tells anything: not that a page still loading was cut off because we stop."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, asyncio.CancelledError) and "timeout graceful shutdown" not in record.getMessage()


def _listen(host: str, port: int) -> socket.socket:
    """A listening TCP socket, so that a busy port is known before the app is built."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(128)
    except BaseException:
        listener.close()
        raise
    return listener


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
