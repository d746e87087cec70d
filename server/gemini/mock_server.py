"""A Gemini that speaks HTTP, for real clients: ``python -m server.gemini.mock_server``.

``generateContent``, ``streamGenerateContent`` and ``countTokens`` under ``/v1`` and ``/v1beta``, on the same simulation
as the in-process mock; ``GET /stats`` says what was served. See docs/gemini.md.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import ssl
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

from server.gemini.faults import NO_FAULTS, FaultScript, FaultScriptError
from server.gemini.latency import PROFILES, find_profile
from server.gemini.mock_answers import MockApi
from server.gemini.mock_http import HttpConnection
from server.gemini.mock_stats import Served
from server.gemini.simulation import Simulation
from server.listen_reason import listen_reason


@asynccontextmanager
async def serving(
    simulation: Simulation,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    tls: ssl.SSLContext | None = None,
    served: Served | None = None,
) -> AsyncIterator[str]:
    """Serve ``simulation`` in the running loop; yields the base URL. Raises ``OSError`` when the port is taken.

    ``/stats`` tells what is in ``served``, which another face of the same mock may count in too.
    """
    connections: set[HttpConnection] = set()
    api = MockApi(simulation, Served() if served is None else served)
    server = await asyncio.get_running_loop().create_server(
        lambda: HttpConnection(api.answer, connections), host, port, ssl=tls, backlog=4096
    )
    try:
        bound = server.sockets[0].getsockname()
        name = f"[{bound[0]}]" if ":" in bound[0] else bound[0]
        yield f"{'https' if tls else 'http'}://{name}:{bound[1]}"
    finally:
        server.close()
        for connection in tuple(connections):
            connection.abort()
        await server.wait_closed()


async def _serve_until_signal(simulation: Simulation, host: str, port: int, *, grpc: bool) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    served = Served()
    try:
        async with AsyncExitStack() as faces:
            url = await faces.enter_async_context(serving(simulation, host=host, port=port, served=served))
            grpc_url = ""
            if grpc:
                from server.gemini.mock_grpc import serving_grpc

                grpc_face = serving_grpc(simulation, host=host, served=served)
                grpc_url = f", gRPC on {await faces.enter_async_context(grpc_face)}"
            about = f"profile {simulation.profile.name}, seed {simulation.seed}"
            if not ip_address(str(urlsplit(url).hostname)).is_loopback:
                print(
                    f"mock Gemini: {host} is not loopback: whoever reaches it may call it, with any key",
                    file=sys.stderr,
                )
            print(f"mock Gemini ready on {url}{grpc_url} ({about})", flush=True)
            await stop.wait()
    except OSError as error:
        print(f"mock Gemini: cannot listen on {host}:{port}: {listen_reason(error)}", file=sys.stderr)
        return 1
    except ImportError as error:
        print(
            f"mock Gemini: --grpc needs the SDK: pip install 'tailgate[sdk]' ({error.name} is missing)", file=sys.stderr
        )
        return 1
    return 0


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = _Parser(prog="python -m server.gemini.mock_server", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to bind (default %(default)s)")
    parser.add_argument("--port", type=int, default=0, help="port to bind; 0 takes a free one (default)")
    parser.add_argument(
        "--profile", default="lesson", help=f"latency: {', '.join(PROFILES)} or a constant such as 200ms"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of latencies, texts and faults (default 0)")
    parser.add_argument("--faults", type=Path, metavar="FILE", help="TOML fault script")
    parser.add_argument(
        "--grpc", action="store_true", help="serve gRPC too, on a free port, for google-generativeai's async calls"
    )
    arguments = parser.parse_args(argv)
    if not 0 <= arguments.port <= 65535:
        parser.error(f"--port must be 0 to 65535, not {arguments.port}")
    if arguments.seed < 0:
        parser.error(f"--seed must be 0 or more, not {arguments.seed}")
    try:
        find_profile(arguments.profile)
        arguments.script = FaultScript.load(arguments.faults) if arguments.faults else NO_FAULTS
    except (FaultScriptError, ValueError) as error:
        parser.error(str(error))
    return arguments


def main(argv: Sequence[str] | None = None) -> int:
    """Run the mock server until SIGTERM or Ctrl-C. Exit codes: 0 stopped, 1 cannot listen, 2 usage."""
    arguments = _arguments(argv)
    simulation = Simulation(arguments.profile, seed=arguments.seed, faults=arguments.script)
    if sys.platform == "win32":
        new_event_loop = asyncio.new_event_loop
    else:
        from uvloop import new_event_loop
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(_serve_until_signal(simulation, arguments.host, arguments.port, grpc=arguments.grpc))


if __name__ == "__main__":
    sys.exit(main())
