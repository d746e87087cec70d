"""The lean client against servers that answer in every way HTTP/1.1 allows, and in some that it does not."""

import contextlib
import socket
import struct
import threading
import time

import gevent
import pytest

from loadtests.generator.lean_client import LeanClient, Transport

REQUEST = b"POST /process HTTP/1.1\r\nHost: x\r\nX-Request-Id: r1\r\nContent-Length: 2\r\n\r\n{}"
PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


class Server:
    """A TCP server on threads: each connection is handed to the next of ``handlers``, or to the last one again."""

    def __init__(self, *handlers):
        self.accepted = 0
        self._handlers = handlers
        self._connections = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = (socket.AF_INET, self._listener.getsockname())
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                handler = self._handlers[min(self.accepted, len(self._handlers) - 1)]
                self.accepted += 1
                self._connections.append(connection)
                threading.Thread(target=self._handle, args=(handler, connection), daemon=True).start()

    @staticmethod
    def _handle(handler, connection):
        with contextlib.suppress(OSError), connection:
            handler(connection)

    def client(self, timeout_s=5.0):
        return LeanClient(Transport([self.address], timeout_s))

    def close(self):
        for open_socket in (self._listener, *self._connections):
            with contextlib.suppress(OSError):
                open_socket.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture
def serve():
    servers = []

    def start(*handlers):
        servers.append(Server(*handlers))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def answers(*pieces, pause_s=0.0, stay=True):
    """Answer every request by the pieces, one send each; then close the connection, or stay for more."""

    def handler(connection):
        while connection.recv(65536):
            for piece in pieces:
                connection.sendall(piece)
                time.sleep(pause_s)
            if not stay:
                return

    return handler


def byte_by_byte(data):
    return answers(*(data[i : i + 1] for i in range(len(data))), pause_s=0.001)


CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nCache-Status: tailgate; hit\r\n\r\n"
    b"5\r\nhello\r\n6;ext=1\r\n world\r\n0\r\nTrailer: x\r\n\r\n"
)


@pytest.mark.parametrize(
    ("handler", "status", "body"),
    [
        (answers(PLAIN), 200, b"hello"),
        (byte_by_byte(PLAIN), 200, b"hello"),
        (answers(CHUNKED), 200, b"hello world"),
        (byte_by_byte(CHUNKED), 200, b"hello world"),
        (answers(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), 200, b""),
        (answers(b"HTTP/1.1 204 No Content\r\n\r\n"), 204, b""),
        (answers(b"HTTP/1.1 100 Continue\r\n\r\n", PLAIN), 200, b"hello"),
        (answers(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + PLAIN), 200, b"hello"),
        (answers(b"HTTP/1.1 503 Down\r\nContent-Length: 4\r\nRetry-After: 1\r\n\r\ndown"), 503, b"down"),
        (answers(b"HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n\r\n", b"<html>", b"</html>", stay=False), 200,
         b"<html></html>"),
        (answers(b"HTTP/1.0 200 OK\r\nServer: x\r\n\r\n", stay=False), 200, b""),
        (answers(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello", stay=False), 200, b"hello"),
        (answers(b"HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n" + b"x" * 3_000_000), 200, b"x" * 3_000_000),
    ],
    ids=["plain", "plain in bytes", "chunked", "chunked in bytes", "empty", "204", "100 first", "103 first", "503",
         "http/1.0 until close", "http/1.0 empty", "close", "3 MB"],
)  # fmt: skip
def test_a_whole_answer_of_any_form_is_an_answer(serve, handler, status, body):
    client = serve(handler).client()
    for _ in range(2):
        assert client.exchange(REQUEST) == ""
        assert (client.status, client.body) == (status, body)


@pytest.mark.parametrize(
    ("handler", "error"),
    [
        (answers(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello", stay=False), "reset"),
        (answers(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", stay=False), "reset"),
        (answers(b"HTTP/1.1 200 OK\r\nServer: x\r\n", stay=False), "reset"),
        (answers(b"", stay=False), "reset"),
        (answers(b"SSH-2.0-OpenSSH_9.6\r\n"), "protocol"),
        (answers(b"<html>no http at all</html>"), "protocol"),
        (answers(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), "protocol"),
        (answers(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"), "protocol"),
        (answers(PLAIN + PLAIN), "protocol"),
    ],
    ids=["short body", "torn chunk", "torn head", "nothing", "ssh", "bare html", "bad chunk", "upgrade", "two for one"],
)
def test_a_broken_answer_is_named_and_the_next_request_has_a_new_connection(serve, handler, error):
    server = serve(handler, answers(PLAIN))
    client = server.client()
    assert client.exchange(REQUEST) == error
    assert not client.connected
    assert client.done_ns >= client.sent_ns
    assert client.exchange(REQUEST) == ""
    assert (client.status, client.body, server.accepted) == (200, b"hello", 2)


def test_a_connection_reset_by_the_server_is_a_reset(serve):
    def reset(connection):
        connection.recv(65536)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    assert serve(reset).client().exchange(REQUEST) == "reset"


def test_one_connection_serves_many_requests_without_delay(serve):
    server = serve(answers(PLAIN))
    client = server.client()
    for _ in range(50):
        assert client.exchange(REQUEST) == ""
    assert server.accepted == 1


def test_headers_are_those_of_the_last_answer_only(serve):
    def handler(connection):
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nX-Attempts: 2\r\nContent-Length: 0\r\n\r\n")
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nx-other: 3\r\nContent-Length: 0\r\n\r\n")
        connection.recv(65536)

    client = serve(handler).client()
    client.exchange(REQUEST)
    assert client.headers[b"X-Attempts"] == b"2"
    client.exchange(REQUEST)
    assert client.headers == {b"x-other": b"3", b"Content-Length": b"0"}


def test_a_connection_that_the_server_closes_while_idle_costs_no_request(serve):
    def once(connection):
        connection.recv(65536)
        connection.sendall(PLAIN)

    server = serve(once)
    client = server.client()
    for expected in (1, 2, 3):
        assert client.exchange(REQUEST) == ""
        assert server.accepted == expected
        for _ in range(100):
            gevent.sleep(0.01)
            if not client.connected:
                break
        assert not client.connected


@pytest.mark.parametrize("unasked", [PLAIN, PLAIN[:20], b"\0"], ids=["an answer", "part of one", "nonsense"])
def test_data_that_nobody_asked_for_ends_the_connection_not_the_client(serve, unasked):
    def chatty(connection):
        connection.recv(65536)
        connection.sendall(PLAIN)
        time.sleep(0.05)
        connection.sendall(unasked)
        connection.recv(65536)

    client = serve(chatty, answers(PLAIN)).client()
    assert client.exchange(REQUEST) == ""
    with gevent.Timeout(5):
        while client.connected:
            gevent.sleep(0.01)
    assert client.exchange(REQUEST) == ""


def test_an_answer_that_does_not_come_times_out_in_time(serve):
    def silent(connection):
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhel")
        connection.recv(65536)

    client = serve(silent, answers(PLAIN)).client(timeout_s=0.3)
    assert client.exchange(REQUEST) == "timeout"
    assert 0.3 <= (client.done_ns - client.sent_ns) / 1e9 < 5.0
    assert client.exchange(REQUEST) == ""


def test_each_of_many_waiting_clients_times_out_by_its_own_clock(serve):
    server = serve(lambda connection: time.sleep(10))
    transport = Transport([server.address], 0.4)
    clients = [LeanClient(transport) for _ in range(20)]

    def ask(client, delay_s):
        gevent.sleep(delay_s)
        return client.exchange(REQUEST)

    jobs = [gevent.spawn(ask, client, number * 0.02) for number, client in enumerate(clients)]
    gevent.joinall(jobs, raise_error=True)
    assert {job.value for job in jobs} == {"timeout"}
    assert all(0.4 <= (client.done_ns - client.sent_ns) / 1e9 < 5.0 for client in clients)
    assert transport.waiting == {}


def test_nobody_listening_is_a_failure_to_connect():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = taken.getsockname()
    client = LeanClient(Transport([(socket.AF_INET, address)], 5.0))
    assert client.exchange(REQUEST) == "connect"
    assert client.done_ns >= client.sent_ns > 0


def test_the_next_address_is_tried_when_one_refuses(serve):
    server = serve(answers(PLAIN))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        refusing = (socket.AF_INET, taken.getsockname())
    assert LeanClient(Transport([refusing, server.address], 5.0)).exchange(REQUEST) == ""


def test_a_large_body_is_sent_whole_to_a_slow_reader(serve):
    received = []

    def slow_reader(connection):
        total = 0
        while total < size:
            total += len(connection.recv(100_000))
            time.sleep(0.001)
        received.append(total)
        connection.sendall(PLAIN)
        connection.recv(1)

    body = b"x" * 8_000_000
    request = b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    size = len(request)
    assert serve(slow_reader).client().exchange(request) == ""
    assert received == [size]


def test_a_server_that_answers_before_it_has_read_all_is_heard(serve):
    def refuses(connection):
        connection.recv(1000)
        connection.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        time.sleep(0.5)

    body = b"x" * 16_000_000
    client = serve(refuses).client()
    assert client.exchange(b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)) == ""
    assert client.status == 413
    assert not client.connected


def test_a_killed_user_leaves_no_connection_and_no_waiting_request(serve):
    client = serve(lambda connection: time.sleep(2)).client()
    job = gevent.spawn(client.exchange, REQUEST)
    with gevent.Timeout(5):
        while not client.connected:
            gevent.sleep(0.01)
    job.kill()
    assert not client.connected
    assert client.done_ns > client.sent_ns


def test_latency_is_the_servers_delay_to_a_fraction_of_a_millisecond(serve):
    stamps = []

    def delays(connection):
        while connection.recv(65536):
            received_ns = time.perf_counter_ns()
            time.sleep(0.02)
            sent_ns = time.perf_counter_ns()
            connection.sendall(PLAIN)
            stamps.append((received_ns, sent_ns))

    client = serve(delays).client()
    over_ns = []
    for number in range(20):
        assert client.exchange(REQUEST) == ""
        while len(stamps) <= number:
            gevent.sleep(0.001)
        received_ns, sent_ns = stamps[number]
        assert client.sent_ns <= received_ns
        assert client.done_ns >= sent_ns
        over_ns.append(client.done_ns - client.sent_ns - (sent_ns - received_ns))
    assert min(over_ns) < 1_000_000
