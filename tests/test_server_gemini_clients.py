"""Every live client against the mock's faces: replies, each failure as its typed error, one call for one, secrets."""

import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from pydantic import SecretStr

from server.errors import UpstreamBlocked, UpstreamError, UpstreamQuotaExhausted, UpstreamUnavailable
from server.gemini.clients import create_client
from server.gemini.endpoint import Endpoint, GeminiSetupError
from server.gemini.faults import FaultScript
from server.gemini.mock_server import serving
from server.gemini.protocol import GeminiCall, Parameters
from server.gemini.simulation import Simulation
from tests.live_clients import CALL, MODEL, SECRET, WAYS, client_of, generate
from tests.raw_upstream import answering, http, read_request, upstream

# google-genai inherits from aiohttp's session, which aiohttp discourages.
pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class:DeprecationWarning")

every_way = pytest.mark.parametrize(("name", "way"), WAYS)


async def becomes(condition: Callable[[], bool]) -> None:
    for _ in range(500):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("still not so after 5 s")


def failing(fault: str) -> Simulation:
    return Simulation("zero", faults=FaultScript.parse(f"[[fault]]\n{fault}"))


@every_way
async def test_replies_are_those_of_the_simulation(name, way):
    calls = [CALL, GeminiCall("Grüße, 世界 🌍", MODEL), GeminiCall("x" * 40_000, "gemini-2.5-pro")]
    alone = Simulation("zero", seed=5)

    async with client_of(name, way, Simulation("zero", seed=5)) as client:
        replies = [
            await generate(client, way, call, timeout_s) for call, timeout_s in zip(calls, (20, 5, None), strict=True)
        ]

    assert replies == [alone.begin(call).reply for call in calls]


@every_way
async def test_parameters_arrive(name, way):
    call = GeminiCall("count to a hundred, please", MODEL, Parameters(max_output_tokens=3))
    expected = Simulation("zero").begin(call).reply

    async with client_of(name, way, Simulation("zero")) as client:
        reply = await generate(client, way, call)

    assert reply == expected
    assert (reply.finish_reason, reply.usage.output_tokens) == ("MAX_TOKENS", 3)


@every_way
@pytest.mark.parametrize(
    ("fault", "error", "status", "retry_after_s"),
    [
        ('kind = "rate-limit"\nretry_after_s = 45.837906927', UpstreamUnavailable, 429, 45.837906927),
        ('kind = "rate-limit"', UpstreamUnavailable, 429, None),
        ('kind = "quota"', UpstreamQuotaExhausted, 429, 3600.0),
        ('kind = "unavailable"', UpstreamUnavailable, 503, None),
        ('kind = "internal"', UpstreamUnavailable, 500, None),
        ('kind = "blocked"', UpstreamBlocked, 200, None),
        ('kind = "reset"', UpstreamUnavailable, None, None),
        ('kind = "truncated"', UpstreamUnavailable, None, None),
        ('kind = "malformed"', UpstreamUnavailable, None, None),
    ],
)
async def test_each_failure_is_its_typed_error_after_one_call(name, way, fault, error, status, retry_after_s):
    simulation = failing(fault)
    async with client_of(name, way, simulation) as client:
        with pytest.raises(UpstreamError) as caught:
            await generate(client, way)

    assert type(caught.value) is error
    assert caught.value.retry_after_s == retry_after_s
    assert status is None or caught.value.upstream_status == status
    assert "\n" not in caught.value.detail
    assert simulation.asked(CALL.prompt) == 1, "the client called again by itself"


@every_way
async def test_a_hang_is_a_timeout(name, way):
    async with client_of(name, way, failing('kind = "hang"')) as client:
        with pytest.raises(TimeoutError):
            await generate(client, way, timeout_s=0.2)


@every_way
async def test_nobody_there_is_unavailable(name, way):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    client = create_client(name, api_key=SecretStr(SECRET), base_url=f"http://127.0.0.1:{port}")

    with pytest.raises(UpstreamUnavailable):
        await generate(client, way)
    await client.aclose()


@every_way
async def test_a_key_that_gemini_refuses_is_final(name, way):
    async with client_of(name, way, Simulation("zero"), key="invalid") as client:
        with pytest.raises(UpstreamError) as caught:
            await generate(client, way)

    assert type(caught.value) is UpstreamError
    assert caught.value.upstream_status == 400
    assert not caught.value.retryable


@every_way
async def test_the_key_is_never_shown(name, way):
    async with client_of(name, way, failing('kind = "unavailable"')) as client:
        with pytest.raises(UpstreamError) as caught:
            await generate(client, way)

        assert SECRET not in repr(client)
        assert SECRET not in repr(caught.value)
        assert caught.value.__cause__ is None


@every_way
async def test_many_calls_at_once_keep_their_own_answers(name, way):
    prompts = [f"question {number}" for number in range(40)]
    simulation = Simulation("5ms")
    async with client_of(name, way, simulation) as client:
        replies = await asyncio.gather(*(generate(client, way, GeminiCall(prompt, MODEL)) for prompt in prompts))

    for prompt, reply in zip(prompts, replies, strict=True):
        assert reply.text.split(" ")[:2] == prompt.split(" ")
    assert simulation.asked_prompts() == (40, 1)


@pytest.mark.parametrize("name", ["aiohttp", "builtin", "google-genai", "google-generativeai"])
async def test_a_cancelled_call_frees_its_place(name):
    simulation = Simulation("60000ms")
    async with client_of(name, "async", simulation) as client:
        call = asyncio.create_task(client.generate(CALL))
        await becomes(lambda: simulation.in_flight == 1)

        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

        await becomes(lambda: simulation.in_flight == 0)


async def test_generativeai_says_so_when_an_http_server_is_asked_for_grpc():
    async with serving(Simulation("zero")) as url:
        client = create_client("google-generativeai", base_url=url)
        with pytest.raises(UpstreamError) as caught:
            await client.generate(CALL, timeout_s=10)
        await client.aclose()

    assert not caught.value.retryable
    assert "gRPC" in caught.value.detail


# Making a client


@pytest.mark.parametrize("name", ["aiohttp", "builtin", "google-genai", "google-generativeai"])
@pytest.mark.parametrize("key", [None, SecretStr(""), SecretStr("  ")])
def test_no_key_for_the_real_endpoint_stops_at_the_start(name, key):
    with pytest.raises(GeminiSetupError, match="GEMINI_API_KEY"):
        create_client(name, api_key=key)


def test_a_key_that_cannot_be_one_is_refused_unseen():
    with pytest.raises(GeminiSetupError) as caught:
        create_client("aiohttp", api_key=SecretStr(f"{SECRET}\r\nHost: evil"))

    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:80",
        "ftp://a",
        "http://",
        "http://a:99999",
        "http://a?key=1",
        "http://u:p@a",
        "http://a#part",
        "http://http://127.0.0.1:1",
        "http://a//b",
        "http://[::1",
        "//a",
    ],
)
def test_odd_base_urls_are_refused(url):
    with pytest.raises(GeminiSetupError, match="base URL"):
        Endpoint.parse(url or "x", SecretStr("k"))


def test_the_key_goes_to_google_over_tls_only():
    with pytest.raises(GeminiSetupError, match="https"):
        Endpoint.parse("http://generativelanguage.googleapis.com", SecretStr(SECRET))


def test_an_endpoint_taken_apart():
    endpoint = Endpoint.parse("https://proxy.example/gemini/", SecretStr(SECRET))

    assert (endpoint.tls, endpoint.host, endpoint.port, endpoint.prefix) == (True, "proxy.example", 443, "/gemini")
    assert endpoint.authority == "proxy.example"
    assert Endpoint.parse("http://[::1]:8080", None).authority == "[::1]:8080"
    assert SECRET not in repr(endpoint)


@pytest.mark.parametrize(
    ("name", "module"), [("google-genai", "google.genai"), ("google-generativeai", "google.generativeai")]
)
def test_an_sdk_that_is_not_installed_is_one_line(name, module, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    if module == "google.genai":
        monkeypatch.delattr("google.genai", raising=False)

    with pytest.raises(GeminiSetupError, match="not installed"):
        create_client(name, api_key=SecretStr("k"))


@pytest.mark.parametrize(
    ("name", "absent"),
    [
        ("mock", ["google.genai", "google.ai", "aiohttp", "grpc", "http.client", "httptools"]),
        ("aiohttp", ["google.genai", "google.ai", "grpc", "httptools"]),
        ("builtin", ["google.genai", "google.ai", "grpc", "aiohttp"]),
    ],
)
def test_only_what_is_chosen_is_imported(name, absent):
    script = f"""
import sys
from server.gemini.clients import create_client
create_client({name!r}, base_url="http://127.0.0.1:1")
print([name for name in {absent} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"


def test_the_mock_takes_its_settings(tmp_path):
    script = tmp_path / "faults.toml"
    script.write_text('[[fault]]\nkind = "unavailable"')
    client = create_client("mock", profile="zero", seed=8, faults=script)

    assert repr(client) == "MockGemini(profile='zero', seed=8)"
    with pytest.raises(UpstreamUnavailable):
        client.generate_blocking(CALL)
    with pytest.raises(ValueError, match="unknown latency profile"):
        create_client("mock", profile="quick")


# REST alone: what only real traffic has


rest_ways = pytest.mark.parametrize(("name", "way"), [way for way in WAYS if way[0] in ("aiohttp", "builtin")])


@rest_ways
@pytest.mark.parametrize(
    ("answer", "error", "status", "retry_after_s"),
    [
        (http("502 Bad Gateway", b"<html>bad</html>"), UpstreamUnavailable, 502, None),
        (http("504 Gateway Timeout", b""), UpstreamUnavailable, 504, None),
        (http("408 Request Timeout", b"{}"), UpstreamUnavailable, 408, None),
        (http("429 Too Many", b"[]", "Retry-After: 17\r\n"), UpstreamUnavailable, 429, 17.0),
        (http("503 Busy", b'{"error": 3}', "retry-after: soon\r\n"), UpstreamUnavailable, 503, None),
        (http("301 Moved", b"", "Location: http://evil.example/\r\n"), UpstreamError, 301, None),
        (http("401 Unauthorized", b'{"error": {"message": "who?", "details": 3}}'), UpstreamError, 401, None),
        (http("200 OK", b"null"), UpstreamUnavailable, 200, None),
        (http("200 OK", b'{"candidates": [3]}'), UpstreamUnavailable, 200, None),
        (http("200 OK", b'{"candidates": {"a": 1}}'), UpstreamUnavailable, 200, None),
        (http("200 OK", b"{}"), UpstreamUnavailable, 200, None),
        (b"", UpstreamUnavailable, 0, None),
        (b"SSH-2.0-OpenSSH\r\n\r\n", UpstreamUnavailable, 0, None),
    ],
)
async def test_odd_answers(name, way, answer, error, status, retry_after_s):
    async with answering(answer) as (url, _):
        client = create_client(name, api_key=SecretStr(SECRET), base_url=url)
        with pytest.raises(UpstreamError) as caught:
            await generate(client, way)
        await client.aclose()

    assert type(caught.value) is error
    assert (caught.value.upstream_status, caught.value.retry_after_s) == (status, retry_after_s)


@rest_ways
async def test_googles_texts_lose_the_key(name, way):
    body = (
        b'{"error": {"code": 403, "message": "Consumer \'api_key:%b\' is suspended", "status": "X"}}' % SECRET.encode()
    )
    async with answering(http("403 Forbidden", body)) as (url, _):
        client = create_client(name, api_key=SecretStr(SECRET), base_url=url)
        with pytest.raises(UpstreamError) as caught:
            await generate(client, way)
        await client.aclose()

    assert "suspended" in caught.value.detail
    assert SECRET not in str(caught.value)


@rest_ways
async def test_the_request_on_the_wire(name, way):
    parts = [{"text": "thinking", "thought": True}, {"text": "a"}, {"text": "b"}]
    used = {"promptTokenCount": 4, "candidatesTokenCount": 2, "thoughtsTokenCount": 3, "totalTokenCount": 9}
    reply = json.dumps({"candidates": [{"content": {"parts": parts}}], "usageMetadata": used}).encode()
    async with answering(http("200 OK", reply)) as (url, seen):
        client = create_client(name, api_key=SecretStr(SECRET), base_url=url + "/proxy/")
        answer = await generate(client, way, GeminiCall('say "hi"', "../evil model?"))
        await client.aclose()

    [request] = seen
    head, _, body = request.partition(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    assert head.startswith(b"POST /proxy/v1beta/models/..%2Fevil%20model%3F:generateContent HTTP/1.1\r\n")
    assert b"content-type: application/json" in lines
    assert b"x-goog-api-key: " + SECRET.lower().encode() in lines
    assert body == b'{"contents":[{"role":"user","parts":[{"text":"say \\"hi\\""}]}]}'
    assert answer.text == "ab"
    assert (answer.usage.prompt_tokens, answer.usage.output_tokens, answer.usage.total_tokens) == (4, 5, 9)


@rest_ways
async def test_a_connection_closed_while_idle_costs_no_error(name, way):
    connections = 0

    async def serve_two(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        for _ in range(2):
            await read_request(reader)
            writer.write(http("200 OK", b'{"candidates": [{"content": {"parts": [{"text": "a"}]}}]}'))

    async with upstream(serve_two) as url:
        client = create_client(name, base_url=url)
        with ThreadPoolExecutor(1) as one_thread:
            for _ in range(6):
                if way == "async":
                    await client.generate(CALL, timeout_s=5)
                else:
                    loop = asyncio.get_running_loop()
                    await loop.run_in_executor(one_thread, partial(client.generate_blocking, CALL, timeout_s=5))
                await asyncio.sleep(0.02)
        await client.aclose()

    assert connections == 3
