"""The mock's HTTP face over real sockets: wire shapes, faults of the wire, and counts."""

import asyncio
import json
import re

import aiohttp
import pytest

from server.gemini.faults import FaultScript
from server.gemini.mock_http import MOST_BODY_BYTES
from server.gemini.mock_server import serving
from server.gemini.protocol import GeminiCall
from server.gemini.rest_wire import decode_answer
from server.gemini.simulation import Simulation
from tests.http_mock import ASK, MODEL, mock, path, request_bytes


async def read_all(session: aiohttp.ClientSession, url: str) -> None:
    async with session.post(url, json=ASK, timeout=aiohttp.ClientTimeout(total=0.3)) as response:
        for event in (await response.text()).split("\r\n\r\n"):
            json.loads(event.removeprefix("data: ") or "{}")


async def raw(url: str, request: bytes) -> bytes:
    """Everything the server sends in answer to ``request`` until it closes or is silent for 0.3 s."""
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request)
    received = b""
    try:
        while chunk := await asyncio.wait_for(reader.read(65536), 0.3):
            received += chunk
    except TimeoutError:
        pass
    writer.close()
    return received


# Shapes


@pytest.mark.parametrize("version", ["v1", "v1beta"])
async def test_generate_content(version):
    async with mock() as session, session.post(path(version=version), json=ASK) as response:
        answer = await response.json()

    assert response.headers["Content-Type"] == "application/json; charset=UTF-8"
    assert set(answer) == {"candidates", "usageMetadata", "modelVersion", "responseId"}
    [candidate] = answer["candidates"]
    assert candidate["content"]["role"] == "model"
    assert candidate["content"]["parts"][0]["text"].startswith("why is the sky blue?")
    assert (candidate["finishReason"], candidate["index"]) == ("STOP", 0)
    used = answer["usageMetadata"]
    assert used["totalTokenCount"] == used["promptTokenCount"] + used["candidatesTokenCount"]
    assert used["promptTokensDetails"] == [{"modality": "TEXT", "tokenCount": 5}]
    assert answer["modelVersion"] == MODEL


async def test_the_same_call_in_process_gives_the_same_reply():
    expected = Simulation("zero", seed=9).begin(GeminiCall("why is the sky blue?", MODEL)).reply

    async with mock(seed=9) as session, session.post(path(), json=ASK) as response:
        assert decode_answer(GeminiCall("", MODEL), response.status, await response.read()) == expected


async def test_stream_is_sse_to_the_byte():
    expected = Simulation("zero").begin(GeminiCall("why is the sky blue?", MODEL)).reply

    async with mock() as session, session.post(path("streamGenerateContent") + "?key=a&alt=sse", json=ASK) as response:
        body = await response.read()

    assert response.headers["Content-Type"] == "text/event-stream"
    *events, rest = body.split(b"\r\n\r\n")
    assert rest == b""
    assert all(re.fullmatch(rb"data: \{[^\r\n]*\}", event) for event in events)
    chunks = [json.loads(event.removeprefix(b"data: ")) for event in events]
    assert len(chunks) > 2
    assert "".join(chunk["candidates"][0]["content"]["parts"][0]["text"] for chunk in chunks) == expected.text
    assert ["finishReason" in chunk["candidates"][0] for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert chunks[-1]["usageMetadata"]["candidatesTokenCount"] == expected.usage.output_tokens
    assert len({chunk["responseId"] for chunk in chunks}) == 1


@pytest.mark.parametrize("query", ["", "?alt=json", "?alt=ssee", "?xalt=sse", "?key=alt%3Dsse"])
async def test_stream_without_sse_is_one_json_array(query):
    async with mock() as session, session.post(path("streamGenerateContent") + query, json=ASK) as response:
        chunks = await response.json()

    assert chunks[-1]["candidates"][0]["finishReason"] == "STOP"


async def test_stream_comes_in_pieces_over_its_time():
    async with mock(profile="lesson") as session:
        loop = asyncio.get_running_loop()
        started = loop.time()
        async with session.post(path("streamGenerateContent") + "?alt=sse", json=ASK) as response:
            arrivals = [loop.time() - started async for line in response.content if line.startswith(b"data:")]

    assert arrivals[0] >= 0.149
    assert arrivals[-1] > arrivals[0]


async def test_count_tokens():
    async with mock() as session:
        async with session.post(path("countTokens"), json=ASK) as response:
            plain = await response.json()
        nested = {"generateContentRequest": {"model": f"models/{MODEL}", **ASK}}
        async with session.post(path("countTokens"), json=nested) as response:
            assert await response.json() == plain

    assert plain == {"totalTokens": 5, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 5}]}


async def test_generation_config_is_obeyed_in_both_spellings():
    async with mock() as session:
        for config in ({"maxOutputTokens": 3, "topP": 0.5}, {"max_output_tokens": 3, "top_p": 0.5}):
            async with session.post(path(), json=ASK | {"generationConfig": config}) as response:
                answer = await response.json()
            assert answer["usageMetadata"]["candidatesTokenCount"] == 3
            assert answer["candidates"][0]["finishReason"] == "MAX_TOKENS"


# Faults


@pytest.mark.parametrize("method", ["generateContent", "streamGenerateContent"])
async def test_rate_limit_has_googles_details_and_no_retry_after_header(method):
    fault = '[[fault]]\nkind = "rate-limit"\nretry_after_s = 45.837906927'
    async with mock(fault) as session, session.post(path(method), json=ASK) as response:
        error = (await response.json())["error"]

    assert (response.status, error["status"]) == (429, "RESOURCE_EXHAUSTED")
    assert "Retry-After" not in response.headers
    details = {detail["@type"].rpartition(".")[2]: detail for detail in error["details"]}
    assert details["RetryInfo"]["retryDelay"] == "45.837906927s"
    assert "PerMinute" in details["QuotaFailure"]["violations"][0]["quotaId"]


async def test_day_quota_brownout_and_internal_error():
    for kind, status, code in (
        ("quota", 429, "RESOURCE_EXHAUSTED"),
        ("unavailable", 503, "UNAVAILABLE"),
        ("internal", 500, "INTERNAL"),
    ):
        async with mock(f'[[fault]]\nkind = "{kind}"') as session, session.post(path(), json=ASK) as response:
            error = (await response.json())["error"]
        assert (response.status, error["status"]) == (status, code)
        assert ("PerDay" in str(error)) is (kind == "quota")
        assert ("details" in error) is (kind == "quota")


@pytest.mark.parametrize("method", ["generateContent", "streamGenerateContent?alt=sse"])
async def test_blocked_prompts_have_a_reason_and_no_candidates(method):
    async with mock('[[fault]]\nkind = "blocked"') as session, session.post(path(method), json=ASK) as response:
        answer = json.loads((await response.text()).removeprefix("data: "))

    assert answer["promptFeedback"] == {"blockReason": "PROHIBITED_CONTENT"}
    assert "candidates" not in answer


@pytest.mark.parametrize("method", ["generateContent", "streamGenerateContent?alt=sse"])
@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("truncated", aiohttp.ClientPayloadError),
        ("reset", (aiohttp.ClientOSError, aiohttp.ClientPayloadError)),
        ("malformed", ValueError),
        ("hang", TimeoutError),
    ],
)
async def test_faults_of_the_wire(method, kind, error):
    async with mock(f'[[fault]]\nkind = "{kind}"') as session:
        with pytest.raises(error):
            await read_all(session, path(method))


async def test_a_malformed_event_is_an_event_still():
    url = path("streamGenerateContent") + "?alt=sse"
    async with mock() as session, session.post(url, json=ASK) as response:
        sound = (await response.text()).split("\r\n\r\n")
    async with mock('[[fault]]\nkind = "malformed"') as session, session.post(url, json=ASK) as response:
        *events, last, rest = (await response.text()).split("\r\n\r\n")

    assert len(events) + 2 == len(sound)
    assert all(json.loads(event.removeprefix("data: ")) for event in events)
    assert last.startswith("data: {")
    with pytest.raises(ValueError, match="delimiter"):
        json.loads(last.removeprefix("data: "))
    assert rest == ""


async def test_a_reset_is_a_reset():
    async with serving(Simulation("zero", faults=FaultScript.parse('[[fault]]\nkind = "reset"'))) as url:
        body = json.dumps(ASK).encode()
        head = f"POST {path()} HTTP/1.1\r\nHost: a\r\nx-goog-api-key: a\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        with pytest.raises(ConnectionResetError):
            await raw(url, head + body)


# Counts


async def test_stats_count_by_version_method_model_and_status():
    async with mock('[[fault]]\nkind = "unavailable"\nshare = 0.5') as session:
        statuses = []
        for _ in range(20):
            async with session.post(path(version="v1"), json=ASK) as response:
                statuses.append(response.status)
        async with session.post(path("countTokens"), json=ASK) as response:
            assert response.status == 200
        async with session.get("/stats", params={"prompt": "why is the sky blue?"}) as response:
            report = await response.json()

    assert report["total"] == 21
    assert report["by_status"] == {"200": statuses.count(200) + 1, "503": statuses.count(503)}
    row = {"version": "v1", "method": "generateContent", "model": MODEL, "status": 503, "calls": statuses.count(503)}
    assert row in report["calls"]
    assert report["prompts"] == {"distinct": 1, "most_calls_of_one": 20}
    assert report["prompt_calls"] == 20
    assert report["in_flight"] == 0


async def test_callers_who_leave_are_counted_without_an_answer():
    async with mock(profile="60000ms") as session:
        with pytest.raises(TimeoutError):
            await session.post(path(), json=ASK, timeout=aiohttp.ClientTimeout(total=0.05))
        for _ in range(100):
            async with session.get("/stats") as response:
                report = await response.json()
            if not report["in_flight"]:
                break
            await asyncio.sleep(0.01)

    assert report["in_flight"] == 0
    assert report["by_status"] == {"0": 1}


# HTTP


async def test_pipelined_requests_are_answered_in_order():
    prompts = [f"prompt {number}" for number in range(5)]
    pipeline = b"".join(
        request_bytes(json.dumps({"contents": [{"parts": [{"text": prompt}]}]}).encode()) for prompt in prompts
    )
    async with serving(Simulation("20ms")) as url:
        received = (await raw(url, pipeline)).decode()

    assert re.findall(r'"text": "(prompt \d)', received) == prompts


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"hello\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 20_000 + b"\r\n", 431),
        (b"GET /" + b"a" * 70_000, 431),
        (b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (MOST_BODY_BYTES + 1), 413),
        (b"GET /stats HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", 501),
    ],
)
async def test_what_is_no_good_http_ends_the_connection(request_, status):
    async with serving(Simulation("zero")) as url:
        assert (await raw(url, request_)).startswith(f"HTTP/1.1 {status} ".encode())
        assert (await raw(url, request_bytes())).startswith(b"HTTP/1.1 200 ")


async def test_keep_alive_close_chunked_and_expect():
    async with serving(Simulation("zero")) as url:
        closed = await raw(url, request_bytes(extra="Connection: close\r\n"))
        body = json.dumps(ASK).encode()
        chunked = request_bytes(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)).replace(b"Content-Length", b"X-Was")
        chunked = chunked.replace(b"Host: a", b"Host: a\r\nTransfer-Encoding: chunked")
        answered = await raw(url, chunked)
        expected = await raw(url, request_bytes(extra="Expect: 100-continue\r\n"))

    assert closed.startswith(b"HTTP/1.1 200 ")
    assert answered.startswith(b"HTTP/1.1 200 ")
    assert expected.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 ")
