"""A real load process against a server that counts: what it says, what it records, how it ends."""

import itertools
import json
import resource
import sys
import time
from collections import Counter, defaultdict

import pytest

from loadtests import scenarios
from loadtests.generator import generate
from loadtests.workload.workload import Workload
from tests.echo_server import EchoServer
from tests.generator_process import finish, generator, news, read, run_until

CLIENTS = ["lean", "fast"]


@pytest.mark.parametrize("client", ["lean", pytest.param("fast", marks=pytest.mark.slow)])
def test_every_answer_is_recorded_once_users_follow_their_seed_and_a_stop_awaits_what_is_in_flight(tmp_path, client):
    with EchoServer(delay_s=lambda: 0.05) as server:
        flags = ("--client", client, "--block", 2, "--first-user", 100, "--seed", 9)
        with generator(tmp_path, server.url, *flags, users=60) as process:
            lines = run_until(process, 40)
            server.delay_s = lambda: 1.2
            while lines[-1]["in_flight"] < 15:  # never at the delay before
                lines.append(news(process))
            stopped_ns = time.time_ns()
            last = finish(process)[-1]
        samples = read(tmp_path)

    assert lines[0] == {"ready": True, "pid": process.pid}
    assert last == {"done": True, "recorded": server.answered}
    for status in lines[1:]:
        assert set(status) == {"users", "in_flight", "requests", "failures", "lag_ms"}
        assert (status["users"], status["failures"]) == (60, 0)
        assert status["lag_ms"] >= 0

    assert len(samples) == server.answered == len(server.ids) == len(set(server.ids))
    kinds = {(s["status"], s["error"], s["cache"], s["attempts"], s["block"]) for s in samples}
    assert kinds == {(200, "", "miss", 1, 2)}
    assert all(s["latency_ns"] >= 50_000_000 and s["sent_at"] >= s["scheduled_at"] for s in samples)
    assert all(s["gemini_ms"] == 1.5 and s["output_tokens"] == 41 for s in samples)
    assert max(s["sent_at"] for s in samples) < stopped_ns + 400_000_000
    assert any(s["sent_at"] + s["latency_ns"] > stopped_ns + 400_000_000 for s in samples)

    asked = defaultdict(list)
    for sample in sorted(samples, key=lambda sample: sample["sent_at"]):
        asked[sample["user"]].append(sample["item"])
    assert set(asked) <= set(range(100, 160))
    workload = Workload(scenarios.load("steady"), seed=9)
    for user, items in asked.items():
        assert items == [item for _, item in itertools.islice(workload.user(user), len(items))]
    sent = Counter(json.dumps(body) for body in server.bodies)
    assert sent == Counter(
        json.dumps(json.loads(workload.questions[item].body)) for items in asked.values() for item in items
    )


def test_what_does_not_come_within_the_stop_timeout_is_a_timeout_not_a_loss(tmp_path):
    with EchoServer(delay_s=lambda: 60.0) as server:
        with generator(tmp_path, server.url, "--stop-timeout", 0.5, users=10) as process:
            lines = run_until(process, 0)
            while lines[-1].get("in_flight", 0) < 5:
                lines.append(news(process))
            lines += finish(process)
        samples = read(tmp_path)
    assert len(samples) == len(server.ids) == lines[-1]["recorded"]
    assert {(s["status"], s["error"]) for s in samples} == {(0, "timeout")}
    assert all(s["latency_ns"] > 0 for s in samples)


def wrong_id(headers, body):
    headers["X-Request-Id"] = "someone-elses"


def wrong_text(headers, body):
    body["results"][0]["text"] = "[q99999.0] the answer to something else"


def rate_limited(headers, body):
    headers["status"] = "429 Too Many"
    body["type"] = "urn:tailgate:error:rate-limited"


def bad_gateway(headers, body):
    headers["status"] = "502 Bad Gateway"


@pytest.mark.parametrize("client", CLIENTS)
def test_answers_that_are_not_what_was_asked_for_are_failures_by_name(tmp_path, client):
    spoilers = itertools.cycle([wrong_id, wrong_text, rate_limited, bad_gateway])
    server = EchoServer(spoil=lambda headers, body: next(spoilers)(headers, body))
    with server, generator(tmp_path, server.url, "--client", client) as process:
        lines = run_until(process, 20)
        lines += finish(process)
    samples = read(tmp_path)
    assert len(samples) == server.answered
    assert {(s["status"], s["error"], s["cache"]) for s in samples} == {
        (200, "mismatch", "none"), (429, "rate-limited", "none"), (502, "http-502", "none"),
    }  # fmt: skip
    assert sum(s["error"] == "mismatch" for s in samples) == pytest.approx(len(samples) / 2, abs=1)
    assert lines[-2]["failures"] == lines[-2]["requests"]


def test_a_server_that_neither_echoes_nor_has_our_headers_may_be_loaded_all_the_same(tmp_path):
    def foreign(headers, body):
        headers.clear()
        body.clear()

    with EchoServer(spoil=foreign) as server, generator(tmp_path, server.url, "--no-echo") as process:
        run_until(process, 5)
        finish(process)
    assert {(s["error"], s["cache"], s["attempts"]) for s in read(tmp_path)} == {("", "none", -1)}


def test_a_host_that_is_down_is_a_failure_a_request(tmp_path):
    with generator(tmp_path, "http://127.0.0.1:9") as process:
        run_until(process, 5)
        finish(process)
    assert {(s["status"], s["error"]) for s in read(tmp_path)} == {(0, "connect")}


def test_killed_it_leaves_everything_but_its_last_second(tmp_path):
    with EchoServer() as server, generator(tmp_path, server.url, users=100) as process:
        lines = run_until(process, 40)
        process.kill()
        process.wait()
        assert len(read(tmp_path)) >= lines[-1]["requests"]


def test_a_full_disk_ends_it_with_one_line(tmp_path):
    def small_disk():
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    with EchoServer() as server, generator(tmp_path, server.url, users=300, preexec_fn=small_disk) as process:
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert len(errors.splitlines()) == 1
    assert "File too large" in errors


@pytest.mark.parametrize(
    "flags",
    [
        ["--url", "http://192.0.2.1:80"],
        ["--url", "ftp://127.0.0.1"],
        ["--url", "http://127.0.0.1:99999"],
        ["--url", "https://127.0.0.1:8443"],
        ["--scenario", "no-such"],
        ["--run-dir", "/nonexistent/run"],
        ["--users", "0"],
        ["--users", "many"],
        ["--spawn-rate", "-1"],
        ["--client", "curl"],
        ["--nonsense"],
    ],
    ids=" ".join,
)
def test_what_cannot_be_started_is_told_in_one_line(tmp_path, capsys, flags):
    with pytest.raises(SystemExit) as ended:
        generate.main(["--url", "http://127.0.0.1:9", "--users", "1", "--run-dir", str(tmp_path), *flags])
    output, errors = capsys.readouterr()
    assert (ended.value.code, output) == (2, "")
    assert len(errors.splitlines()) == 1
    assert "locust" not in sys.modules, "flags are to be read before Locust is imported"
