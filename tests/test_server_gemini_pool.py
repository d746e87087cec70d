"""The built-in client's pool: what is kept, for how long, how many, and what happens when the peer lets go."""

import asyncio
import random
import socket
import threading
import time

import pytest

from server.errors import UpstreamUnavailable
from server.gemini import connection_pool
from server.gemini.connection_pool import ConnectionPool
from server.gemini.endpoint import Endpoint
from tests.upstream_sockets import OK, REQUEST, Answering, pool_to


async def test_connections_are_kept_and_the_warmest_is_taken():
    server = Answering(*[OK] * 30)
    async with pool_to(server) as pool:
        await asyncio.gather(*(pool.request(REQUEST, 5) for _ in range(5)))
        for _ in range(20):
            await pool.request(REQUEST, 5)

    assert server.connections == 5


async def test_a_connection_that_closed_while_idle_is_not_taken():
    server = Answering(*[OK] * 5, then_close=True)
    async with pool_to(server) as pool:
        for _ in range(5):
            assert (await pool.request(REQUEST, 5)).status == 200
            await asyncio.sleep(0.02)

    assert server.connections == 5


async def test_a_connection_idle_for_long_is_closed_and_one_in_use_is_not():
    closed = []

    async def answering(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(len(REQUEST)):
            writer.write(OK)
        closed.append(time.monotonic())

    async with pool_to(answering, keep_alive_s=0.3) as pool:
        await asyncio.gather(*(pool.request(REQUEST, 5) for _ in range(3)))
        for _ in range(25):
            await pool.request(REQUEST, 5)
            used = time.monotonic()
            await asyncio.sleep(0.02)
        assert repr(pool).endswith("open=1 idle=1>")
        for _ in range(250):
            if repr(pool).endswith("open=0 idle=0>"):
                break
            await asyncio.sleep(0.02)
        assert repr(pool).endswith("open=0 idle=0>")

    assert len(closed) == 3
    assert max(closed[:2]) < used
    assert closed[2] >= used + 0.29


async def test_what_closed_while_the_loop_was_busy_is_not_taken_and_nothing_is_sent_on_it(monkeypatch):
    monkeypatch.setattr(connection_pool, "_FRESH_S", 0.0)
    received = []

    def serve(listening: socket.socket) -> None:
        for _ in range(2):
            connection, _ = listening.accept()
            received.append(connection.recv(1000))
            connection.sendall(OK)
            connection.close()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = threading.Thread(target=serve, args=[listening])
        server.start()
        pool = ConnectionPool(Endpoint.parse(f"http://127.0.0.1:{listening.getsockname()[1]}", None))
        assert (await pool.request(REQUEST, 5)).body == b"body"
        time.sleep(0.1)  # noqa: ASYNC251  # the point: meanwhile the peer closes and the loop does not hear of it
        assert (await pool.request(REQUEST, 5)).body == b"body"
        pool.close()
        server.join()

    assert received == [REQUEST, REQUEST]


async def test_answers_reach_their_callers_however_many_ask_and_whoever_leaves():
    async def echoing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            line = await reader.readexactly(8)
            await asyncio.sleep(random.random() * 0.005)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n" + line)

    async def ask(number: int) -> bool:
        return (await pool.request(b"%08d" % number, 10)).body == b"%08d" % number

    async with pool_to(echoing, max_connections=20) as pool:
        calls = [asyncio.create_task(ask(number)) for number in range(1000)]
        for number in range(0, 1000, 7):
            asyncio.get_running_loop().call_later(random.random() * 0.2, calls[number].cancel)
        ended = await asyncio.gather(*calls, return_exceptions=True)
        assert all(await asyncio.gather(*(ask(number) for number in range(100))))

    assert all(one is True for number, one in enumerate(ended) if number % 7)
    assert {type(one) for number, one in enumerate(ended) if number % 7 == 0} <= {bool, asyncio.CancelledError}


@pytest.mark.parametrize("chunked", [False, True])
async def test_big_bodies_both_ways(chunked: bool):
    body = random.Random(1).randbytes(20_000_000)

    async def answering(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            assert await reader.readexactly(len(body)) == body
            if chunked:
                writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                for start in range(0, len(body), 1_000_000):
                    piece = body[start : start + 1_000_000]
                    writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                writer.write(b"0\r\n\r\n")
            else:
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            await writer.drain()

    async with pool_to(answering) as pool:
        for _ in range(2):
            assert (await pool.request(body, 20)).body == body
        assert repr(pool).endswith("open=1 idle=1>")


async def test_a_connection_answered_before_all_was_sent_is_not_kept():
    seen = asyncio.Event()

    async def refusing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(10)
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
        await seen.wait()

    async with pool_to(refusing) as pool:
        assert (await pool.request(b"x" * 50_000_000, 5)).status == 413
        assert repr(pool).endswith("open=0 idle=0>")
        seen.set()


async def test_an_address_that_does_not_answer_is_passed_over(monkeypatch):
    with socket.socket() as deaf, socket.create_server(("127.0.0.1", 0)) as listening:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        filler = socket.create_connection(deaf.getsockname())
        addresses = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", each.getsockname()) for each in (deaf, listening)]

        async def two_addresses(*_: object, **__: object) -> list:
            return addresses

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", two_addresses)
        pool = ConnectionPool(Endpoint.parse("http://two.example", None))
        answering = asyncio.create_task(asyncio.to_thread(_answer_one, listening))
        assert (await pool.request(REQUEST, 3)).body == b"body"
        await answering
        pool.close()
        filler.close()


def _answer_one(listening: socket.socket) -> None:
    connection, _ = listening.accept()
    connection.recv(1000)
    connection.sendall(OK)
    connection.close()


async def test_the_pool_holds_its_limit_and_waiting_counts_as_time():
    server = Answering(*[OK] * 20)
    async with pool_to(server, max_connections=3) as pool:
        await asyncio.gather(*(pool.request(REQUEST, 5) for _ in range(20)))
    assert server.connections == 3

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with pool_to(silent, max_connections=1) as pool:
        first = asyncio.create_task(pool.request(REQUEST, 0.3))
        await asyncio.sleep(0)
        with pytest.raises(TimeoutError):
            await pool.request(REQUEST, 0.05)
        with pytest.raises(TimeoutError):
            await first


async def test_nobody_listening_and_nobody_accepting():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(UpstreamUnavailable):
        await ConnectionPool(Endpoint.parse(f"http://127.0.0.1:{port}", None)).request(REQUEST, 5)

    with socket.socket() as full:  # a backlog of one, filled: connecting hangs
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        fillers = [socket.create_connection(("127.0.0.1", port))]
        endpoint = Endpoint.parse(f"http://127.0.0.1:{port}", None)
        with pytest.raises(UpstreamUnavailable):
            await ConnectionPool(endpoint, connect_timeout_s=0.1).request(REQUEST, 5)
        with pytest.raises(TimeoutError):
            await ConnectionPool(endpoint, connect_timeout_s=5).request(REQUEST, 0.1)
        for filler in fillers:
            filler.close()


async def test_closing_the_pool_fails_what_waits():
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with pool_to(silent) as pool:
        call = asyncio.create_task(pool.request(REQUEST, None))
        await asyncio.sleep(0.02)
        pool.close()
        with pytest.raises(UpstreamUnavailable):
            await call
