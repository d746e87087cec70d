import asyncio
import re
import time
from collections import Counter

import aiohttp
import pytest

from server.gemini.mock_server import serving
from server.gemini.simulation import Simulation
from server.lifecycle import State
from server.models import Problem, ProcessReply
from tests.server_process import ask, exchange, local_server, until_processing

STAGES = ["queue", "validate", "cache", "gemini", "backoff", "aggregate", "total"]


def _server_timing(reply: aiohttp.ClientResponse) -> dict[str, float]:
    parts = [part.split(";dur=") for part in reply.headers["Server-Timing"].split(", ")]
    assert [name for name, _ in parts] == STAGES
    assert all(re.fullmatch(r"\d+\.\d{3}", duration) for _, duration in parts)
    return {name: float(duration) for name, duration in parts}


async def test_a_miss_then_a_hit_as_the_wire_says():
    async with local_server(mock={"profile": "30ms"}) as server:
        first, miss = await exchange(server, ask("a", "one", "two"))
        second, hit = await exchange(server, ask("a", "one", "two"))

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
            assert (await exchange(server, ask(agent, "p")))[1]["cache"] == "miss"
    async with local_server(cache={"share_between_agents": True}) as server:
        assert [(await exchange(server, ask(agent, "p")))[1]["cache"] for agent in ("a", "b")] == ["miss", "hit"]


async def test_no_cache_asks_gemini_anew_and_keeps_nothing():
    async with local_server() as server:
        bypassed, body = await exchange(server, ask(), Cache_Control="max-age=0, No-Cache")
        _, then = await exchange(server, ask())

    assert bypassed.headers["Cache-Status"] == "tailgate; fwd=bypass"
    assert body["cache"] == "bypass"
    assert then["cache"] == "miss"


async def test_a_thousand_who_ask_at_once_cost_one_call():
    async with local_server(mock={"profile": "300ms"}) as server:
        bodies = await asyncio.gather(*[exchange(server, ask("a", "stampede")) for _ in range(1000)])
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
@pytest.mark.parametrize("client", ["aiohttp", "builtin", "google-genai"])
@pytest.mark.parametrize("mode", ["async", "sync"])
async def test_live_clients_answer_over_http_and_a_stampede_is_one_call(client: str, mode: str):
    async with (
        serving(Simulation("50ms")) as upstream,
        local_server(gemini_client=client, mode=mode, live={"base_url": upstream}) as server,
    ):
        bodies = [body for _, body in await asyncio.gather(*[exchange(server, ask("a", "p")) for _ in range(20)])]
        stats = await (await server.session.get(f"{upstream}/stats")).json()

    assert [body.get("state", body) for body in bodies] == ["COMPLETED"] * 20
    assert all(body["results"][0]["text"].startswith("p ") for body in bodies)
    assert stats["total"] == 1
    assert sum(body["attempts"] for body in bodies) == 1


async def test_stale_answers_say_so_with_a_negative_ttl():
    cache = {"ttl_s": 0.05, "stale_while_revalidate_s": 60}
    async with local_server(cache=cache) as server:
        await exchange(server, ask())
        await asyncio.sleep(0.1)
        reply, body = await exchange(server, ask())

    assert body["cache"] == "stale"
    assert re.fullmatch(r"tailgate; hit; ttl=-\d+", reply.headers["Cache-Status"])


async def test_retries_show_in_attempts_backoff_and_state(tmp_path):
    faults = tmp_path / "faults.toml"
    faults.write_text('[[fault]]\nat_s = 0\nshare = 0.6\nkind = "unavailable"\n')
    retry = {"attempts": 10, "base_s": 0.01}
    async with local_server(mock={"profile": "zero", "faults": str(faults)}, retry=retry) as server:
        reply, body = await exchange(server, ask("a", *"pqrstuvw"))
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
        reply, body = await exchange(server, ask())
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
        await exchange(server, ask("a", "p"))
        reply, body = await exchange(server, ask("a", "q"))
    assert (reply.status, body["type"]) == (429, "urn:tailgate:error:rate-limited")
    assert reply.headers["Retry-After"] == "2"

    async with local_server(bulkhead={"max_in_flight": 1, "max_queue": 0}, mock={"profile": "200ms"}) as server:
        first = asyncio.create_task(exchange(server, ask("a", "p")))
        await until_processing(server.session, server.url, 1)
        reply, body = await exchange(server, ask("a", "q"))
        await first
    assert (reply.status, body["type"]) == (503, "urn:tailgate:error:overloaded")
    assert int(reply.headers["Retry-After"]) >= 1


async def test_waiting_for_a_place_is_queue_time():
    async with local_server(bulkhead={"max_in_flight": 1}, mock={"profile": "100ms"}) as server:
        _, (_, second) = await asyncio.gather(*[exchange(server, ask("a", prompt)) for prompt in ("p", "q")])

    assert second["timings_ms"]["queue"] >= 80


async def test_the_deadline_of_a_request_is_kept():
    async with local_server(mock={"profile": "2000ms"}) as server:
        started = time.monotonic()
        reply, body = await exchange(server, ask(deadline_ms=100))
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
        reply, body = await exchange(server, ask("a", "p", "q"))

    assert (reply.status, body["degraded"], body["cache"]) == (200, True, "bypass")
    assert [result["text"] for result in body["results"]] == ["Come back later."] * 2
    ProcessReply.model_validate(body)


@pytest.mark.parametrize("name", ["cache", "retry", "rate_limit", "circuit_breaker", "bulkhead", "deadline", "track"])
async def test_every_policy_can_be_switched_off(name: str):
    async with local_server(mock={"profile": "20ms"}, **{name: {"enabled": False}}) as server:
        bodies = [(await exchange(server, ask()))[1] for _ in range(2)]
        async with server.session.get(f"{server.url}/metrics") as reply:
            metrics = await reply.text()

    first, second = bodies
    assert [first["cache"], second["cache"]] == (["bypass", "bypass"] if name == "cache" else ["miss", "hit"])
    assert 20 <= first["timings_ms"]["gemini"] <= first["timings_ms"]["total"]
    calls = len(first["results"]) * (2 if name == "cache" else 1)
    if name == "track":
        assert not re.search(r"^tailgate_(gemini_attempt|tokens_)", metrics, re.MULTILINE), "told what nobody counted"
    else:
        assert f'tailgate_gemini_attempts_total{{outcome="ok"}} {calls}\n' in metrics


async def test_a_late_call_is_hedged_and_both_attempts_are_counted(tmp_path):
    faults = tmp_path / "faults.toml"
    faults.write_text('[[fault]]\nat_s = 0\nshare = 0.03\nkind = "slow"\nfactor = 100\n')
    mock = {"profile": "10ms", "faults": str(faults)}
    async with local_server(mock=mock, hedge={"enabled": True, "budget_share": 1.0}) as server:
        bodies = []
        for start in range(0, 400, 20):
            batch = [exchange(server, ask("a", str(number))) for number in range(start, start + 20)]
            bodies += [body for _, body in await asyncio.gather(*batch)]
        text = await (await server.session.get(f"{server.url}/metrics")).text()

    won = int(re.search(r"^tailgate_hedges_won_total (\d+)$", text, re.MULTILINE)[1])
    cancelled = int(re.search(r'^tailgate_gemini_attempts_total\{outcome="cancelled"\} (\d+)$', text, re.MULTILINE)[1])
    assert won >= 1
    assert cancelled >= won
    assert max(body["attempts"] for body in bodies) == 2
    assert {body["state"] for body in bodies} == {"COMPLETED"}


async def test_parts_sum_to_the_total_in_every_reply_of_a_crowd(tmp_path):
    faults = tmp_path / "faults.toml"
    faults.write_text('[[fault]]\nkind = "unavailable"\nshare = 0.3\n')
    settings = {"mock": {"profile": "5ms", "seed": 1, "faults": str(faults)}, "retry": {"base_s": 0.005, "attempts": 4}}
    seen = Counter()
    async with local_server(bulkhead={"max_in_flight": 20}, **settings) as server:

        async def user(number: int) -> None:
            for step in range(6):
                reply, body = await exchange(server, ask("a", *[f"{step} {number // 4} {leg}" for leg in range(3)]))
                timing = _server_timing(reply)
                assert abs(sum(timing.values()) - 2 * timing["total"]) <= 0.1
                seen.update(stage for stage, ms in timing.items() if ms > 0)
                seen[body.get("cache", "none")] += 1

        await asyncio.gather(*[user(number) for number in range(100)])

    assert set(STAGES) | {"miss", "collapsed"} <= set(seen), "not every stage had its share of the time"


async def test_what_clients_saw_and_what_the_server_counted_is_the_same_to_the_request():
    rate = {"per_s": 20, "burst": 10, "max_wait_s": 0}
    async with local_server(mock={"profile": "5ms"}, rate_limit=rate) as server:
        seen = Counter()

        async def user(number: int) -> None:
            for step in range(20):
                body = ask(f"a{number}", f"p{(number + step) % 7}") if step % 5 else {"agent_id": number}
                reply, said = await exchange(server, body)
                seen[f"{reply.status}/{said.get('cache', 'none')}"] += 1

        await asyncio.gather(*[user(number) for number in range(25)])
        counted = await server.counted()
        population = server.app.population

    assert counted == seen
    assert {"200/hit", "200/miss", "422/none", "429/none"} <= set(seen)
    assert (
        population.started == sum(seen.values()) == population.count[State.COMPLETED] + population.count[State.FAILED]
    )


async def test_a_bug_is_a_500_whose_details_are_in_the_log_only(monkeypatch, caplog):
    async with local_server() as server:

        async def broken(*_: object):
            raise ZeroDivisionError("by s3cr3t")

        monkeypatch.setattr(server.app.process, "_process", broken)
        reply, body = await exchange(server, ask(), X_Request_Id="find-me")
        monkeypatch.undo()
        then, _ = await exchange(server, ask())

    assert (reply.status, body["type"], then.status) == (500, "urn:tailgate:error:internal", 200)
    assert "s3cr3t" not in str(body)
    (record,) = [record for record in caplog.records if record.name == "tailgate"]
    assert record.request_id == "find-me"
    assert isinstance(record.exc_info[1], ZeroDivisionError)
