import re
from hashlib import sha256

import aiohttp
import pytest

from tests.server_process import ask, exchange, local_server

SENT_IDS = {"abc-123": True, "x" * 128: True, "x" * 129: False, "a b": False, '"\\': True, "é": False}


@pytest.mark.parametrize(("sent", "kept"), SENT_IDS.items(), ids=range(len(SENT_IDS)))
async def test_a_request_id_is_echoed_if_it_is_fit_to_be(sent: str, kept: bool):
    async with local_server() as server:
        reply, body = await exchange(server, ask(), X_Request_Id=sent)
        refused, problem = await exchange(server, {}, X_Request_Id=sent)

    for each, said in ((reply, body), (refused, problem)):
        assert each.headers["X-Request-Id"] == said["request_id"]
        assert (said["request_id"] == sent) == kept


async def test_made_ids_differ():
    async with local_server() as server:
        replies = [(await exchange(server, ask()))[0] for _ in range(20)]

    assert len({reply.headers["X-Request-Id"] for reply in replies}) == 20
    traces = {reply.headers["traceparent"] for reply in replies}
    assert len(traces) == 20
    assert all(re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-00", trace) for trace in traces)


VALID_TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (VALID_TRACE, True),
        (VALID_TRACE.upper(), False),
        (f"00-{'0' * 32}-00f067aa0ba902b7-01", False),
        ("x", False),
        (f"{VALID_TRACE}-more", False),
        (f"01{VALID_TRACE[2:]}", True),
        (f"cc{VALID_TRACE[2:]}-what-the-future-brings", True),
        (f"cc{VALID_TRACE[2:]}.what", False),
        (f"ff{VALID_TRACE[2:]}", False),
    ],
)
async def test_a_traceparent_is_echoed_if_it_is_valid(sent: str, kept: bool):
    async with local_server() as server:
        reply, _ = await exchange(server, ask(), traceparent=sent)

    assert (reply.headers["traceparent"] == sent) == kept


async def test_routes_about_the_server_itself():
    async with local_server(mode="sync", sync_threads=3) as server:
        answers = {}
        for path in ("/healthz", "/readyz", "/config", "/openapi.json", "/healthz?x=1"):
            async with server.session.get(server.url + path, headers={"X-Request-Id": "mine"}) as reply:
                assert (reply.status, reply.content_type) == (200, "application/json")
                assert reply.headers["X-Request-Id"] == "mine"
                answers[path] = await reply.json()
        async with server.session.head(f"{server.url}/healthz") as head:
            assert (head.status, head.headers["Content-Length"], await head.read()) == (200, "15", b"")

    assert answers["/healthz"] == answers["/healthz?x=1"] == {"status": "ok"}
    assert answers["/readyz"] == {"status": "ready"}
    assert answers["/config"]["settings"]["sync_threads"] == 3
    assert answers["/config"]["versions"]["aiohttp"] == aiohttp.__version__
    assert set(answers["/openapi.json"]["paths"]) >= {"/process", "/healthz", "/readyz", "/metrics", "/config"}


async def test_api_keys_guard_everything_but_health():
    digest = sha256(b"open sesame").hexdigest()
    async with local_server(api_keys_sha256=[digest]) as server:
        statuses = {}
        for path in ("/metrics", "/config", "/ws/metrics", "/healthz", "/readyz"):
            async with server.session.get(server.url + path) as reply:
                statuses[path] = reply.status
        without, _ = await exchange(server, ask())
        wrong, _ = await exchange(server, ask(), X_API_Key="open barley")
        right, _ = await exchange(server, ask(), X_API_Key="open sesame")
        config = await (await server.session.get(f"{server.url}/config", headers={"X-API-Key": "open sesame"})).text()

    assert statuses == {"/metrics": 401, "/config": 401, "/ws/metrics": 401, "/healthz": 200, "/readyz": 200}
    assert (without.status, wrong.status, right.status) == (401, 401, 200)
    assert "WWW-Authenticate" in without.headers
    assert digest not in config


async def test_cors_only_for_listed_origins():
    async with local_server(cors_origins=["http://page.example"]) as server:
        listed, _ = await exchange(server, ask(), Origin="http://page.example")
        other, _ = await exchange(server, ask(), Origin="http://evil.example")
        refused, _ = await exchange(server, {}, Origin="http://page.example")
        preflight_headers = {"Origin": "http://page.example", "Access-Control-Request-Method": "POST"}
        async with server.session.options(f"{server.url}/process", headers=preflight_headers) as preflight:
            pass
        async with server.session.get(f"{server.url}/config", headers=preflight_headers) as config:
            pass
    async with local_server() as server:
        silent, _ = await exchange(server, ask(), Origin="http://page.example")
        async with server.session.options(f"{server.url}/process", headers=preflight_headers) as no_preflight:
            pass

    for each in (listed, refused, preflight, config):
        assert each.headers["Access-Control-Allow-Origin"] == "http://page.example"
    assert "Server-Timing" in listed.headers["Access-Control-Expose-Headers"]
    assert "Access-Control-Allow-Origin" not in other.headers
    assert other.headers["Vary"] == "Origin"
    assert (preflight.status, preflight.headers["Access-Control-Allow-Methods"]) == (204, "POST")
    assert not [name for name in silent.headers if name.startswith("Access-Control")]
    assert no_preflight.status == 405
