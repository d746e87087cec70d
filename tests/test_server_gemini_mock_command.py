"""The command ``python -m server.gemini.mock_server``: where it says it is, what it warns of, how it ends."""

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import asynccontextmanager, contextmanager

import aiohttp
import pytest

from server.gemini.clients import create_client
from server.gemini.mock_server import main
from server.gemini.protocol import GeminiCall
from tests.http_mock import MODEL, request_bytes


@contextmanager
def start(*flags: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "server.gemini.mock_server", *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()  # else a test that failed would wait for it forever


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_says_where_it_is_and_stops_on_a_signal(number):
    with start("--profile", "zero", "--seed", "4") as process:
        ready = process.stdout.readline()
        url = re.fullmatch(r"mock Gemini ready on (http://127\.0\.0\.1:\d+) \(profile zero, seed 4\)\n", ready)[1]
        with socket.create_connection(url.removeprefix("http://").split(":")) as connection:
            connection.sendall(request_bytes())
            assert connection.recv(12) == b"HTTP/1.1 200"
            process.send_signal(number)
            _, errors = process.communicate(timeout=10)

    assert (process.returncode, errors) == (0, "")


def test_the_command_serves_grpc_too_on_the_same_counts():
    with start("--profile", "zero", "--grpc") as process:
        url, grpc_url = re.search(r"on (http://\S+), gRPC on (http://\S+) ", process.stdout.readline()).groups()

        async def call_and_count() -> tuple[int, int]:
            client = create_client("google-generativeai", base_url=grpc_url)
            await client.generate(GeminiCall("over gRPC", MODEL), timeout_s=20)
            await client.aclose()
            async with aiohttp.ClientSession() as session, session.get(url + "/stats?prompt=over+gRPC") as response:
                report = await response.json()
                return report["prompt_calls"], report["total"]

        assert asyncio.run(call_and_count()) == (1, 1)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=10)

    assert process.returncode == 0


def test_a_busy_port_is_one_line():
    with socket.create_server(("127.0.0.1", 0)) as taken, start("--port", str(taken.getsockname()[1])) as process:
        output, errors = process.communicate(timeout=10)

    assert (process.returncode, output, errors.count("\n")) == (1, "", 1)
    assert os.strerror(98).lower() in errors


def test_a_host_that_is_nowhere_is_one_line_in_the_resolvers_words(monkeypatch, capsys):
    @asynccontextmanager
    async def unresolved(*_args, **_kwargs):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        yield  # a generator all the same

    monkeypatch.setattr("server.gemini.mock_server.serving", unresolved)

    assert main(["--host", "nohost.invalid"]) == 1
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert "Name or service not known" in said.err


@pytest.mark.parametrize(("host", "warnings"), [("127.0.0.1", 0), ("localhost", 0), ("0.0.0.0", 1)])
def test_listening_to_other_machines_is_said(host, warnings):
    with start("--host", host, "--profile", "zero") as process:
        assert host.replace("localhost", "") in process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=10)

    assert (process.returncode, errors.count("\n"), errors.count(host)) == (0, warnings, warnings)


@pytest.mark.parametrize(
    "flags",
    [
        ("--port", "70000"),
        ("--port", "x"),
        ("--profile", "fast"),
        ("--faults", "/absent.toml"),
        ("--seed", "a"),
        ("--seed", "-1"),
        ("--x",),
    ],
)
def test_wrong_flags_are_usage_errors(flags, capsys):
    with pytest.raises(SystemExit) as left:
        main(flags)

    assert left.value.code == 2
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
