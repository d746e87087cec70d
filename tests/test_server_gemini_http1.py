"""The built-in client on the wire: framing, splits, broken answers, deadlines, TLS."""

import asyncio
import datetime
import ipaddress
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from server.errors import UpstreamUnavailable
from server.gemini.aiohttp_client import AiohttpGemini
from server.gemini.builtin_client import BuiltinGemini
from server.gemini.endpoint import Endpoint
from server.gemini.http1 import HttpAnswer
from server.gemini.mock_server import serving
from server.gemini.protocol import GeminiCall
from server.gemini.simulation import Simulation
from tests.upstream_sockets import CHUNKED, HINTED, OK, REQUEST, Answering, pool_to


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (OK, HttpAnswer(200, b"body", None)),
        (CHUNKED, HttpAnswer(200, b"body", None)),
        (HINTED + OK, HttpAnswer(200, b"body", None)),
        (b"HTTP/1.1 204 No Content\r\n\r\n", HttpAnswer(204, b"", None)),
        (b"HTTP/1.1 429 Slow\r\nRETRY-AFTER: 7\r\nContent-Length: 0\r\n\r\n", HttpAnswer(429, b"", "7")),
        (b"HTTP/1.1 200 OK\r\n\r\nuntil the end", HttpAnswer(200, b"until the end", None)),
        (b"HTTP/1.0 200 OK\r\n\r\nold", HttpAnswer(200, b"old", None)),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbody", HttpAnswer(200, b"body", None)),
    ],
)
async def test_framing(answer, expected):
    async with pool_to(Answering(answer, then_close=True)) as pool:
        assert await pool.request(REQUEST, 5) == expected


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from([OK, CHUNKED, HINTED + CHUNKED]), st.lists(st.integers(1, 20), max_size=60))
def test_answers_may_come_in_any_pieces(answer, pieces):
    async def ask_twice() -> None:
        server = Answering(answer, answer, pieces=pieces)
        async with pool_to(server) as pool:
            assert await pool.request(REQUEST, 5) == await pool.request(REQUEST, 5) == HttpAnswer(200, b"body", None)
        assert server.connections == 1

    asyncio.run(ask_twice())


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (b"", 0),
        (b"HTTP/1.1 200 OK\r\nContent-Le", 0),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\nbody", 200),
        (CHUNKED[:-5], 200),
        (b"hello", 0),
        (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", 0),
        (b"HTTP/1.1 101 Switching\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n", 101),
    ],
)
async def test_broken_answers_are_unavailable_and_sent_once(answer, status):
    server = Answering(answer, OK, then_close=True)
    async with pool_to(server) as pool:
        with pytest.raises(UpstreamUnavailable) as caught:
            await pool.request(REQUEST, 5)
        assert server.answers == [OK], "the request was sent again"
        assert (await pool.request(REQUEST, 5)).body == b"body"

    assert caught.value.upstream_status in (status, 0)


async def test_bytes_that_nobody_asked_for_end_the_connection():
    server = Answering(OK + OK, OK, OK)
    async with pool_to(server) as pool:
        assert (await pool.request(REQUEST, 5)).body == b"body"
        await asyncio.sleep(0.02)
        assert (await pool.request(REQUEST, 5)).body == b"body"

    assert server.connections == 2


async def test_an_endless_body_is_given_up(monkeypatch):
    monkeypatch.setattr("server.gemini.http1._MOST_BODY_BYTES", 1000)
    async with pool_to(Answering(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 2000, then_close=True)) as pool:
        with pytest.raises(UpstreamUnavailable, match="too large"):
            await pool.request(REQUEST, 5)


async def test_silence_is_a_timeout_and_its_connection_is_dropped():
    gone = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(len(REQUEST))
        assert await reader.read() == b""
        gone.set()

    async with pool_to(silent) as pool:
        with pytest.raises(TimeoutError):
            await pool.request(REQUEST, 0.05)
        await asyncio.wait_for(gone.wait(), 5)


async def test_a_drip_is_a_timeout_too():
    async def dripping(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"x")
            await asyncio.sleep(0.01)

    async with pool_to(dripping) as pool:
        with pytest.raises(TimeoutError):
            await pool.request(REQUEST, 0.1)


async def test_a_cancelled_call_drops_its_connection():
    server = Answering(OK, pieces=[0] * 10_000)
    async with pool_to(server) as pool:
        call = asyncio.create_task(pool.request(REQUEST, 5))
        await asyncio.sleep(0.02)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        server.answers, server.pieces = [OK], []
        assert (await pool.request(REQUEST, 5)).body == b"body"

    assert server.connections == 2


# TLS


def certificate(name: str) -> tuple[bytes, bytes]:
    """A self-signed certificate and its key, PEM, for ``name`` or an address."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mock")])
    now = datetime.datetime.now(datetime.UTC)
    alternative = x509.IPAddress(ipaddress.ip_address(name)) if name[0].isdigit() else x509.DNSName(name)
    built = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return built.public_bytes(serialization.Encoding.PEM), private


@pytest.mark.parametrize("kind", [AiohttpGemini, BuiltinGemini])
@pytest.mark.parametrize("name", ["127.0.0.1", "elsewhere.example"])
async def test_tls_checks_the_certificate(kind, name, tmp_path):
    public, private = certificate(name)
    pem = tmp_path / "mock.pem"
    pem.write_bytes(public + private)
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    theirs.load_cert_chain(pem)
    trusting = ssl.create_default_context(cadata=public.decode())
    call = GeminiCall("hello", "gemini-2.5-flash")

    async with serving(Simulation("zero"), tls=theirs) as url:
        for context in (trusting, None):
            client = kind(Endpoint.parse(url, SecretStr("k")), tls=context)
            for way in (client.generate(call, timeout_s=5), asyncio.to_thread(client.generate_blocking, call)):
                if name == "127.0.0.1" and context is trusting:
                    for reply in (await way, await client.generate(call)):
                        assert reply.text.startswith("hello")
                else:
                    with pytest.raises(UpstreamUnavailable):
                        await way
            await client.aclose()
