import asyncio
import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from hashlib import sha256

import aiohttp
import psutil
import pytest
from aiohttp import web

from server.app import build_app
from server.gemini.mock_server import serving
from server.gemini.simulation import Simulation
from server.lifecycle import State
from server.models import Problem, ProcessReply
from server.serving import listening
from server.settings import Settings
from tests.server_process import LocalServer, ask, clean_environment, connection, local_server, server_process

STAGES = ["queue", "validate", "cache", "gemini", "backoff", "aggregate", "total"]


async def _exchange(server: LocalServer, body: object, **headers: str) -> tuple[aiohttp.ClientResponse, dict]:
    async with server.post(body, **headers) as reply:
        return reply, await reply.json()


def _server_timing(reply: aiohttp.ClientResponse) -> dict[str, float]:
    parts = [part.split(";dur=") for part in reply.headers["Server-Timing"].split(", ")]
    assert [name for name, _ in parts] == STAGES
    assert all(re.fullmatch(r"\d+\.\d{3}", duration) for _, duration in parts)
    return {name: float(duration) for name, duration in parts}


async def test_a_miss_then_a_hit_as_the_wire_says():
    async with local_server(mock={"profile": "30ms"}) as server:
        first, miss = await _exchange(server, ask("a", "one", "two"))
        second, hit = await _exchange(server, ask("a", "one", "two"))

    for reply, body in ((first, miss), (second, hit)):
        ProcessReply.model_validate(body)
        timing = _server_timing(reply)
        assert abs(sum(timing.values()) - 2 * timing["total"]) <= 0.1
        assert timing == body["timings_ms"]
        assert reply.headers["X-Request-Id"] == body["request_id"]
        assert reply.headers["X-Attempts"] == str(body["attempts"])
        assert reply.content_type == "application/json"
    assert first.headers["Cache-Status"] == "tailgate; fwd=miss; stored"
    assert re.fullmatch(r"tailgate; hit; ttl=(299|300)", second.headers["Cache-Status"])
    assert (miss["cache"], miss["attempts"], hit["cache"], hit["attempts"]) == ("miss", 1, "hit", 0)
    assert miss["results"] == hit["results"]
    assert 30 <= miss["timings_ms"]["gemini"] <= miss["timings_ms"]["total"]
    assert hit["timings_ms"]["gemini"] == 0


async def test_no_reply_crosses_agents_unless_settings_say_so():
    async with local_server() as server:
        for agent in ("a", "b"):
            assert (await _exchange(server, ask(agent, "p")))[1]["cache"] == "miss"
    async with local_server(cache={"share_between_agents": True}) as server:
        assert [(await _exchange(server, ask(agent, "p")))[1]["cache"] for agent in ("a", "b")] == ["miss", "hit"]


async def test_no_cache_asks_gemini_anew_and_keeps_nothing():
    async with local_server() as server:
        bypassed, body = await _exchange(server, ask(), Cache_Control="no-cache")
        _, then = await _exchange(server, ask())

    assert bypassed.headers["Cache-Status"] == "tailgate; fwd=bypass"
    assert body["cache"] == "bypass"
    assert then["cache"] == "miss"


async def test_a_thousand_who_ask_at_once_cost_one_call():
    async with local_server(mock={"profile": "300ms"}) as server:
        bodies = await asyncio.gather(*[_exchange(server, ask("a", "stampede")) for _ in range(1000)])
        text = await (await server.session.get(f"{server.url}/metrics")).text()
        counted = await server.counted()

    assert 'tailgate_gemini_attempts_total{outcome="ok"} 1\n' in text
    assert Counter(body["cache"] for _, body in bodies) == {"miss": 1, "collapsed": 999}
    assert {reply.headers["Cache-Status"] for reply, body in bodies if body["cache"] == "collapsed"} == {
        "tailgate; fwd=miss; collapsed"
    }
    assert {body["attempts"] for _, body in bodies if body["cache"] == "collapsed"} == {0}
    assert counted == {"200/miss": 1, "200/collapsed": 999}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # google-genai's own, in its first call of a process
@pytest.mark.parametrize("client", ["aiohttp", "minimal", "google-genai"])
@pytest.mark.parametrize("mode", ["async", "sync"])
async def test_live_clients_answer_over_http_and_a_stampede_is_one_call(client: str, mode: str):
    async with (
        serving(Simulation("50ms")) as upstream,
        local_server(gemini_client=client, mode=mode, live={"base_url": upstream}) as server,
    ):
        bodies = [body for _, body in await asyncio.gather(*[_exchange(server, ask("a", "p")) for _ in range(20)])]
        stats = await (await server.session.get(f"{upstream}/stats")).json()

    assert [body.get("state", body) for body in bodies] == ["COMPLETED"] * 20
    assert all(body["results"][0]["text"].startswith("p ") for body in bodies)
    assert stats["total"] == 1
    assert sum(body["attempts"] for body in bodies) == 1


async def test_stale_answers_say_so_with_a_negative_ttl():
    cache = {"ttl_s": 0.05, "stale_while_revalidate_s": 60}
    async with local_server(cache=cache) as server:
        await _exchange(server, ask())
        await asyncio.sleep(0.1)
        reply, body = await _exchange(server, ask())

    assert body["cache"] == "stale"
    assert re.fullmatch(r"tailgate; hit; ttl=-\d+", reply.headers["Cache-Status"])


async def test_retries_show_in_attempts_backoff_and_state(tmp_path):
    faults = tmp_path / "faults.toml"
    faults.write_text('[[fault]]\nat_s = 0\nshare = 0.6\nkind = "unavailable"\n')
    retry = {"attempts": 10, "base_s": 0.01}
    async with local_server(mock={"profile": "zero", "faults": str(faults)}, retry=retry) as server:
        reply, body = await _exchange(server, ask("a", *"pqrstuvw"))
        population = server.app.population
        metrics = await (await server.session.get(f"{server.url}/metrics")).text()

    assert body["state"] == "COMPLETED"
    assert body["attempts"] == max(result["attempts"] for result in body["results"]) >= 2
    assert body["timings_ms"]["backoff"] > 0
    assert reply.headers["X-Attempts"] == str(body["attempts"])
    assert population.seconds[State.RETRY] * 1000 == pytest.approx(body["timings_ms"]["backoff"], abs=0.01)
    assert 'tailgate_gemini_attempts_total{outcome="error"} ' in metrics


FAILURES = {
    "unavailable": ('kind = "unavailable"', 502, "upstream-unavailable"),
    "rate limit": ('kind = "rate-limit"\nretry_after_s = 120', 502, "upstream-unavailable"),
    "daily quota": ('kind = "quota"', 503, "upstream-quota"),
    "blocked prompt": ('kind = "blocked"', 422, "prompt-blocked"),
    "hang": ('kind = "hang"', 504, "upstream-timeout"),
}


@pytest.mark.parametrize(("fault", "status", "name"), FAILURES.values(), ids=FAILURES.keys())
async def test_what_gemini_does_wrong_has_a_name(fault: str, status: int, name: str, tmp_path):
    script = tmp_path / "faults.toml"
    script.write_text(f"[[fault]]\nat_s = 0\n{fault}\n")
    settings = {
        "mock": {"profile": "zero", "faults": str(script)},
        "retry": {"attempts": 2, "base_s": 0},
        "deadline": {"attempt_ms": 50},
    }
    async with local_server(**settings) as server:
        reply, body = await _exchange(server, ask())
        counted = await server.counted()

    Problem.model_validate(body)
    assert (reply.status, body["status"], body["type"]) == (status, status, f"urn:tailgate:error:{name}")
    assert reply.content_type == "application/problem+json"
    assert ("Retry-After" in reply.headers) == (status in (429, 503))
    assert ("errors" in body) == (status == 422)
    assert counted == {f"{status}/none": 1}


async def test_policies_answer_with_their_own_problems_and_when_to_come_back():
    limited = {"per_s": 0.5, "burst": 1, "max_wait_s": 0}
    async with local_server(rate_limit=limited) as server:
        await _exchange(server, ask("a", "p"))
        reply, body = await _exchange(server, ask("a", "q"))
    assert (reply.status, body["type"]) == (429, "urn:tailgate:error:rate-limited")
    assert reply.headers["Retry-After"] == "2"

    async with local_server(bulkhead={"max_in_flight": 1, "max_queue": 0}, mock={"profile": "200ms"}) as server:
        first = asyncio.create_task(_exchange(server, ask("a", "p")))
        await asyncio.sleep(0.05)
        reply, body = await _exchange(server, ask("a", "q"))
        await first
    assert (reply.status, body["type"]) == (503, "urn:tailgate:error:overloaded")
    assert int(reply.headers["Retry-After"]) >= 1


async def test_waiting_for_a_place_is_queue_time():
    async with local_server(bulkhead={"max_in_flight": 1}, mock={"profile": "100ms"}) as server:
        _, (_, second) = await asyncio.gather(*[_exchange(server, ask("a", prompt)) for prompt in ("p", "q")])

    assert second["timings_ms"]["queue"] >= 80


async def test_the_deadline_of_a_request_is_kept():
    async with local_server(mock={"profile": "2000ms"}) as server:
        started = time.monotonic()
        reply, body = await _exchange(server, ask(deadline_ms=100))
        took_s = time.monotonic() - started

    assert (reply.status, body["type"]) == (504, "urn:tailgate:error:deadline-exceeded")
    assert 0.1 <= took_s < 1.0
    assert _server_timing(reply)["gemini"] >= 99


async def test_a_lesser_answer_is_marked_degraded(tmp_path):
    script = tmp_path / "faults.toml"
    script.write_text('[[fault]]\nat_s = 0\nkind = "unavailable"\n')
    settings = {
        "mock": {"profile": "zero", "faults": str(script)},
        "retry": {"enabled": False},
        "fallback": {"enabled": True, "text": "Come back later."},
    }
    async with local_server(**settings) as server:
        reply, body = await _exchange(server, ask("a", "p", "q"))

    assert (reply.status, body["degraded"], body["cache"]) == (200, True, "bypass")
    assert [result["text"] for result in body["results"]] == ["Come back later."] * 2
    ProcessReply.model_validate(body)


@pytest.mark.parametrize("name", ["cache", "retry", "rate_limit", "circuit_breaker", "bulkhead", "deadline"])
async def test_every_policy_can_be_switched_off(name: str):
    async with local_server(**{name: {"enabled": False}}) as server:
        outcomes = [(await _exchange(server, ask()))[1]["cache"] for _ in range(2)]

    assert outcomes == (["bypass", "bypass"] if name == "cache" else ["miss", "hit"])


async def test_a_late_call_is_hedged_and_both_attempts_are_counted(tmp_path):
    faults = tmp_path / "faults.toml"
    faults.write_text('[[fault]]\nat_s = 0\nshare = 0.03\nkind = "slow"\nfactor = 100\n')
    mock = {"profile": "10ms", "faults": str(faults)}
    async with local_server(mock=mock, hedge={"enabled": True, "budget_share": 1.0}) as server:
        bodies = []
        for start in range(0, 400, 20):
            batch = [_exchange(server, ask("a", str(number))) for number in range(start, start + 20)]
            bodies += [body for _, body in await asyncio.gather(*batch)]
        text = await (await server.session.get(f"{server.url}/metrics")).text()

    won = int(re.search(r"^tailgate_hedges_won_total (\d+)$", text, re.MULTILINE)[1])
    cancelled = int(re.search(r'^tailgate_gemini_attempts_total\{outcome="cancelled"\} (\d+)$', text, re.MULTILINE)[1])
    assert won >= 1
    assert cancelled >= won
    assert max(body["attempts"] for body in bodies) == 2
    assert {body["state"] for body in bodies} == {"COMPLETED"}


SENT_IDS = {"abc-123": True, "x" * 128: True, "x" * 129: False, "a b": False, '"\\': True, "é": False}


@pytest.mark.parametrize(("sent", "kept"), SENT_IDS.items(), ids=range(len(SENT_IDS)))
async def test_a_request_id_is_echoed_if_it_is_fit_to_be(sent: str, kept: bool):
    async with local_server() as server:
        reply, body = await _exchange(server, ask(), X_Request_Id=sent)
        refused, problem = await _exchange(server, {}, X_Request_Id=sent)

    for each, said in ((reply, body), (refused, problem)):
        assert each.headers["X-Request-Id"] == said["request_id"]
        assert (said["request_id"] == sent) == kept


async def test_made_ids_differ():
    async with local_server() as server:
        replies = [(await _exchange(server, ask()))[0] for _ in range(20)]

    assert len({reply.headers["X-Request-Id"] for reply in replies}) == 20
    traces = {reply.headers["traceparent"] for reply in replies}
    assert len(traces) == 20
    assert all(re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-00", trace) for trace in traces)


VALID_TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.mark.parametrize(
    ("sent", "kept"),
    [(VALID_TRACE, True), (VALID_TRACE.upper(), False), (f"00-{'0' * 32}-00f067aa0ba902b7-01", False), ("x", False)],
)
async def test_a_traceparent_is_echoed_if_it_is_valid(sent: str, kept: bool):
    async with local_server() as server:
        reply, _ = await _exchange(server, ask(), traceparent=sent)

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
        without, _ = await _exchange(server, ask())
        wrong, _ = await _exchange(server, ask(), X_API_Key="open barley")
        right, _ = await _exchange(server, ask(), X_API_Key="open sesame")
        config = await (await server.session.get(f"{server.url}/config", headers={"X-API-Key": "open sesame"})).text()

    assert statuses == {"/metrics": 401, "/config": 401, "/ws/metrics": 401, "/healthz": 200, "/readyz": 200}
    assert (without.status, wrong.status, right.status) == (401, 401, 200)
    assert "WWW-Authenticate" in without.headers
    assert digest not in config


async def test_cors_only_for_listed_origins():
    async with local_server(cors_origins=["http://page.example"]) as server:
        listed, _ = await _exchange(server, ask(), Origin="http://page.example")
        other, _ = await _exchange(server, ask(), Origin="http://evil.example")
        refused, _ = await _exchange(server, {}, Origin="http://page.example")
        preflight_headers = {"Origin": "http://page.example", "Access-Control-Request-Method": "POST"}
        async with server.session.options(f"{server.url}/process", headers=preflight_headers) as preflight:
            pass
        async with server.session.get(f"{server.url}/config", headers=preflight_headers) as config:
            pass
    async with local_server() as server:
        silent, _ = await _exchange(server, ask(), Origin="http://page.example")
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
        bodies = await asyncio.gather(*[_exchange(server, ask()) for _ in range(3)])
        await leader

    assert Counter(body["cache"] for _, body in bodies) == {"miss": 1, "collapsed": 2}


async def test_what_clients_saw_and_what_the_server_counted_is_the_same_to_the_request():
    rate = {"per_s": 20, "burst": 10, "max_wait_s": 0}
    async with local_server(mock={"profile": "5ms"}, rate_limit=rate) as server:
        seen = Counter()

        async def user(number: int) -> None:
            for step in range(20):
                body = ask(f"a{number}", f"p{(number + step) % 7}") if step % 5 else {"agent_id": number}
                reply, said = await _exchange(server, body)
                seen[f"{reply.status}/{said.get('cache', 'none')}"] += 1

        await asyncio.gather(*[user(number) for number in range(25)])
        counted = await server.counted()
        population = server.app.population

    assert counted == seen
    assert {"200/hit", "200/miss", "422/none", "429/none"} <= set(seen)
    assert (
        population.started == sum(seen.values()) == population.count[State.COMPLETED] + population.count[State.FAILED]
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_drains_what_is_in_flight_is_answered_and_the_exit_code_is_0(number: signal.Signals):
    with server_process("--mock.profile", "800ms") as server:
        async with aiohttp.ClientSession() as session:
            url = f"{server.url}/process"
            async with session.get(f"{server.url}/healthz"):
                pass
            in_flight = [asyncio.create_task(_post(session, url, ask("a", str(n)))) for n in range(20)]
            async with connection(server.port) as (reader, writer):
                await asyncio.sleep(0.3)
                server.process.send_signal(number)
                await asyncio.sleep(0.2)
                writer.write(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                readyz = await reader.read()
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", server.port)
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
    with server_process("--mock.profile", "600ms") as server:
        async with aiohttp.ClientSession() as session:
            in_flight = asyncio.create_task(_post(session, f"{server.url}/process", ask()))
            async with connection(server.port) as (reader, writer):
                await asyncio.sleep(0.2)
                server.process.send_signal(signal.SIGTERM)
                await asyncio.sleep(0.1)
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
            await asyncio.sleep(0.3)
            code, stderr = await asyncio.to_thread(server.stop)
            with pytest.raises(aiohttp.ClientError):
                await in_flight

    assert code == 1
    assert stderr.count("\n") == 1


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


async def test_a_bug_is_a_500_whose_details_are_in_the_log_only(monkeypatch, caplog):
    async with local_server() as server:

        async def broken(*_: object):
            raise ZeroDivisionError("by s3cr3t")

        monkeypatch.setattr(server.app.process, "_process", broken)
        reply, body = await _exchange(server, ask(), X_Request_Id="find-me")
        monkeypatch.undo()
        then, _ = await _exchange(server, ask())

    assert (reply.status, body["type"], then.status) == (500, "urn:tailgate:error:internal", 200)
    assert "s3cr3t" not in str(body)
    (record,) = [record for record in caplog.records if record.name == "tailgate"]
    assert record.request_id == "find-me"
    assert isinstance(record.exc_info[1], ZeroDivisionError)


def test_the_log_is_one_json_object_a_line():
    with server_process("--log_level", "info") as server:
        code, stderr = server.stop()

    assert code == 0
    lines = [json.loads(line) for line in stderr.splitlines()]
    assert lines
    assert all({"time", "level", "logger", "message"} <= set(line) for line in lines)


async def test_as_many_files_as_the_machine_allows_are_allowed():
    with server_process() as server:
        limits = psutil.Process(server.process.pid).rlimit(psutil.RLIMIT_NOFILE)

    assert limits[0] == limits[1]
