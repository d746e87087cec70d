import asyncio
import hashlib
import json
import signal
import socket
import subprocess
import sys
from collections import Counter

import aiohttp
import psutil
import pytest
from aiohttp import web

from server.app import build_app
from server.lifecycle import State
from server.serving import listening
from server.settings import Settings
from tests.server_process import (
    ask,
    clean_environment,
    connection,
    exchange,
    listening_app,
    local_server,
    server_process,
    until_processing,
)


async def test_small_replies_are_not_held_back():
    nodelay = []
    async with build_app(Settings(mock={"profile": "zero"})) as app:
        answer = app.handler

        async def look(request: web.BaseRequest):
            accepted = request.transport.get_extra_info("socket")
            nodelay.append(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            return await answer(request)

        app.handler = look
        async with (
            listening(app, "127.0.0.1", 0, drain_timeout_s=1) as port,
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{port}/healthz") as reply,
        ):
            assert reply.status == 200

    assert nodelay == [1]


async def test_a_client_that_leaves_ends_its_request_in_failed():
    async with local_server(mock={"profile": "5000ms"}) as server:
        with pytest.raises(TimeoutError):
            async with server.session.post(
                f"{server.url}/process", json=ask(), timeout=aiohttp.ClientTimeout(total=0.1)
            ):
                pass
        population = server.app.population
        for _ in range(100):
            if population.in_flight == 0:
                break
            await asyncio.sleep(0.01)
        text = await (await server.session.get(f"{server.url}/metrics")).text()
        counted = await server.counted()

    assert population.started == population.count[State.FAILED] == 1
    assert "tailgate_disconnected_total 1\n" in text
    assert counted == {}, "a request without an answer was counted as answered"


async def test_a_leader_that_leaves_hands_over_to_those_who_wait():
    async with local_server(mock={"profile": "200ms"}) as server:
        short = aiohttp.ClientTimeout(total=0.05)

        async def leave() -> None:
            with pytest.raises(TimeoutError):
                async with server.session.post(f"{server.url}/process", json=ask(), timeout=short):
                    pass

        leader = asyncio.create_task(leave())
        await asyncio.sleep(0.01)
        bodies = await asyncio.gather(*[exchange(server, ask()) for _ in range(3)])
        await leader

    assert Counter(body["cache"] for _, body in bodies) == {"miss": 1, "collapsed": 2}


async def until_refused(port: int) -> None:
    """Wait until a server takes no further connection: it drains."""
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionRefusedError:
            return
        except ConnectionResetError:  # was waiting to be accepted as the server stopped listening
            continue
        writer.close()
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_drains_what_is_in_flight_is_answered_and_the_exit_code_is_0(number: signal.Signals):
    with server_process("--mock.profile", "1200ms") as server:
        async with aiohttp.ClientSession() as session:
            url = f"{server.url}/process"
            in_flight = [asyncio.create_task(_post(session, url, ask("a", str(n)))) for n in range(20)]
            async with connection(server.port) as (reader, writer):
                await until_processing(session, server.url, 20)
                server.process.send_signal(number)
                await until_refused(server.port)
                writer.write(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                readyz = await reader.read()
            answers = await asyncio.gather(*in_flight)
        stdout, stderr = server.process.communicate(timeout=10)

    assert [status for status, _ in answers] == [200] * 20
    assert readyz.startswith(b"HTTP/1.1 503 ")
    assert readyz.endswith(b'{"status":"draining"}')
    assert (server.process.returncode, stdout, stderr) == (0, "", "")


async def _post(session: aiohttp.ClientSession, url: str, body: object) -> tuple[int, dict]:
    async with session.post(url, json=body) as reply:
        return reply.status, await reply.json()


async def test_new_work_on_a_kept_connection_is_refused_while_draining():
    with server_process("--mock.profile", "1200ms") as server:
        async with aiohttp.ClientSession() as session:
            in_flight = asyncio.create_task(_post(session, f"{server.url}/process", ask()))
            async with connection(server.port) as (reader, writer):
                await until_processing(session, server.url, 1)
                server.process.send_signal(signal.SIGTERM)
                await until_refused(server.port)
                body = b'{"agent_id":"late","prompts":["p"]}'
                head = "POST /process HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: "
                writer.write(b"%b%d\r\n\r\n%b" % (head.encode(), len(body), body))
                late = await reader.read()
            assert (await in_flight)[0] == 200

    assert late.startswith(b"HTTP/1.1 503 ")
    assert b"urn:tailgate:error:draining" in late
    assert b"Retry-After: " in late
    assert b"Connection: close" in late


async def test_requests_that_outlast_the_drain_are_cut_off_and_that_is_said():
    with server_process("--mock.profile", "20000ms", "--drain_timeout_s", "0.2") as server:
        async with aiohttp.ClientSession() as session:
            in_flight = asyncio.create_task(_post(session, f"{server.url}/process", ask()))
            await until_processing(session, server.url, 1)
            code, stderr = await asyncio.to_thread(server.stop)
            with pytest.raises(aiohttp.ClientError):
                await in_flight

    assert code == 1
    assert stderr.count("\n") == 1


async def test_who_is_answered_after_the_drain_was_not_cut_off():
    called = asyncio.Event()

    async def fail(request: web.Request) -> web.Response:
        called.set()
        await asyncio.sleep(0.15)
        return web.json_response({"error": {"code": 503, "message": "busy", "status": "UNAVAILABLE"}}, status=503)

    gemini = web.Application()
    gemini.router.add_post("/{path:.*}", fail)
    async with listening_app(gemini) as upstream, aiohttp.ClientSession() as session:
        flags = ("--gemini_client", "builtin", "--live.base_url", upstream, "--mode", "blocking")
        retry = ("--retry.attempts", "2", "--retry.base_s", "0.05")
        with server_process(*flags, *retry, "--drain_timeout_s", "0.1") as server:
            in_flight = [
                asyncio.create_task(_post(session, f"{server.url}/process", ask("a", str(n)))) for n in range(3)
            ]
            await called.wait()
            code, stderr = await asyncio.to_thread(server.stop)
            answers = await asyncio.gather(*in_flight)

    assert {502} <= {status for status, _ in answers} <= {502, 503}
    assert (code, stderr) == (0, "")


@pytest.mark.parametrize(("number", "expected"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("mode", ["async", "sync", "blocking"])
async def test_a_second_signal_ends_the_drain_at_once(mode: str, number: signal.Signals, expected: int):
    called, over = asyncio.Event(), asyncio.Event()

    async def hang(request: web.Request) -> web.Response:
        called.set()
        await over.wait()
        return web.Response()

    gemini = web.Application()
    gemini.router.add_post("/{path:.*}", hang)
    async with listening_app(gemini) as upstream, aiohttp.ClientSession() as session:
        flags = ("--gemini_client", "builtin", "--live.base_url", upstream, "--mode", mode)
        with server_process(*flags) as server:
            in_flight = asyncio.create_task(_post(session, f"{server.url}/process", ask()))
            await called.wait()
            async with asyncio.timeout(10):
                while server.process.poll() is None:  # two at once would be one
                    server.process.send_signal(number)
                    await asyncio.sleep(0.05)
            _, stderr = server.process.communicate()
            with pytest.raises(aiohttp.ClientError):
                await in_flight
        over.set()

    assert (server.process.returncode, stderr.count("\n")) == (expected, 1)


async def test_a_listener_that_never_answers_does_not_hold_up_the_drain():
    async with asyncio.timeout(10):
        async with local_server() as server, connection(server.port) as (reader, writer):
            writer.write(
                b"GET /ws/metrics HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            )
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
            assert server.app.frames.listeners == 1
            server.app.process.draining = True
            await server.app.frames.close()
            assert server.app.frames.listeners == 0


def test_a_busy_port_is_one_line_that_names_it_and_exit_1():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "server", "--port", port]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=30, env=clean_environment())

    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (1, "", 1)
    assert port in ended.stderr


def test_the_log_is_one_json_object_a_line():
    with server_process("--log_level", "info") as server:
        code, stderr = server.stop()

    assert code == 0
    lines = [json.loads(line) for line in stderr.splitlines()]
    assert lines
    assert all({"time", "level", "logger", "message"} <= set(line) for line in lines)


async def test_no_secret_is_ever_said():
    secret, password = "AIza-not-for-anybodys-eyes", "let-me-in-please"

    async def repeating(request: web.Request) -> web.Response:
        said = f"key {request.headers['x-goog-api-key']} is no good"
        return web.json_response({"error": {"code": 400, "message": said, "status": "INVALID_ARGUMENT"}}, status=400)

    gemini = web.Application()
    gemini.router.add_post("/{path:.*}", repeating)
    heard = []
    async with listening_app(gemini) as upstream, aiohttp.ClientSession() as session:
        digest = hashlib.sha256(password.encode()).hexdigest()
        flags = ("--gemini_client", "builtin", "--live.base_url", upstream, "--log_level", "debug")
        with server_process(*flags, "--api_keys_sha256", digest, GEMINI_API_KEY=secret) as server:
            for key in (password, f"{password}-not"):
                headers = {"X-API-Key": key}
                async with session.post(f"{server.url}/process", json=ask(), headers=headers) as reply:
                    heard.append(f"{reply.status} {reply.headers} {await reply.text()}")
                for path in ("config", "metrics", "openapi.json", "healthz"):
                    async with session.get(f"{server.url}/{path}", headers=headers) as reply:
                        heard.append(f"{reply.headers} {await reply.text()}")
            code, stderr = await asyncio.to_thread(server.stop)

    assert heard[0].startswith("502 ")
    assert "[key] is no good" in heard[0]
    assert code == 0
    for said in (*heard, stderr):
        assert secret not in said
        assert password not in said
        assert digest not in said


async def test_as_many_files_as_the_machine_allows_are_allowed():
    with server_process() as server:
        limits = psutil.Process(server.process.pid).rlimit(psutil.RLIMIT_NOFILE)

    assert limits[0] == limits[1]
