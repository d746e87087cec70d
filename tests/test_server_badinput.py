import asyncio
import json
from collections.abc import Iterator
from hashlib import sha256

import aiohttp
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.generation import GenerationMode
from schemathesis.schemas import APIOperation

from server.lifecycle import State
from server.models import Problem
from tests.server_process import LocalServer, ask, connection, exchange, local_server, server_process

GOOD = json.dumps(ask("a", "p")).encode()
HEAD = b"POST /process HTTP/1.1\r\nHost: x\r\n"


def _request(body: bytes, content_type: str = "application/json", *more: str) -> bytes:
    lines = [f"Content-Type: {content_type}", f"Content-Length: {len(body)}", *more]
    return HEAD + "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


async def _raw(server: LocalServer, *chunks: bytes, half_close: bool = False, timeout_s: float = 10) -> bytes:
    """Everything the server sends back to these bytes until it closes, or has sent a whole reply."""
    async with connection(server.port) as (reader, writer):
        for chunk in chunks:
            writer.write(chunk)
            await writer.drain()
            await asyncio.sleep(0.01)
        if half_close:
            writer.write_eof()
        async with asyncio.timeout(timeout_s):
            try:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                return head + await reader.readexactly(length)
            except (asyncio.IncompleteReadError, ConnectionError) as cut:
                return getattr(cut, "partial", b"")


def _status(answer: bytes) -> int:
    return int(answer[9:12]) if answer else 0


async def _still_serves(server: LocalServer) -> bool:
    async with server.post(ask("a", "p")) as reply:
        return reply.status == 200


TWO_LENGTHS = HEAD + b"Content-Type: application/json\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello"
BOTH_FRAMINGS = (
    HEAD + b"Content-Type: application/json\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
)
CHUNKED = HEAD + b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"

REFUSED = {
    "malformed JSON": ([_request(b'{"agent_id":')], 400, "malformed-json"),
    "wrong type": ([_request(b'{"agent_id":"a","prompts":[1]}')], 422, "invalid-request"),
    "no content type": ([HEAD + b"Content-Length: 2\r\n\r\n{}"], 415, "unsupported-media-type"),
    "text": ([_request(GOOD, "text/plain")], 415, "unsupported-media-type"),
    "another charset": ([_request(GOOD, "application/json; charset=utf-16")], 415, "unsupported-media-type"),
    "compressed": (
        [_request(b"\x1f\x8b", "application/json", "Content-Encoding: gzip")],
        415,
        "unsupported-media-type",
    ),
    "compressed on its way": (
        [CHUNKED.replace(b"chunked", b"gzip, chunked") + b"%x\r\n%b\r\n0\r\n\r\n" % (len(GOOD), GOOD)],
        415,
        "unsupported-media-type",
    ),
    "too long, as it says": (
        [_request(b"")[:-4].replace(b"Length: 0", b"Length: 1048577") + b"\r\n\r\n"],
        413,
        "body-too-large",
    ),
    "too long, in chunks": ([CHUNKED, *[b"10000\r\n" + b" " * 65536 + b"\r\n"] * 17], 413, "body-too-large"),
    "too long, at once": ([_request(b" " * (1 << 20) + GOOD)], 413, "body-too-large"),
    "bad chunk": ([CHUNKED, b"zz\r\nhello\r\n"], 408, "slow-body"),
    "two lengths": ([TWO_LENGTHS], 400, "malformed-http"),
    "two framings": ([BOTH_FRAMINGS], 400, "malformed-http"),
    "not HTTP": ([b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n"], 400, "malformed-http"),
    "a wrong line": ([b"POST\r\n\r\n"], 400, "malformed-http"),
    "a wrong version": ([b"GET / HTTP/1.7\r\nHost: x\r\n\r\n"], 400, "malformed-http"),
    "HTTP/2": ([b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"], 400, "malformed-http"),
    "no URL": ([b"GET http://x:99999999/process HTTP/1.1\r\nHost: x\r\n\r\n"], 400, "malformed-http"),
    "many headers": ([HEAD + b"".join(b"X-%d: y\r\n" % n for n in range(500)) + b"\r\n"], 400, "malformed-http"),
    "a long header": ([HEAD + b"X: " + b"y" * 100_000 + b"\r\n\r\n"], 400, "malformed-http"),
    "a long path": ([b"GET /" + b"y" * 100_000 + b" HTTP/1.1\r\n\r\n"], 400, "malformed-http"),
    "no such route": ([b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n"], 404, "not-found"),
    "a path that climbs": ([b"GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n"], 404, "not-found"),
    "wrong method": ([b"DELETE /process HTTP/1.1\r\nHost: x\r\n\r\n"], 405, "method-not-allowed"),
    "no upgrade": ([b"GET /ws/metrics HTTP/1.1\r\nHost: x\r\n\r\n"], 400, "no-websocket"),
}


@pytest.mark.parametrize(("chunks", "status", "name"), REFUSED.values(), ids=REFUSED.keys())
async def test_bad_input_is_a_problem_and_the_next_request_is_served(chunks: list[bytes], status: int, name: str):
    async with local_server(read_timeout_s=0.5 if status == 408 else 30) as server:
        answer = await _raw(server, *chunks)
        served = await _still_serves(server)

    assert (_status(answer), served) == (status, True)
    head, _, body = answer.partition(b"\r\n\r\n")
    problem = Problem.model_validate_json(body)
    assert problem.type == f"urn:tailgate:error:{name}"
    assert len(problem.detail.split()) >= 3, "says too little"
    assert not problem.detail.endswith(":"), "is cut off"
    assert "bytearray" not in problem.detail
    assert b"Content-Type: application/problem+json\r\n" in head
    assert f"X-Request-Id: {problem.request_id}\r\n".encode() in head + b"\r\n"
    assert (b"\r\nAllow: POST\r\n" in head + b"\r\n") == (status == 405)


@pytest.mark.parametrize(("wrong", "listed"), [(3, 3), (45, 20), (60_000, 1)])
async def test_of_many_faults_the_first_are_listed_and_all_are_counted(wrong: int, listed: int):
    async with local_server() as server:
        body = ask("a", "p") | {f"n{n}": n for n in range(wrong)}
        async with server.post(body) as reply:
            problem = Problem.model_validate_json(await reply.read())
            size = reply.content_length

    assert (problem.status, len(problem.errors)) == (422, listed)
    assert str(wrong if listed == 1 else wrong - 1) in problem.detail
    assert size < 10_000


async def test_a_name_of_a_megabyte_is_not_sent_back():
    async with local_server() as server, server.post({"x" * 1_000_000: 1}) as reply:
        assert reply.status == 422
        assert reply.content_length < 10_000


async def test_a_body_of_exactly_the_limit_is_read():
    async with local_server() as server:
        assert _status(await _raw(server, _request(GOOD.ljust(1 << 20)))) == 200


async def test_eight_prompts_of_32_kib_are_answered():
    async with local_server() as server, server.post(ask("a", *["é" * 16_384] * 8)) as reply:
        assert reply.status == 200


async def test_a_body_in_chunks_and_one_that_asks_to_continue_are_read():
    chunks = [b"%x\r\n%b\r\n" % (1, GOOD[n : n + 1]) for n in range(len(GOOD))]
    async with local_server() as server:
        assert _status(await _raw(server, CHUNKED, b"".join(chunks[:9]), b"".join(chunks[9:]) + b"0\r\n\r\n")) == 200
        async with connection(server.port) as (reader, writer):
            writer.write(_request(GOOD, "application/json", "Expect: 100-continue")[: -len(GOOD)])
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            writer.write(GOOD)
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 OK\r\n")


async def test_a_slow_body_is_cut_off_with_408():
    async with local_server(read_timeout_s=0.1) as server:
        answer = await _raw(server, _request(GOOD)[:-5])
        served = await _still_serves(server)
        counted = await server.counted()

    assert _status(answer) == 408
    assert b"\r\nConnection: close\r\n" in answer
    assert served
    assert counted == {"408/none": 1, "200/miss": 1}


async def test_a_socket_closed_half_way_ends_its_request_once():
    async with local_server(mock={"profile": "100ms"}) as server:
        before_the_body = await _raw(server, _request(GOOD)[:-5], half_close=True)
        before_the_answer = await _raw(server, _request(GOOD), half_close=True)
        served = await _still_serves(server)
        population = server.app.population

    assert _status(before_the_body) in (0, 400)
    assert _status(before_the_answer) in (0, 200)
    assert served
    assert population.started == 3 == population.count[State.COMPLETED] + population.count[State.FAILED]


async def test_pipelined_requests_are_answered_in_order():
    bodies = [json.dumps(ask("a", f"prompt-{n}")).encode() for n in range(40)]
    async with local_server(mock={"profile": "1ms"}) as server, connection(server.port) as (reader, writer):
        writer.write(b"".join(_request(body) for body in bodies))
        texts = []
        for _ in bodies:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0])
            texts.append(json.loads(await reader.readexactly(length))["text"].split()[0])

    assert texts == [f"prompt-{n}" for n in range(40)]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
NEARLY = st.fixed_dictionaries(
    {},
    optional={
        "agent_id": st.text(max_size=140) | JSON,
        "prompts": st.lists(st.text(max_size=9) | JSON, max_size=10) | JSON,
        "model": st.text(max_size=70) | JSON,
        "parameters": JSON,
        "deadline_ms": st.integers() | JSON,
        "metadata": JSON,
        "more": JSON,
    },
)


async def test_no_body_at_all_is_a_500_or_a_hang():
    async with local_server() as server:
        loop = asyncio.get_running_loop()
        seen: set[int] = set()

        async def send(body: bytes) -> None:
            headers = {"Content-Type": "application/json"}
            timeout = aiohttp.ClientTimeout(total=10)
            async with server.session.post(
                f"{server.url}/process", data=body, headers=headers, timeout=timeout
            ) as reply:
                seen.add(reply.status)
                said = await reply.json(content_type=None)
            assert reply.status in (200, 400, 422), (reply.status, body)
            assert ("results" in said) == (reply.status == 200)

        @settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
        @given(
            NEARLY.map(lambda value: json.dumps(value).encode()) | JSON.map(json.dumps).map(str.encode) | st.binary()
        )
        def check(body: bytes) -> None:
            asyncio.run_coroutine_threadsafe(send(body), loop).result(20)

        await asyncio.to_thread(check)

    assert {400, 422} <= seen


KEY = "open sesame"


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[bool, dict[str, APIOperation]]]:
    """The operations of a server without API keys and of one with them."""
    script = tmp_path_factory.mktemp("faults") / "faults.toml"
    script.write_text('[[fault]]\nat_s = 3600\nkind = "quota"\n')
    # A deadline of 1 ms is a valid request and 504 its right answer, which schemathesis cannot know.
    flags = ("--mock.profile", "zero", "--deadline.enabled", "false", "--mock.faults", str(script))
    key = ("--api_keys_sha256", sha256(KEY.encode()).hexdigest())
    with server_process(*flags) as plain, server_process(*flags, *key) as keyed:
        yield {False: _operations(plain.url), True: _operations(keyed.url)}


def _operations(url: str) -> dict[str, APIOperation]:
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    return {found.ok().label: found.ok() for found in schema.get_all_operations()}


@pytest.mark.parametrize("mode", GenerationMode, ids=lambda mode: mode.value)
def test_schemathesis_finds_no_breach_of_the_contract(described, mode: GenerationMode):
    @settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def check(data: st.DataObject) -> None:
        data.draw(described[False]["POST /process"].as_strategy(generation_mode=mode)).call_and_validate()

    check()


ROUTES = [
    "POST /process",
    "GET /healthz",
    "GET /readyz",
    "GET /metrics",
    "GET /config",
    "POST /mock/faults/restart",
]


def test_every_route_is_described_but_the_websocket(described):
    assert set(described[False]) == set(described[True]) == set(ROUTES)


@pytest.mark.parametrize("label", ROUTES)
@pytest.mark.parametrize(("keyed", "sent"), [(False, {}), (True, {}), (True, {"X-API-Key": KEY})])
def test_all_routes_keep_to_the_contract(described, label: str, keyed: bool, sent: dict[str, str]):
    body = {"body": ask(), "media_type": "application/json"} if label == "POST /process" else {}
    reply = described[keyed][label].Case(**body).call_and_validate(headers=sent)

    guarded = label not in ("GET /healthz", "GET /readyz")
    assert reply.status_code == (401 if keyed and guarded and not sent else 200)


async def test_problems_of_process_carry_the_headers_that_the_document_promises():
    async with local_server(mock={"profile": "200ms"}) as server:
        async with server.session.get(f"{server.url}/openapi.json") as reply:
            promised = (await reply.json())["paths"]["/process"]["post"]["responses"]
        replies = [(await exchange(server, body))[0] for body in ({}, ask(deadline_ms=1))]
        async with server.session.delete(f"{server.url}/process") as not_allowed:
            replies.append(not_allowed)

    assert [reply.status for reply in replies] == [422, 504, 405]
    for reply in replies:
        own = {name.lower() for name in reply.headers} - {"server", "date", "content-type", "content-length"}
        assert own == {name.lower() for name in promised[str(reply.status)]["headers"]}
